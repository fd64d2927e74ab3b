use bytes::Bytes;
use http::{Uri, uri::PathAndQuery};

use crate::{
    rejection::{Refusal, Rejection},
    transform::value::unusable,
};

/// The path and the query during the edits.
#[derive(Debug, Default)]
pub(crate) struct UriEdits {
    // `None` until an edit changes it.
    path: Option<String>,
    query: Option<Option<String>>,
}

impl UriEdits {
    pub(crate) fn path<'a>(&'a self, uri: &'a Uri) -> &'a str {
        self.path.as_deref().unwrap_or_else(|| uri.path())
    }

    pub(crate) fn query<'a>(&'a self, uri: &'a Uri) -> Option<&'a str> {
        self.query.as_ref().map_or_else(|| uri.query(), Option::as_deref)
    }

    pub(super) fn set_path(&mut self, path: String) {
        self.path = Some(path);
    }

    pub(super) fn set_query(&mut self, query: Option<String>) {
        self.query = Some(query);
    }

    /// Writes the changes to `uri`. Scheme and authority stay.
    pub(crate) fn apply(self, uri: &mut Uri) -> Result<(), Rejection> {
        if self.path.is_none() && self.query.is_none() {
            return Ok(());
        }
        let mut written = self.path(uri).to_owned();
        // `*` and the authority of CONNECT have neither path nor query.
        if !written.starts_with('/') || !uri.path().starts_with('/') {
            return Err(Rejection::new(Refusal::NotFound));
        }
        if let Some(query) = self.query(uri) {
            written.push('?');
            written.push_str(query);
        }
        let too_long = || unusable("the edited path and query are too long");
        let written = PathAndQuery::from_maybe_shared(Bytes::from(written));
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(written.map_err(|_| too_long())?);
        *uri = Uri::from_parts(parts).map_err(|_| too_long())?;
        Ok(())
    }
}
