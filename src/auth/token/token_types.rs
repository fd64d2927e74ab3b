//! The `typ` of a token (RFC 8725 section 3.11).

/// The accepted values of the `typ` header.
#[derive(Clone, Debug)]
pub(super) struct TokenTypes {
    pub(super) accepted: Vec<Box<str>>,
    /// Rejects tokens without `typ`.
    pub(super) required: bool,
}

impl TokenTypes {
    pub(super) fn accepts(&self, kind: Option<&str>) -> bool {
        let Some(kind) = kind else {
            return !self.required;
        };
        self.accepted
            .iter()
            .any(|accepted| without_prefix(accepted).eq_ignore_ascii_case(without_prefix(kind)))
    }
}

/// Removes a leading `application/`. It is optional if the rest has no slash (RFC 7515 section
/// 4.1.9).
fn without_prefix(kind: &str) -> &str {
    match kind.split_at_checked(b"application/".len()) {
        Some((start, rest))
            if start.eq_ignore_ascii_case("application/") && !rest.contains('/') =>
        {
            rest
        }
        _ => kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_types_are_media_types() {
        let default = TokenTypes { accepted: vec!["JWT".into(), "at+jwt".into()], required: false };
        for kind in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"] {
            assert!(default.accepts(Some(kind)), "{kind}");
        }
        for kind in
            ["", "application/", "logout+jwt", "dpop+jwt", "at+jwt;x=1", "text/at+jwt", "id_token"]
        {
            assert!(!default.accepts(Some(kind)), "{kind}");
        }
        assert!(default.accepts(None));
        assert!(!TokenTypes { accepted: vec!["x".into()], required: true }.accepts(None));
        assert!(!TokenTypes { accepted: vec![], required: true }.accepts(Some("JWT")));
    }
}
