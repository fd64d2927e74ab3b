use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, IF_MATCH, IF_MODIFIED_SINCE,
        IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, UPGRADE,
    },
};

/// The headers of a request that the cache reads, found in one pass.
///
/// A lookup in the map hashes its name, which takes longer than to compare it with every header of
/// most requests.
pub(crate) struct RequestHeaders<'a> {
    map: &'a HeaderMap,
    pub(crate) host: Option<&'a HeaderValue>,
    /// The first one.
    pub(crate) content_type: Option<&'a HeaderValue>,
    pub(crate) has_one_content_type: bool,
    pub(crate) has_authorization: bool,
    pub(crate) has_cache_control: bool,
    /// The request asks for a part of a response, has a condition or upgrades the protocol.
    pub(crate) is_partial: bool,
    keyed: &'a [HeaderName],
    /// A bit for each of the first 64 `keyed` names that the request has.
    present: u64,
}

impl<'a> RequestHeaders<'a> {
    /// Reads the headers. `keyed` are the names of those that are part of the key.
    pub(crate) fn of(map: &'a HeaderMap, keyed: &'a [HeaderName]) -> Self {
        let mut headers = Self {
            map,
            host: None,
            content_type: None,
            has_one_content_type: false,
            has_authorization: false,
            has_cache_control: false,
            is_partial: false,
            keyed,
            present: 0,
        };
        for (name, value) in map {
            // By names rather than by their text, which would be read first.
            if *name == HOST {
                headers.host = headers.host.or(Some(value));
            } else if *name == CONTENT_TYPE {
                headers.has_one_content_type = headers.content_type.is_none();
                headers.content_type = headers.content_type.or(Some(value));
            } else if *name == AUTHORIZATION {
                headers.has_authorization = true;
            } else if *name == CACHE_CONTROL {
                headers.has_cache_control = true;
            } else {
                headers.is_partial |= asks_for_a_part(name);
            }
            for (number, _) in keyed.iter().take(64).enumerate().filter(|(_, own)| *own == name) {
                headers.present |= 1 << number;
            }
        }
        headers
    }

    /// Returns the headers of the key in the order of their names in the settings.
    pub(crate) fn keyed(&self) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> {
        let (map, present) = (self.map, self.present);
        let is_present = move |number: usize| number >= 64 || present >> number & 1 == 1;
        let names = self.keyed.iter().enumerate().filter(move |(number, _)| is_present(*number));
        names.flat_map(move |(_, name)| map.get_all(name).iter().map(move |value| (name, value)))
    }

    pub(crate) fn is_grpc(&self) -> bool {
        let content_type = self.content_type.map(HeaderValue::as_bytes);
        let start = content_type.and_then(|value| value.get(..b"application/grpc".len()));
        start.is_some_and(|start| start.eq_ignore_ascii_case(b"application/grpc"))
    }

    pub(crate) const fn map(&self) -> &'a HeaderMap {
        self.map
    }
}

/// Returns whether a header of this name makes a request partial.
fn asks_for_a_part(name: &HeaderName) -> bool {
    *name == IF_MATCH
        || *name == IF_MODIFIED_SINCE
        || *name == IF_NONE_MATCH
        || *name == IF_RANGE
        || *name == IF_UNMODIFIED_SINCE
        || *name == RANGE
        || *name == UPGRADE
}

#[cfg(test)]
mod tests {
    use http::header::ACCEPT;

    use super::*;

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers.iter().map(pair) {
            map.append(name, value);
        }
        map
    }

    #[test]
    fn partial_requests_and_protocols_are_told_apart() {
        let is_partial = |name| RequestHeaders::of(&map(&[(name, "x")]), &[]).is_partial;
        for name in [
            "if-match",
            "if-modified-since",
            "if-none-match",
            "if-range",
            "if-unmodified-since",
            "range",
            "upgrade",
        ] {
            assert!(is_partial(name), "{name}");
        }
        for name in ["accept", "host", "x-range", "upgrade-insecure-requests"] {
            assert!(!is_partial(name), "{name}");
        }
        let is_grpc = |value| RequestHeaders::of(&map(&[("content-type", value)]), &[]).is_grpc();
        assert!(is_grpc("application/grpc+proto") && is_grpc("Application/GRPC"));
        assert!(!is_grpc("application/json") && !is_grpc("application"));
    }

    #[test]
    fn the_first_of_several_values_counts() {
        let both = map(&[("host", "a"), ("content-type", "x/y"), ("host", "b")]);
        let headers = RequestHeaders::of(&both, &[]);
        assert_eq!(headers.host.unwrap(), "a");
        assert_eq!(headers.content_type.unwrap(), "x/y");
        assert!(headers.has_one_content_type);
        assert!(!headers.has_authorization && !headers.has_cache_control);
        let twice = map(&[
            ("content-type", "x/y"),
            ("content-type", "x/z"),
            ("authorization", "x"),
            ("cache-control", "x"),
        ]);
        let headers = RequestHeaders::of(&twice, &[]);
        assert_eq!(headers.content_type.unwrap(), "x/y");
        assert!(!headers.has_one_content_type);
        assert!(headers.has_authorization && headers.has_cache_control);
    }

    #[test]
    fn headers_of_the_key_come_in_the_order_of_the_settings() {
        let map = map(&[("host", "h"), ("x-late", "1"), ("accept", "a"), ("x-late", "2")]);
        let mut names = vec![HeaderName::from_static("x-absent"), ACCEPT, HOST];
        let values = |names: &[HeaderName]| {
            let headers = RequestHeaders::of(&map, names);
            headers.keyed().map(|(_, value)| value.clone()).collect::<Vec<_>>()
        };
        assert_eq!(values(&names), ["a", "h"]);
        // More names than bits.
        names.extend((0..80).map(|number| format!("x-{number}").parse().unwrap()));
        names.push(HeaderName::from_static("x-late"));
        assert_eq!(values(&names), ["a", "h", "1", "2"]);
    }
}
