use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, TRANSFER_ENCODING},
};

use super::decoder::Coding;
use crate::{
    body::remove_digests,
    rejection::{Refusal, Rejection},
};

/// The headers with a coding that a request has.
#[derive(Clone, Copy, Default)]
pub(crate) struct CodingHeaders {
    content: bool,
    pub(crate) transfer: bool,
}

impl CodingHeaders {
    /// Notes the name of one header.
    pub(crate) fn note(&mut self, name: &HeaderName) {
        self.content |= *name == CONTENT_ENCODING;
        self.transfer |= *name == TRANSFER_ENCODING;
    }

    /// Returns the coding to decode. Rejects all other codings, because the upstream would decode
    /// bytes that were not checked.
    pub(crate) fn check(
        self,
        headers: &HeaderMap,
        decompress: bool,
    ) -> Result<Option<Coding>, Rejection> {
        if self.content || self.transfer { check_codings(headers, decompress) } else { Ok(None) }
    }
}

fn check_codings(headers: &HeaderMap, decompress: bool) -> Result<Option<Coding>, Rejection> {
    let mut codings = listed(headers, CONTENT_ENCODING, "identity");
    // hyper decodes `chunked` and passes on other transfer codings.
    let chunked = listed(headers, TRANSFER_ENCODING, "chunked").next().is_none();
    let coding = match (codings.next(), codings.next()) {
        (None, _) if chunked => return Ok(None),
        (Some(name), None) if chunked && decompress => Coding::named(name),
        // Nested codings multiply the expansion and are not used in practice.
        _ => None,
    };
    let accepted = if decompress { Coding::ACCEPTED } else { "identity" };
    coding.map(Some).ok_or_else(|| {
        let detail = if chunked {
            format!("content-encoding: this route accepts only {accepted}")
        } else {
            "transfer-encoding: only chunked is accepted".to_owned()
        };
        Rejection::new(Refusal::UnsupportedMediaType)
            .with_detail(detail)
            .with_header(ACCEPT_ENCODING, HeaderValue::from_static(accepted))
    })
}

/// Returns the values in a list header without `ordinary`.
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

/// Removes the headers that describe the coded bytes. RFC 9530 sections 2 and 3 define both current
/// digests over the coded bytes. RFC 3230 defines `digest` and RFC 1864 defines `content-md5`.
pub(crate) fn remove_coding_headers(fields: &mut HeaderMap) {
    fields.remove(CONTENT_ENCODING);
    remove_digests(fields);
}

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
        let mut coded = CodingHeaders::default();
        headers.keys().for_each(|name| coded.note(name));
        coded.check(&headers, decompress)
    }

    #[test]
    fn unknown_codings_are_rejected_in_any_list() {
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
