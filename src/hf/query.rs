//! Credentials in a query, as in presigned URLs (SigV4) and from clients that cannot set headers.

/// Returns the query without credentials, or `None` when it has none. The other parameters keep their
/// bytes.
pub(super) fn without_credentials(query: &str) -> Option<String> {
    let credentials = |parameter: &&str| is_credentials(parameter.split('=').next().unwrap_or(""));
    query.split('&').find(credentials)?;
    let kept: Vec<_> = query.split('&').filter(|parameter| !credentials(parameter)).collect();
    Some(kept.join("&"))
}

fn is_credentials(name: &str) -> bool {
    // Longer than every known name. A longer name can match only by its prefix, and decoding never
    // lengthens it.
    let mut decoded = [0; 24];
    let mut length = 0;
    for (place, byte) in decoded.iter_mut().zip(decode(name.as_bytes())) {
        *place = if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
        length += 1;
    }
    let decoded = decoded.get(..length).unwrap_or_default();
    let name = decoded.split(|byte| *byte == b'[').next().unwrap_or_default();
    name.starts_with(b"x-amz-") || CREDENTIALS.contains(&name)
}

const CREDENTIALS: &[&[u8]] = &[
    b"access-key",
    b"access-token",
    b"api-key",
    b"apikey",
    b"auth-token",
    b"authorization",
    b"client-secret",
    b"id-token",
    b"jwt",
    b"key",
    b"password",
    b"secret",
    b"subscription-key",
    b"token",
    b"x-api-key",
];

/// Percent-decodes (RFC 3986 section 2.1), because the upstream reads `X%2DAmz` as `X-Amz`.
fn decode(mut bytes: &[u8]) -> impl Iterator<Item = u8> {
    let digit =
        |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    std::iter::from_fn(move || {
        let (first, rest) = bytes.split_first()?;
        if let (b'%', [high, low, rest @ ..]) = (first, rest)
            && let (Some(high), Some(low)) = (digit(high), digit(low))
        {
            bytes = rest;
            return Some(high << 4 | low);
        }
        bytes = rest;
        Some(*first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_signature_of_a_presigned_query_is_removed() {
        let query = "a=%2F&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20261123&b\
            &X-Amz-Security-Token=t&X-Amz-Signature=s&x-amz-date=1&X%2damz%2DExpires=9&&c==";
        assert_eq!(without_credentials(query).unwrap(), "a=%2F&b&&c==");
    }

    #[test]
    fn tokens_and_keys_are_removed_in_every_spelling() {
        for name in [
            "access_token",
            "access-token[]",
            "API_KEY",
            "api%5fkey",
            "%61pikey",
            "token",
            "id_token",
            "subscription-key",
            "key",
        ] {
            assert_eq!(without_credentials(&format!("{name}=x")).unwrap(), "", "{name}");
            assert_eq!(without_credentials(&format!("{name}&a=1")).unwrap(), "a=1", "{name}");
        }
    }

    #[test]
    fn other_queries_are_unchanged() {
        for query in
            ["", "a=1", "a=access_token", "max_tokens=5", "page_token=3", "%", "%6=%zz", "="]
        {
            assert_eq!(without_credentials(query), None, "{query}");
        }
        // As long as the longest known name, and longer.
        assert_eq!(without_credentials("authorization123=1&authorizationauthorization=1"), None);
    }
}
