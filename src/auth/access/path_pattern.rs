//! Patterns for the path of a request.

/// A path, or the start of one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum PathPattern {
    Exact(Box<str>),
    /// `/v1/*`, stored as `/v1/`.
    Below(Box<str>),
}

impl PathPattern {
    pub(super) fn new(pattern: &str) -> Self {
        match pattern.strip_suffix('*') {
            Some(start) if start.ends_with('/') => Self::Below(start.into()),
            _ => Self::Exact(pattern.into()),
        }
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(own) => **own == *path,
            Self::Below(start) => path.strip_prefix(&**start).is_some_and(is_plain),
        }
    }
}

/// Returns whether every server reads a path as it is written. A server may resolve dots and decode
/// slashes, and then find a path outside of the pattern (RFC 3986 section 6.2.2).
fn is_plain(path: &str) -> bool {
    let encodes_separator = |path: &str| {
        let mut encoded = path.as_bytes().windows(3).filter(|window| window.starts_with(b"%"));
        encoded.any(|window| {
            [&b"%2e"[..], b"%2f", b"%3b", b"%5c", b"%25", b"%00"]
                .iter()
                .any(|bad| window.eq_ignore_ascii_case(bad))
        })
    };
    let mut segments = path.split('/');
    let last = segments.next_back().unwrap_or_default();
    !segments.any(|segment| matches!(segment, "" | "." | ".."))
        && !matches!(last, "." | "..")
        && !path.contains(['\\', ';'])
        && !encodes_separator(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_below_a_pattern() {
        let pattern = PathPattern::new("/v1/*");
        for path in ["/v1/", "/v1/models", "/v1/models/org/name", "/v1/a.b", "/v1/a/", "/v1/a%20b"]
        {
            assert!(pattern.matches(path), "{path}");
        }
        for path in [
            "/v1",
            "/v10/models",
            "/V1/models",
            "/v1/../admin",
            "/v1/..",
            "/v1/./models",
            "/v1//admin",
            "/v1/%2e%2E/admin",
            "/v1/a%2Fb",
            "/v1/a%5cb",
            "/v1/%252e%252e/admin",
            "/v1/..;/admin",
            "/v1/..%3b/admin",
            "/v1/a%3Bb",
            "/v1/a\\b",
            "/v1/a%00",
        ] {
            assert!(!pattern.matches(path), "{path}");
        }
        assert!(PathPattern::new("/v1/models").matches("/v1/models"));
        assert!(!PathPattern::new("/v1/models").matches("/v1/models/"));
        // A star elsewhere is a character like any other.
        assert!(!PathPattern::new("/v1*").matches("/v10"));
    }
}
