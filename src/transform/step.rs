use super::json::JsonEdit;

/// One edit of a request.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Of the body's document.
    Json(JsonEdit),
}
