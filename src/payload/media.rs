#[cfg(any(feature = "schema", feature = "throttle", feature = "transform"))]
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, CONTENT_TYPE},
};

use crate::rejection::{Refusal, Rejection};

/// Whether the type says that it is JSON in UTF-8: `application/json`, or what ends in `+json` (RFC
/// 6839 section 3.1).
pub(crate) fn says_json(headers: &HeaderMap) -> bool {
    charset_of_json(headers).is_some()
}

/// The charset that the type names, if the type is JSON.
pub(super) fn charset_of_json(headers: &HeaderMap) -> Option<Charset> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => json_in(value.to_str().ok()?),
        _ => None,
    }
}

/// A charset whose bytes are those of UTF-8.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Charset {
    Utf8,
    /// The same where all bytes are ASCII. For others, readers differ: to browsers the label means
    /// windows-1252 (WHATWG Encoding section 4.2), to .NET each such byte is a question mark.
    Ascii,
}

impl Charset {
    /// The labels of UTF-8 in WHATWG Encoding section 4.2, and those by which clients name ASCII.
    /// They are compared without case and without the space around them, as section 4.2 asks.
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

/// Refuses bytes that are not ASCII under a type that says so.
pub(super) fn check_charset(charset: Option<Charset>, bytes: &[u8]) -> Result<(), Rejection> {
    let beyond = match charset {
        Some(Charset::Ascii) => bytes.iter().position(|byte| !byte.is_ascii()),
        Some(Charset::Utf8) | None => None,
    };
    beyond.map_or(Ok(()), |at| {
        let detail = format!("content-type: the charset is us-ascii, and byte {at} is not");
        Err(Rejection::new(Refusal::UnsupportedMediaType)
            .with_detail(detail)
            .with_position(at as u64))
    })
}

/// What a body holds, by its type and its first bytes.
#[cfg(any(feature = "schema", feature = "throttle", feature = "transform"))]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Content {
    /// JSON, or what a reader that is less strict may take for it.
    Json,
    /// Other text: a form, a plain prompt, XML.
    Text,
    /// An image, a sound, a file; or what is streamed, so that nobody knows.
    Binary,
}

#[cfg(any(feature = "schema", feature = "throttle", feature = "transform"))]
impl Content {
    /// What these bytes hold; none where they are streamed.
    pub(crate) fn of(headers: &HeaderMap, bytes: Option<&Bytes>) -> Self {
        let first = bytes.and_then(|bytes| first_of_json(bytes));
        if says_json(headers) || matches!(first, Some(b'{' | b'[')) {
            Self::Json
        } else if says_text(headers) || bytes.is_some_and(|bytes| is_text(bytes)) {
            Self::Text
        } else {
            Self::Binary
        }
    }
}

/// The first byte of what a reader that is less strict may take for JSON: behind a byte-order mark,
/// or in UTF-16 or UTF-32, which Python's `json.loads` tells by their zeros.
pub(crate) fn first_of_json(bytes: &[u8]) -> Option<u8> {
    let before = |b: &u8| b.is_ascii_whitespace() || b"\0\xef\xbb\xbf\xfe\xff".contains(b);
    bytes.iter().copied().find(|b| !before(b))
}

/// Whether bytes are characters of UTF-8 without a zero. Silence is a row of zeros.
#[cfg(any(feature = "schema", feature = "throttle", feature = "transform"))]
fn is_text(bytes: &[u8]) -> bool {
    memchr::memchr(0, bytes).is_none() && str::from_utf8(bytes).is_ok()
}

/// Whether the type is one of text, or of a form whose members are text.
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

/// Refuses what does not say so.
pub(crate) fn only_json() -> Rejection {
    Rejection::new(Refusal::UnsupportedMediaType)
        .with_detail("content-type: only application/json in utf-8 is taken here")
        .with_header(ACCEPT, HeaderValue::from_static("application/json"))
}

/// The charset of a media type (RFC 9110 section 8.3.1) that is JSON. `None` for other types, and
/// for those that name another charset than UTF-8.
fn json_in(media_type: &str) -> Option<Charset> {
    if media_type == "application/json" {
        return Some(Charset::Utf8);
    }
    let (essence, parameters) =
        media_type.split_at(media_type.find(';').unwrap_or(media_type.len()));
    let (top, sub) = essence.trim_matches(SPACE).split_once('/')?;
    let suffix = sub.len().checked_sub(5).and_then(|at| sub.get(at..));
    // gRPC frames its messages, in JSON or not: a body of them is no document.
    let framed = sub.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("grpc"));
    if framed {
        return None;
    }
    let json = top.eq_ignore_ascii_case("application") && sub.eq_ignore_ascii_case("json")
        || sub.len() > 5 && suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"));
    charset(parameters).filter(|_| json && is_token(top) && is_token(sub))
}

const SPACE: [char; 2] = [' ', '\t'];

/// The charset that these parameters name; UTF-8 where they name none (RFC 8259 section 8.1).
///
/// `None` for parameters that are not well formed (RFC 9110 section 5.6.6): two parsers that take
/// them apart differently would read two charsets. Space around the equals sign, which the grammar
/// does not have, changes no reading.
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
            // Of two, the narrower.
            match Charset::of(value)? {
                Charset::Ascii => charset = Charset::Ascii,
                Charset::Utf8 => {}
            }
        }
        parameters = is_token(name).then_some(rest)?;
    }
}

/// A parameter's value, and what follows it: a token, or a quoted string. One that holds escapes is
/// not taken apart: no charset needs them.
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
    fn a_body_is_told_by_its_type_and_its_bytes() {
        let content = |media_type: &'static str, bytes: &'static [u8]| {
            let mut headers = HeaderMap::new();
            if !media_type.is_empty() {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
            }
            Content::of(&headers, Some(&Bytes::from_static(bytes)))
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
            assert_eq!(content(media_type, bytes), Content::Json, "{media_type} {bytes:?}");
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
            assert_eq!(content(media_type, bytes), Content::Text, "{media_type} {bytes:?}");
        }
        for (media_type, bytes) in [
            ("", &b"\x89PNG\r\n"[..]),
            ("", b"RIFF\0\0\0\0"),
            ("audio/flac", b"fLaC\0"),
            ("application/octet-stream", b"\xff\xfb"),
        ] {
            assert_eq!(content(media_type, bytes), Content::Binary, "{media_type} {bytes:?}");
        }
        let headers = HeaderMap::new();
        assert_eq!(Content::of(&headers, None), Content::Binary);
    }

    #[test]
    fn types_that_are_json_in_utf_8_are_told_from_others() {
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
