/// Returns the host and the port of an origin such as `https://router.huggingface.co`, as `server.address`
/// and `server.port` of OpenTelemetry have them.
pub(crate) fn server_of(origin: &str) -> (&str, Option<u16>) {
    let (scheme, authority) = origin.split_once("://").unwrap_or(("", origin));
    let by_scheme = match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    };
    let (host, port) = match authority.rsplit_once(':') {
        // Not within the brackets of an IPv6 address.
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok().or(by_scheme)),
        _ => (authority, by_scheme),
    };
    (host.trim_matches(['[', ']']), port)
}

#[cfg(test)]
mod tests {
    use super::server_of;

    #[test]
    fn an_origin_has_a_host_and_a_port() {
        for (origin, host, port) in [
            ("https://a.example", "a.example", Some(443)),
            ("http://a:8000", "a", Some(8_000)),
            ("https://[::1]", "::1", Some(443)),
            ("http://[::1]:8000", "::1", Some(8_000)),
            ("a", "a", None),
        ] {
            assert_eq!(server_of(origin), (host, port), "{origin}");
        }
    }
}
