use crate::body;

/// The body of an answer, as [`Throttle`](super::Throttle) hands it on.
pub type ResponseBody<B> = body::ResponseBody<B>;
