//! The request headers that no upstream receives. `hf` removes them and documents them, and a test
//! compares the two.

/// Returns whether a request header is removed before the upstream. `authorization` is overwritten
/// instead.
#[inline]
pub(crate) fn is_stripped(name: &str) -> bool {
    !is_usual(name) && is_listed(name)
}

/// Returns whether nearly every request has this header, which stays. The compiler compares a name only
/// with those of its length.
#[inline]
fn is_usual(name: &str) -> bool {
    matches!(
        name,
        "accept"
            | "accept-encoding"
            | "authorization"
            | "connection"
            | "content-length"
            | "content-type"
            | "host"
            | "user-agent"
    )
}

#[inline(never)]
fn is_listed(name: &str) -> bool {
    // CGI and WSGI servers read an underscore as a dash: `x_api_key` is `x-api-key` to them.
    if memchr::memchr(b'_', name.as_bytes()).is_some() {
        return true;
    }
    // Selects the comparisons by both ends of a name, so that most names need none. This runs for every
    // header of every request.
    let (names, starts): (&[&str], &[&str]) = match name.as_bytes() {
        [b'a', ..] => (&[], &["azureml-"]),
        [b'c', ..] => (&["cf-connecting-ip"], &["cf-access-", "cf-aig-", "client-cert"]),
        [b'e', ..] => (&["expect"], &[]),
        [b'f', ..] => (&["forwarded"], &[]),
        [b'h', ..] => (&[], &["helicone-"]),
        [b'm', ..] => (&["mm-model-id", "mm-vmodel-id", "model"], &[]),
        [b'o', ..] => (&["openai-organization", "openai-project"], &[]),
        [b'r', ..] => (&["routing-strategy"], &["remote-"]),
        [b's', ..] => (&[], &["ssl-client-"]),
        [b't', ..] => (&["trailer", "true-client-ip"], &["tailscale-user-"]),
        [b'x', b'-', third, ..] => match third {
            b'a' => (
                &["x-arr-clientcert"],
                &[
                    "x-ai-eg-",
                    "x-amz-",
                    "x-amzn-mtls-",
                    "x-amzn-oidc-",
                    "x-amzn-sagemaker-",
                    "x-auth-",
                    "x-authent",
                ],
            ),
            b'c' => (&["x-client-ip"], &["x-client-cert", "x-consumer-"]),
            b'd' => (&["x-data-parallel-rank"], &[]),
            b'f' => (&[], &["x-forwarded-"]),
            b'g' => (&[], &["x-gateway-", "x-goog-authenticated-user-", "x-goog-iap-"]),
            b'h' => (&["x-hf-bill-to", "x-host"], &[]),
            b'l' => (&[], &["x-litellm-"]),
            b'm' => (&[], &["x-ms-client-principal", "x-ms-token-"]),
            b'o' => (&[], &["x-original-"]),
            b'p' => (&[], &["x-pomerium-", "x-portkey-"]),
            b'r' => (&["x-real-ip", "x-rewrite-url"], &["x-remote-"]),
            b's' => (&["x-selected-model"], &["x-ssl-client-"]),
            b'v' => (&[], &["x-vouch-"]),
            b'w' => (&[], &["x-webauth-"]),
            _ => (&[], &[]),
        },
        _ => (&[], &[]),
    };
    let ends: &[&str] = match name.as_bytes() {
        [.., b'd'] => &["password"],
        [.., b'e'] => &["cookie"],
        [.., b'l'] => &["credential"],
        [.., b'n'] if name == "authorization" => &[],
        [.., b'n'] => &["assertion", "authorization", "token"],
        [.., b's'] => &["credentials"],
        [.., b't'] => &["jwt", "secret"],
        [.., b'y'] => &["access-key", "api-key", "apikey", "subscription-key"],
        _ => &[],
    };
    names.contains(&name)
        || starts.iter().any(|start| name.starts_with(start))
        || ends.iter().any(|end| name.ends_with(end))
}
