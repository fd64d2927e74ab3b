use http::{Uri, uri::PathAndQuery};

use crate::rejection::{Refusal, Rejection};

/// The path and the query while they are edited.
#[derive(Debug, Default)]
pub(super) struct Target {
    // As the request has it, until an edit asks for it.
    path: Option<String>,
    query: Option<Option<String>>,
}

impl Target {
    pub(super) fn path_mut(&mut self, uri: &Uri) -> &mut String {
        self.path.get_or_insert_with(|| uri.path().to_owned())
    }

    pub(super) fn query_mut(&mut self, uri: &Uri) -> &mut Option<String> {
        self.query.get_or_insert_with(|| uri.query().map(str::to_owned))
    }

    /// Writes what was edited. Scheme and authority stay.
    pub(super) fn put_into(self, uri: &mut Uri) -> Result<(), Rejection> {
        if self.path.is_none() && self.query.is_none() {
            return Ok(());
        }
        let path = self.path.as_deref().unwrap_or_else(|| uri.path());
        let query = match &self.query {
            Some(query) => query.as_deref(),
            None => uri.query(),
        };
        let mut written = path.to_owned();
        if let Some(query) = query {
            written.push('?');
            written.push_str(query);
        }
        if uri.path_and_query().is_some_and(|own| own.as_str() == written) {
            return Ok(());
        }
        let too_long = || {
            Rejection::new(Refusal::Forbidden).with_detail("the path or the query became too long")
        };
        let written = PathAndQuery::from_maybe_shared(bytes::Bytes::from(written));
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(written.map_err(|_| too_long())?);
        *uri = Uri::from_parts(parts).map_err(|_| too_long())?;
        Ok(())
    }
}
