//! The headers that describe the body of a request.

use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};

use crate::{
    body::length_in,
    payload::{
        coding::header::CodingHeaders,
        content_type::{Charset, charset_in},
    },
};

/// The headers of a body, found in one pass over all of them. A lookup would hash the name of each.
#[derive(Default)]
pub(crate) struct BodyHeaders<'a> {
    pub(crate) coded: CodingHeaders,
    content_type: Values<'a>,
    content_length: Values<'a>,
}

/// The first value of a header, and whether there are others.
#[derive(Default)]
struct Values<'a> {
    first: Option<&'a HeaderValue>,
    has_others: bool,
}

impl<'a> BodyHeaders<'a> {
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            if *name == CONTENT_TYPE {
                found.content_type.note(value);
            } else if *name == CONTENT_LENGTH {
                found.content_length.note(value);
            } else {
                found.coded.note(name);
            }
        }
        found
    }

    /// Returns the first `content-type`.
    pub(crate) const fn content_type(&self) -> Option<&'a HeaderValue> {
        self.content_type.first
    }

    /// Returns the announced length, as [`content_length`](crate::body::content_length) does.
    pub(crate) fn length(&self) -> Option<u64> {
        length_in(self.content_length.only()?)
    }

    /// Returns the charset of a JSON type.
    pub(crate) fn charset_of_json(&self) -> Option<Charset> {
        charset_in(self.content_type.only()?)
    }
}

impl<'a> Values<'a> {
    fn note(&mut self, value: &'a HeaderValue) {
        match self.first {
            None => self.first = Some(value),
            Some(_) => self.has_others = true,
        }
    }

    const fn only(&self) -> Option<&'a HeaderValue> {
        if self.has_others { None } else { self.first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{body::content_length, payload::says_json};

    #[test]
    fn one_pass_finds_what_lookups_find() {
        let values: [&[&str]; 6] = [
            &[],
            &["12"],
            &["+1"],
            &["1", "1"],
            &["application/json"],
            &["a/b", "application/json"],
        ];
        for types in values {
            for lengths in values {
                let mut headers = HeaderMap::new();
                headers.insert("x-other", HeaderValue::from_static("application/json"));
                for value in types {
                    headers.append(CONTENT_TYPE, HeaderValue::from_static(value));
                }
                for value in lengths {
                    headers.append(CONTENT_LENGTH, HeaderValue::from_static(value));
                }
                let found = BodyHeaders::of(&headers);
                assert_eq!(found.length(), content_length(&headers), "{headers:?}");
                assert_eq!(found.charset_of_json().is_some(), says_json(&headers), "{headers:?}");
                assert_eq!(found.content_type(), headers.get(CONTENT_TYPE), "{headers:?}");
            }
        }
    }
}
