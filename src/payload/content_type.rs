#[cfg(any(feature = "schema", feature = "throttle", feature = "transform"))]
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, CONTENT_TYPE},
};

use crate::rejection::{Refusal, Rejection};

/// Whether the type is JSON in UTF-8: `application/json` or a type that ends in `+json` (RFC 6839
/// section 3.1).
pub(crate) fn says_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => charset_in(value).is_some(),
        _ => false,
    }
}

/// Returns the charset of the only `content-type` if that is JSON.
pub(super) fn charset_in(value: &HeaderValue) -> Option<Charset> {
    // The bytes of nearly every request.
    if value == "application/json" {
        return Some(Charset::Utf8);
    }
    json_in(value.to_str().ok()?)
}

/// A charset whose bytes are valid UTF-8.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Charset {
    Utf8,
    /// Equal to UTF-8 if all bytes are ASCII. Readers disagree on other bytes. Browsers take the
    /// label for windows-1252 (WHATWG Encoding section 4.2). .NET reads each such byte as a
    /// question mark.
    Ascii,
}

impl Charset {
    /// The labels of UTF-8 in WHATWG Encoding section 4.2 and the labels that clients use for
    /// ASCII. As in that section, case and surrounding space do not count.
    fn of(label: &str) -> Option<Self> {
        const UTF_8: [&str; 6] = [
            "utf-8",
            "utf8",
            "unicode-1-1-utf-8",
            "unicode11utf8",
            "unicode20utf8",
            "x-unicode20utf8",
        ];
        const ASCII: [&str; 3] = ["us-ascii", "ascii", "ansi_x3.4-1968"];
        let label = label.trim_matches(SPACE);
        let is = |own: &&str| own.eq_ignore_ascii_case(label);
        if UTF_8.iter().any(is) {
            Some(Self::Utf8)
        } else {
            ASCII.iter().any(is).then_some(Self::Ascii)
        }
    }
}

/// Rejects bytes beyond ASCII under a type that declares ASCII.
pub(super) fn check_charset(charset: Option<Charset>, bytes: &[u8]) -> Result<(), Rejection> {
    let beyond = match charset {
        Some(Charset::Ascii) => bytes.iter().position(|byte| !byte.is_ascii()),
        Some(Charset::Utf8) | None => None,
    };
    beyond.map_or(Ok(()), |at| {
        let detail = format!("content-type: the charset is us-ascii but byte {at} is not ASCII");
        Err(Rejection::new(Refusal::UnsupportedMediaType)
            .with_detail(detail)
            .with_position(at as u64))
    })
}

/// The kind of a body by its type and its first bytes.
#[cfg(any(feature = "schema", feature = "throttle", feature = "transform"))]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ContentKind {
    /// JSON, or bytes that a lenient parser may accept as JSON.
    Json,
    /// Other text: a form, a plain prompt or XML.
    Text,
    /// An image, audio or a file. Also a streamed body, whose bytes are not known.
    Binary,
}

#[cfg(any(feature = "schema", feature = "throttle", feature = "transform"))]
impl ContentKind {
    /// Returns the kind of these bytes. `bytes` is `None` for a streamed body.
    pub(crate) fn of(headers: &HeaderMap, bytes: Option<&Bytes>) -> Self {
        let first = bytes.and_then(|bytes| first_json_byte(bytes));
        if says_json(headers) || matches!(first, Some(b'{' | b'[')) {
            Self::Json
        } else if says_text(headers) || bytes.is_some_and(|bytes| is_text(bytes)) {
            Self::Text
        } else {
            Self::Binary
        }
    }
}

/// Returns the first byte that a lenient parser may read as JSON. A byte-order mark may precede it.
/// The text may be UTF-16 or UTF-32, which Python's `json.loads` recognizes by the zeros.
pub(crate) fn first_json_byte(bytes: &[u8]) -> Option<u8> {
    let before = |b: &u8| b.is_ascii_whitespace() || b"\0\xef\xbb\xbf\xfe\xff".contains(b);
    bytes.iter().copied().find(|b| !before(b))
}

/// Whether the bytes are UTF-8 without a zero. Silent audio is valid UTF-8 but consists of zeros.
#[cfg(any(feature = "schema", feature = "throttle", feature = "transform"))]
fn is_text(bytes: &[u8]) -> bool {
    memchr::memchr(0, bytes).is_none() && str::from_utf8(bytes).is_ok()
}

/// Whether the type is text or a form with text members.
#[cfg(any(feature = "schema", feature = "throttle", feature = "transform"))]
fn says_text(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_TYPE).iter().any(|value| {
        let essence = value.as_bytes().split(|b| *b == b';').next().unwrap_or_default();
        let essence = essence.trim_ascii().to_ascii_lowercase();
        essence.starts_with(b"text/")
            || essence.ends_with(b"xml")
            || essence.ends_with(b"x-www-form-urlencoded")
            || essence.ends_with(b"json")
    })
}

/// The rejection of a body whose type is not JSON.
pub(crate) fn json_required() -> Rejection {
    Rejection::new(Refusal::UnsupportedMediaType)
        .with_detail("content-type: this route accepts only application/json in UTF-8")
        .with_header(ACCEPT, HeaderValue::from_static("application/json"))
}

/// Returns the charset of a JSON media type (RFC 9110 section 8.3.1). `None` for other types and
/// other charsets.
fn json_in(media_type: &str) -> Option<Charset> {
    let (essence, parameters) =
        media_type.split_at(media_type.find(';').unwrap_or(media_type.len()));
    let (top, sub) = essence.trim_matches(SPACE).split_once('/')?;
    let suffix = sub.len().checked_sub(5).and_then(|at| sub.get(at..));
    // gRPC frames its messages, so a gRPC body is no document even if the messages are JSON.
    let framed = sub.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("grpc"));
    if framed {
        return None;
    }
    let json = top.eq_ignore_ascii_case("application") && sub.eq_ignore_ascii_case("json")
        || sub.len() > 5 && suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"));
    charset(parameters).filter(|_| json && is_token(top) && is_token(sub))
}

const SPACE: [char; 2] = [' ', '\t'];

/// Returns the charset in these parameters, or UTF-8 if they name none (RFC 8259 section 8.1).
///
/// Returns `None` for malformed parameters (RFC 9110 section 5.6.6), because two parsers could read
/// two charsets from them. Space around the equals sign breaks the grammar but is read by all
/// parsers alike.
fn charset(mut parameters: &str) -> Option<Charset> {
    let mut charset = Charset::Utf8;
    loop {
        parameters = parameters.trim_start_matches(SPACE);
        if parameters.is_empty() {
            return Some(charset);
        }
        let rest = parameters.strip_prefix(';')?.trim_start_matches(SPACE);
        if rest.is_empty() || rest.starts_with(';') {
            parameters = rest;
            continue;
        }
        let (name, rest) = rest.split_once('=')?;
        let name = name.trim_end_matches(SPACE);
        let (value, rest) = value(rest.trim_start_matches(SPACE))?;
        if name.eq_ignore_ascii_case("charset") {
            // If the type names two, the narrower one applies.
            match Charset::of(value)? {
                Charset::Ascii => charset = Charset::Ascii,
                Charset::Utf8 => {}
            }
        }
        parameters = is_token(name).then_some(rest)?;
    }
}

/// Splits a parameter's value from the rest. A value is a token or a quoted string. Quoted strings
/// with escapes are not parsed, because no charset needs them.
fn value(text: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, rest) = quoted.split_once('"')?;
        return (!value.contains('\\')).then_some((value, rest));
    }
    let (value, rest) = text.split_at(text.find([';', ' ', '\t']).unwrap_or(text.len()));
    is_token(value).then_some((value, rest))
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(tchar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(any(feature = "schema", feature = "throttle", feature = "transform"))]
    #[test]
    fn content_kind_depends_on_type_and_bytes() {
        let content = |media_type: &'static str, bytes: &'static [u8]| {
            let mut headers = HeaderMap::new();
            if !media_type.is_empty() {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
            }
            ContentKind::of(&headers, Some(&Bytes::from_static(bytes)))
        };
        for (media_type, bytes) in [
            ("application/json", &b"\x89PNG"[..]),
            ("application/vnd.x+json", b"a"),
            ("", b" \r\n{\"a\":1}"),
            ("text/json", b"{}"),
            ("image/png", b"{}"),
            ("application/x-www-form-urlencoded", b"{\"inputs\":1}"),
            ("multipart/form-data; boundary=x", b"[1]"),
            ("application/json; charset=utf-16", b"\xff\xfe{\0}\0"),
            ("", b"\xef\xbb\xbf{}"),
        ] {
            assert_eq!(content(media_type, bytes), ContentKind::Json, "{media_type} {bytes:?}");
        }
        for (media_type, bytes) in [
            ("", &b"once upon a time"[..]),
            ("image/png", b"once"),
            ("text/plain", b"\xff\xfea\0"),
            ("Text/Plain; charset=latin1", b"caf\xe9"),
            ("application/x-www-form-urlencoded", b"inputs=\xe9"),
            ("application/xml", b"\xe9"),
            ("application/x-ndjson", b"\xe9"),
            ("", b""),
        ] {
            assert_eq!(content(media_type, bytes), ContentKind::Text, "{media_type} {bytes:?}");
        }
        for (media_type, bytes) in [
            ("", &b"\x89PNG\r\n"[..]),
            ("", b"RIFF\0\0\0\0"),
            ("audio/flac", b"fLaC\0"),
            ("application/octet-stream", b"\xff\xfb"),
        ] {
            assert_eq!(content(media_type, bytes), ContentKind::Binary, "{media_type} {bytes:?}");
        }
        let headers = HeaderMap::new();
        assert_eq!(ContentKind::of(&headers, None), ContentKind::Binary);
    }

    #[test]
    fn json_types_in_utf_8_are_recognized() {
        let is_json = |media_type: &str| json_in(media_type) == Some(Charset::Utf8);
        for json in [
            "application/json",
            "Application/JSON ; charset=UTF-8",
            "application/json;charset=\"utf-8\"; profile=\"a;b\"",
            "application/vnd.api+json",
            "model/gltf+json;;",
            "application/json; charset=utf-8;",
        ] {
            assert!(is_json(json), "{json}");
        }
        for other in [
            "",
            "json",
            "text/plain",
            "application/jsonl",
            "application/x-ndjson",
            "application/+json",
            "text/json",
            "/json",
            "application/json, text/plain",
            "application/json; charset=latin1",
            "application/json; charset=utf-8; charset=utf-16",
            "application/json; charset=\"utf-8",
            "application/json; charset",
            "application/json; charset=\"utf\\-8\"",
            "application/json; charset=utf-8 x",
            "application/grpc+json",
            "application/GRPC-web+json; charset=utf-8",
        ] {
            assert!(!is_json(other), "{other}");
        }
    }
}
