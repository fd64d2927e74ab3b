use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, TRANSFER_ENCODING},
};

use super::decode::Coding;
use crate::{
    body::remove_digests,
    rejection::{Refusal, Rejection},
};

/// The coding that is to be taken off. Refuses what stays coded: what was checked would not be what
/// the upstream decodes.
pub(super) fn check_coding(
    headers: &HeaderMap,
    decompress: bool,
) -> Result<Option<Coding>, Rejection> {
    let mut codings = listed(headers, CONTENT_ENCODING, "identity");
    // hyper takes the chunks apart, and leaves any other transfer coding to us.
    let chunked = listed(headers, TRANSFER_ENCODING, "chunked").next().is_none();
    let coding = match (codings.next(), codings.next()) {
        (None, _) if chunked => return Ok(None),
        (Some(name), None) if chunked && decompress => Coding::named(name),
        // Codings in one another multiply what a few bytes can become, and nobody sends them.
        _ => None,
    };
    let taken = if decompress { Coding::TAKEN } else { "identity" };
    coding.map(Some).ok_or_else(|| {
        let detail = if chunked {
            format!("content-encoding: a body of this coding is not taken here, but: {taken}")
        } else {
            "transfer-encoding: only chunked is taken here".to_owned()
        };
        Rejection::new(Refusal::UnsupportedMediaType)
            .with_detail(detail)
            .with_header(ACCEPT_ENCODING, HeaderValue::from_static(taken))
    })
}

/// What a field lists, without `ordinary`.
fn listed<'a>(
    headers: &'a HeaderMap,
    name: HeaderName,
    ordinary: &'a str,
) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.get_all(name).into_iter();
    let codings = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let codings = codings.map(<[u8]>::trim_ascii);
    codings.filter(move |coding| {
        !coding.is_empty() && !coding.eq_ignore_ascii_case(ordinary.as_bytes())
    })
}

/// Removes what is true of the coded bytes alone: the coding itself, and their digests. Those of
/// RFC 9530 sections 2 and 3 are of the coded bytes both; `digest` is that of RFC 3230, and
/// `content-md5` that of RFC 1864.
pub(super) fn forget_coding(fields: &mut HeaderMap) {
    fields.remove(CONTENT_ENCODING);
    remove_digests(fields);
}

/// Refuses what says that it is coded, and has not a byte: each coding writes something even of
/// nothing.
pub(super) fn uncoded() -> Rejection {
    Rejection::new(Refusal::MalformedPayload).with_detail(TOO_SHORT)
}

/// What is said of a coded body that ends in the midst of it, or before.
pub(super) const TOO_SHORT: &str = "content-encoding: the coded body ends too early";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        name: HeaderName,
        values: &[&'static str],
        decompress: bool,
    ) -> Result<Option<Coding>, Rejection> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&name, HeaderValue::from_static(value));
        }
        check_coding(&headers, decompress)
    }

    #[test]
    fn codings_other_than_none_are_refused_however_they_are_listed() {
        let coded = |name, values| check(name, values, false).is_err();
        assert!(!coded(CONTENT_ENCODING, &[]));
        assert!(!coded(CONTENT_ENCODING, &["identity", "Identity, identity"]));
        assert!(coded(CONTENT_ENCODING, &["gzip"]));
        assert!(coded(CONTENT_ENCODING, &["identity", "identity, br"]));
        assert!(!coded(TRANSFER_ENCODING, &["chunked"]));
        assert!(coded(TRANSFER_ENCODING, &["gzip, chunked"]));
    }

    #[cfg(feature = "decompression")]
    #[test]
    fn one_coding_is_known_by_its_name() {
        let coding = |values: &[&'static str]| check(CONTENT_ENCODING, values, true).ok();
        assert_eq!(coding(&[]), Some(None));
        assert_eq!(coding(&["identity"]), Some(None));
        assert_eq!(coding(&["gzip"]), Some(Some(Coding::Gzip)));
        assert_eq!(coding(&["identity, X-GZip"]), Some(Some(Coding::Gzip)));
        assert_eq!(coding(&[" BR\t"]), Some(Some(Coding::Brotli)));
        assert_eq!(coding(&["", "zstd,"]), Some(Some(Coding::Zstd)));
        for other in ["deflate", "compress", "aws-chunked", "gzip, gzip", "br;q=1", "dcz"] {
            assert_eq!(coding(&[other]), None, "{other}");
        }
        assert_eq!(coding(&["gzip", "zstd"]), None);
        assert!(check(TRANSFER_ENCODING, &["gzip, chunked"], true).is_err());
    }
}
