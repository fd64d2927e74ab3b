//! The canonical request of Signature Version 4.
//!
//! Source: "Create a signed AWS API request" in the IAM User Guide. A verifier must know how the
//! client spelled its path and query. SDKs differ in the following ways, so up to four canonical
//! requests belong to one request:
//!
//! - *Query.* botocore signs the parameters as they are on the wire. Other signers decode and encode
//!   them. Both forms are equal for a client that encodes as AWS asks.
//! - *Path.* All services but S3 encode the path of the wire once more. Most SDKs remove dot segments
//!   and repeated slashes before they sign. That form is only tried if the settings allow it, because
//!   one signature is then valid for several paths.

use std::{borrow::Cow, fmt::Write as _};

use http::{HeaderMap, Method};

use super::{
    super::encoding::{decode, encode, encode_path, parameters},
    fault::SigV4Fault,
    presented::SIGNATURE_PARAMETER,
};

/// The most bytes of all signed header values together.
const MAX_SIGNED_BYTES: usize = 32 * 1024;

/// The most canonical requests of one request.
pub(crate) const MAX_FORMS: usize = 4;

/// How the path of a request becomes the canonical path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PathForm {
    /// As on the wire and percent-encoded once more.
    Encoded,
    /// Without dot segments and repeated slashes and percent-encoded once more.
    Normalized,
    /// As on the wire. S3 signs it so.
    Verbatim,
}

/// The parts of a request that are signed besides its body.
pub(crate) struct SignedParts<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    /// The value of `host`.
    pub(crate) host: &'a str,
    /// Sorted and in lower case.
    pub(crate) signed_headers: &'a [&'a str],
}

impl SignedParts<'_> {
    /// Returns the different canonical requests without the payload's hash at their end.
    pub(crate) fn canonical_forms(&self, paths: &[PathForm]) -> Result<Vec<Vec<u8>>, SigV4Fault> {
        let headers = self.canonical_headers()?;
        let verbatim = canonical_query(self.query, QueryForm::Verbatim);
        let encoded = canonical_query(self.query, QueryForm::Encoded);
        let queries = [verbatim, encoded];
        let mut forms: Vec<Vec<u8>> = Vec::with_capacity(1);
        for path in paths {
            let path = canonical_path(self.path, *path);
            for query in queries.iter().flatten() {
                let head = format!("{}\n{path}\n{query}\n", self.method);
                let form = [head.as_bytes(), &headers].concat();
                if !forms.contains(&form) && forms.len() < MAX_FORMS {
                    forms.push(form);
                }
            }
        }
        Ok(forms)
    }

    /// Returns the header lines, an empty line, the list of names and a line break.
    fn canonical_headers(&self) -> Result<Vec<u8>, SigV4Fault> {
        let mut canonical = Vec::new();
        for name in self.signed_headers {
            canonical.extend_from_slice(name.as_bytes());
            canonical.push(b':');
            if matches!(*name, "host" | ":authority") {
                canonical.extend_from_slice(self.host.as_bytes());
            } else {
                let mut values = self.headers.get_all(*name).iter();
                let first = values.next().ok_or(SigV4Fault::SignedHeaderAbsent)?;
                push_value(&mut canonical, first.as_bytes());
                for value in values {
                    canonical.push(b',');
                    push_value(&mut canonical, value.as_bytes());
                }
            }
            canonical.push(b'\n');
            if canonical.len() > MAX_SIGNED_BYTES {
                return Err(SigV4Fault::TooLong);
            }
        }
        canonical.push(b'\n');
        canonical.extend_from_slice(self.signed_headers.join(";").as_bytes());
        canonical.push(b'\n');
        Ok(canonical)
    }
}

/// Adds a value without the space around it and with one space for each run of spaces.
fn push_value(canonical: &mut Vec<u8>, value: &[u8]) {
    let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    for (place, word) in words.enumerate() {
        if place > 0 {
            canonical.push(b' ');
        }
        canonical.extend_from_slice(word);
    }
}

fn canonical_path(path: &str, form: PathForm) -> Cow<'_, str> {
    let path = if path.is_empty() { "/" } else { path };
    match form {
        PathForm::Encoded => encode_path(path.as_bytes()),
        PathForm::Normalized => {
            Cow::Owned(encode_path(without_dot_segments(path).as_bytes()).into_owned())
        }
        PathForm::Verbatim => Cow::Borrowed(path),
    }
}

/// Removes dot segments (RFC 3986 section 5.2.4) and empty segments.
fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let end = if path.ends_with('/') && !kept.is_empty() { "/" } else { "" };
    format!("/{}{end}", kept.join("/"))
}

#[derive(Clone, Copy)]
enum QueryForm {
    Verbatim,
    Encoded,
}

/// Returns the sorted parameters without the signature. Returns `None` if the query cannot be decoded
/// in one way.
fn canonical_query(query: &str, form: QueryForm) -> Option<String> {
    let mut pairs = Vec::new();
    for (name, value) in parameters(query) {
        let decoded = decode(name);
        if decoded.as_deref() == Some(SIGNATURE_PARAMETER.as_bytes()) {
            continue;
        }
        pairs.push(match form {
            QueryForm::Verbatim => (Cow::Borrowed(name), Cow::Borrowed(value)),
            QueryForm::Encoded => {
                let encode = |text: Cow<'_, [u8]>| Cow::Owned(encode(&text).into_owned());
                (encode(decoded?), encode(decode(value)?))
            }
        });
    }
    pairs.sort_unstable();
    let mut canonical = String::with_capacity(query.len());
    for (place, (name, value)) in pairs.iter().enumerate() {
        let separator = if place > 0 { "&" } else { "" };
        // A string takes every write.
        let _infallible = write!(canonical, "{separator}{name}={value}");
    }
    Some(canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_take_the_form_of_their_service() {
        for (path, encoded, normalized, verbatim) in [
            ("/", "/", "/", "/"),
            ("", "/", "/", "/"),
            ("/a/../b//c/./", "/a/../b//c/./", "/b/c/", "/a/../b//c/./"),
            ("/../..", "/../..", "/", "/../.."),
            (
                "/a%2Fb%20c/~x:y",
                "/a%252Fb%2520c/~x%3Ay",
                "/a%252Fb%2520c/~x%3Ay",
                "/a%2Fb%20c/~x:y",
            ),
        ] {
            assert_eq!(canonical_path(path, PathForm::Encoded), encoded);
            assert_eq!(canonical_path(path, PathForm::Normalized), normalized);
            assert_eq!(canonical_path(path, PathForm::Verbatim), verbatim);
        }
    }

    #[test]
    fn queries_are_sorted_by_bytes_after_encoding() {
        let encoded = |query| canonical_query(query, QueryForm::Encoded);
        let verbatim = |query| canonical_query(query, QueryForm::Verbatim).unwrap();
        assert_eq!(encoded("b=2&a=%7e&a=1&A=&c").unwrap(), "A=&a=1&a=~&b=2&c=");
        assert_eq!(verbatim("b=2&a=%7e&a=1&A=&c"), "A=&a=%7e&a=1&b=2&c=");
        // `.` sorts before `=` and after `-`.
        assert_eq!(encoded("a.=1&a=2&a-=3").unwrap(), "a=2&a-=3&a.=1");
        assert_eq!(verbatim("X-Amz-Signature=00&b=2&X%2DAmz-Signature=1"), "b=2");
        // A plus sign and a bad escape have two readings.
        assert_eq!((encoded("k=a+b"), verbatim("k=a+b")), (None, "k=a+b".to_owned()));
        assert_eq!(encoded("k=%zz"), None);
    }
}
