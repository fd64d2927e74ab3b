use bytes::Bytes;
use http::{Uri, uri::PathAndQuery};

use super::value::unusable;
use crate::rejection::{Refusal, Rejection};

/// The path and the query while they are edited.
#[derive(Debug, Default)]
pub(super) struct Target {
    // As the request has it, until an edit changes it.
    path: Option<String>,
    query: Option<Option<String>>,
}

impl Target {
    pub(super) fn path<'a>(&'a self, uri: &'a Uri) -> &'a str {
        self.path.as_deref().unwrap_or_else(|| uri.path())
    }

    pub(super) fn query<'a>(&'a self, uri: &'a Uri) -> Option<&'a str> {
        self.query.as_ref().map_or_else(|| uri.query(), Option::as_deref)
    }

    pub(super) fn set_path(&mut self, path: String) {
        self.path = Some(path);
    }

    pub(super) fn set_query(&mut self, query: Option<String>) {
        self.query = Some(query);
    }

    /// Writes what was changed. Scheme and authority stay.
    pub(super) fn put_into(self, uri: &mut Uri) -> Result<(), Rejection> {
        if self.path.is_none() && self.query.is_none() {
            return Ok(());
        }
        let mut written = self.path(uri).to_owned();
        // `*` and the authorities of CONNECT have neither path nor query.
        if !written.starts_with('/') || !uri.path().starts_with('/') {
            return Err(Rejection::new(Refusal::NotFound));
        }
        if let Some(query) = self.query(uri) {
            written.push('?');
            written.push_str(query);
        }
        let too_long = || unusable("the path or the query became too long");
        let written = PathAndQuery::from_maybe_shared(Bytes::from(written));
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(written.map_err(|_| too_long())?);
        *uri = Uri::from_parts(parts).map_err(|_| too_long())?;
        Ok(())
    }
}
