//! The query parameters that no upstream receives. `hf` removes them and documents them.

/// Returns whether a query parameter of this name holds credentials. The name may be encoded.
pub(crate) fn is_credentials(name: &str) -> bool {
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
