//! Recognises content that was given in place of other content.

/// Returns `content` without the byte-order mark of UTF-8. RFC 8259 section 8.1 lets readers ignore
/// it, and editors write it unasked.
pub(crate) fn without_byte_order_mark(content: &[u8]) -> &[u8] {
    content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content)
}

/// Returns the form of `content` in words, if it is a form that is often given by mistake.
#[cfg(any(feature = "auth", feature = "client", feature = "redis", feature = "schema"))]
pub(crate) fn lookalike(content: &[u8]) -> Option<&'static str> {
    let content = without_byte_order_mark(content).trim_ascii();
    let starts = |start: &str| content.starts_with(start.as_bytes());
    Some(match content {
        [] => "it is empty",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "it is UTF-16: save it as UTF-8",
        [0x1f, 0x8b, ..] => "it is compressed with gzip: decompress it",
        // The tag of a sequence and a length of one to four bytes (X.690 section 8.1.3.5).
        [0x30, 0x81..=0x84, ..] => "it is DER, the binary form of keys and certificates",
        [b'<', ..] => "it is HTML or XML, such as the page of a login or an error",
        _ if starts("-----BEGIN CERTIFICATE") => "it is PEM: a certificate",
        _ if starts("-----BEGIN PUBLIC KEY") => "it is PEM: a public key",
        _ if starts("-----BEGIN ") && contains(content, "PRIVATE KEY-----") => {
            "it is PEM: a private key"
        }
        _ if starts("-----BEGIN ") => "it is PEM",
        _ if starts("http://") || starts("https://") => "it is a URL",
        _ if starts("eyJ") => "it is a JSON Web Token",
        _ if is_path(content) => "it is the path of a file: give the content of the file",
        _ if is_yaml(content) => "it is YAML: convert it to JSON",
        _ => return None,
    })
}

#[cfg(any(feature = "auth", feature = "client", feature = "redis", feature = "schema"))]
fn contains(content: &[u8], text: &str) -> bool {
    memchr::memmem::find(content, text.as_bytes()).is_some()
}

/// Returns whether the content is one word that ends as the names of files do.
#[cfg(any(feature = "auth", feature = "client", feature = "redis", feature = "schema"))]
fn is_path(content: &[u8]) -> bool {
    const ENDS: [&str; 7] = [".json", ".jwks", ".yaml", ".yml", ".pem", ".crt", ".txt"];
    let one_line = content.len() <= 1_024 && !content.contains(&b'\n');
    one_line && ENDS.iter().any(|end| content.ends_with(end.as_bytes()))
}

/// Returns whether the first line is a word with a colon.
#[cfg(any(feature = "auth", feature = "client", feature = "redis", feature = "schema"))]
fn is_yaml(content: &[u8]) -> bool {
    let line = content.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    let colon = line.iter().position(|byte| *byte == b':');
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'$' | b'_' | b'-');
    let named = colon.and_then(|end| Some((line.get(..end)?, line.get(end + 1..)?)));
    line == b"---"
        || named.is_some_and(|(name, rest)| {
            !name.is_empty() && name.iter().all(is_name) && matches!(rest, [] | [b' ', ..])
        })
}

#[cfg(all(test, feature = "auth"))]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_named() {
        for (content, words) in [
            (&b""[..], "empty"),
            (b" \n", "empty"),
            (b"\xff\xfe{\0", "UTF-16"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"0\x82\x01\x0a", "DER"),
            (b"\n<!doctype html>", "HTML"),
            (b"\xef\xbb\xbf-----BEGIN CERTIFICATE-----\n", "PEM: a certificate"),
            (b"-----BEGIN PUBLIC KEY-----\n", "PEM: a public key"),
            (b"-----BEGIN EC PRIVATE KEY-----\n", "PEM: a private key"),
            (b"https://a.example/jwks", "a URL"),
            (b"eyJhbGciOiJFUzI1NiJ9.e30.AA", "a JSON Web Token"),
            (b"keys/jwks.json", "the path of a file"),
            (b"type: object\nproperties:\n", "YAML"),
            (b"---\ntype: object", "YAML"),
        ] {
            assert!(lookalike(content).is_some_and(|form| form.contains(words)), "{words}");
        }
    }

    #[test]
    fn json_has_its_own_errors() {
        for content in ["{", "[", "{\"keys\": 1}", "true", "{\"a\": \"b.json\"}\n", "nonsense"] {
            assert_eq!(lookalike(content.as_bytes()), None, "{content}");
        }
    }
}
