use std::sync::Arc;

use http::{
    header::{AUTHORIZATION, CONNECTION},
    request::Parts,
};

use super::{
    edit::{Edit, JsonEdit, RequestInfo, UriEdits, apply_all},
    value::RequestValues,
};
use crate::{
    context::RequestContext,
    hop_by_hop::strip_connection_headers,
    model::Profile,
    payload::{self, Payload},
    rejection::{Rejection, RejectionFormat},
    unverified::UnverifiedCredentials,
};

#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    edits: Arc<Edits>,
    pub(super) binary_bodies: bool,
    pub(super) profile: Arc<Profile>,
    pub(super) format: RejectionFormat,
}

/// Behind one pointer, because each request moves the service.
#[derive(Clone, Debug, Default)]
struct Edits {
    list: Vec<Edit>,
    unverified: Arc<UnverifiedCredentials>,
}

impl Settings {
    pub(super) fn has_edits(&self) -> bool {
        !self.edits.list.is_empty()
    }

    pub(super) fn push(&mut self, edit: Edit) {
        Arc::make_mut(&mut self.edits).list.push(edit);
    }

    pub(super) fn push_json(&mut self, edit: JsonEdit) {
        let edits = &mut Arc::make_mut(&mut self.edits).list;
        match edits.last_mut() {
            Some(Edit::Json(json)) => json.push(edit),
            _ => edits.push(Edit::Json(vec![edit])),
        }
    }

    /// Returns whether an edit would write another name or member for the upstream of `profile`.
    #[cfg(feature = "hf")]
    pub(super) fn contradicts(&self, profile: &Profile) -> bool {
        let json = self.edits.list.iter().filter_map(|edit| match edit {
            Edit::Json(json) => Some(json),
            _ => None,
        });
        json.flatten().any(|edit| match edit {
            JsonEdit::OutputTokens(_) => self.profile.limit_of_chats() != profile.limit_of_chats(),
            JsonEdit::IncludeUsage(_) => self.profile.requests_usage() != profile.requests_usage(),
            _ => false,
        })
    }

    /// Edits a request. Returns whether the client must not see the usage chunk.
    pub(super) fn apply(
        &self,
        parts: &mut Parts,
        payload: &mut Payload,
        context: &RequestContext,
    ) -> Result<bool, Rejection> {
        let mut hide_usage = false;
        let unverified =
            parts.headers.contains_key(AUTHORIZATION).then_some(&*self.edits.unverified);
        let values = RequestValues::new(context, unverified);
        let mut uri = UriEdits::default();
        for edit in &self.edits.list {
            match edit {
                Edit::Header(edit) => {
                    // Otherwise a client could name our header in `connection` and the next hop
                    // would remove it (RFC 9110 section 7.6.1).
                    if parts.headers.contains_key(CONNECTION) {
                        strip_connection_headers(&mut parts.headers);
                    }
                    edit.apply(&mut parts.headers, &values)?;
                }
                Edit::Query(edit) => edit.apply(&mut uri, &parts.uri, &values)?,
                Edit::Path(edit) => edit.apply(&mut uri, &parts.uri, &values)?,
                Edit::Json(edits) => {
                    let request = RequestInfo {
                        path: uri.path(&parts.uri),
                        query: uri.query(&parts.uri),
                        headers: &parts.headers,
                        binary_bodies: self.binary_bodies,
                        profile: &self.profile,
                    };
                    let edited = apply_all(edits, payload, request)?;
                    hide_usage |= edited.hide_usage;
                    if let Some(bytes) = edited.bytes {
                        payload::replace(parts, payload, bytes)?;
                    }
                }
            }
        }
        uri.apply(&mut parts.uri)?;
        Ok(hide_usage)
    }
}
