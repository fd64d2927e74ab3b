use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, CONTENT_TYPE},
};

use crate::rejection::{Refusal, Rejection};

/// Whether the type says that it is JSON: `application/json`, or what ends in `+json` (RFC 6839
/// section 3.1).
pub(crate) fn says_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().is_ok_and(is_json),
        _ => false,
    }
}

/// Refuses what does not say so.
pub(crate) fn only_json() -> Rejection {
    Rejection::new(Refusal::UnsupportedMediaType)
        .with_detail("only application/json in utf-8 is taken here")
        .with_field(ACCEPT, HeaderValue::from_static("application/json"))
}

/// Whether a media type (RFC 9110 section 8.3.1) is JSON, and names no charset but UTF-8.
fn is_json(media_type: &str) -> bool {
    if media_type == "application/json" {
        return true;
    }
    let (essence, parameters) =
        media_type.split_at(media_type.find(';').unwrap_or(media_type.len()));
    let Some((top, sub)) = essence.trim_matches(SPACE).split_once('/') else { return false };
    let suffix = sub.len().checked_sub(5).and_then(|at| sub.get(at..));
    // gRPC frames its messages, in JSON or not: a body of them is no document.
    let framed = sub.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("grpc"));
    if framed {
        return false;
    }
    let json = top.eq_ignore_ascii_case("application") && sub.eq_ignore_ascii_case("json")
        || sub.len() > 5 && suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"));
    json && is_token(top) && is_token(sub) && all_utf8(parameters)
}

const SPACE: [char; 2] = [' ', '\t'];

/// Whether these are well-formed parameters (RFC 9110 section 5.6.6), and no charset among them is
/// other than UTF-8. Two parsers that take a broken one apart differently would read two charsets.
fn all_utf8(mut parameters: &str) -> bool {
    loop {
        parameters = parameters.trim_start_matches(SPACE);
        if parameters.is_empty() {
            return true;
        }
        let Some(rest) = parameters.strip_prefix(';') else { return false };
        let rest = rest.trim_start_matches(SPACE);
        if rest.is_empty() || rest.starts_with(';') {
            parameters = rest;
            continue;
        }
        let Some((name, rest)) = rest.split_once('=') else { return false };
        let Some((value, rest)) = value(rest) else { return false };
        let foreign = name.eq_ignore_ascii_case("charset") && !value.eq_ignore_ascii_case("utf-8");
        if !is_token(name) || foreign {
            return false;
        }
        parameters = rest;
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

    #[test]
    fn types_that_are_json_in_utf_8_are_told_from_others() {
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
