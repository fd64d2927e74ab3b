use http::HeaderValue;

/// Makes the reasons with their names and their values of `cache-status`, which need no allocation.
macro_rules! bypass_reasons {
    ($($(#[$docs:meta])* $reason:ident = $name:literal,)*) => {
        /// The reason that a request bypasses the cache. The module docs list the names.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(crate) enum BypassReason {
            $($(#[$docs])* $reason,)*
        }

        impl BypassReason {
            /// Returns the member of `cache-status` for this cache. The name is its `detail`.
            pub(crate) const fn header_value(self) -> HeaderValue {
                match self {
                    $(Self::$reason => HeaderValue::from_static(
                        concat!("tower-inference; fwd=bypass; detail=", $name),
                    ),)*
                }
            }

            #[cfg(test)]
            const NAMES: &[&str] = &[$($name),*];
        }
    };
}

bypass_reasons! {
    ExpiredIdentity = "expired-identity",
    Grpc = "grpc",
    Method = "method",
    /// Another cache layer further out has the request.
    Nested = "nested",
    /// The function of a scope knows no name for the request.
    NoScope = "no-scope",
    NoStore = "no-store",
    NoTenant = "no-tenant",
    NoTimeToLive = "no-time-to-live",
    NotDeterministic = "not-deterministic",
    NotJson = "not-json",
    /// The function of [`Cacheable::by`](super::Cacheable::by) returned `false`.
    NotSelected = "not-selected",
    /// A part of a response, a condition or another protocol is requested.
    Partial = "partial",
    Stateful = "stateful",
    StreamedBody = "streamed-body",
    /// The scope needs an identity, and the request has no credentials.
    WithoutIdentity = "without-identity",
    UnverifiedCredentials = "unverified-credentials",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_in_the_docs() {
        let docs = include_str!("../mod.rs");
        for name in BypassReason::NAMES {
            let row = format!("//! | `{name}` |");
            assert_eq!(docs.matches(&row).count(), 1, "{row}");
        }
    }

    #[test]
    fn the_name_is_a_token() {
        // RFC 9211 section 2.8, RFC 9651 section 3.3.4.
        let value = BypassReason::NotDeterministic.header_value();
        assert_eq!(value, "tower-inference; fwd=bypass; detail=not-deterministic");
        for name in BypassReason::NAMES {
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{name}");
        }
    }
}
