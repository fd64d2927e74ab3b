//! A strict reader of JSON objects. It rejects a repeated member name at any depth.
//!
//! Two parsers may read different tokens from one text if a name occurs twice (RFC 8725 section 2.4
//! describes the class). RFC 7519 section 4 allows a parser to reject such a text. The verifier bounds
//! the [depth](is_shallow) before it checks a signature.
//!
//! Key sets are read by [`payload::Document`](crate::payload::Document). It needs three allocations
//! for a token header and three for typical claims. This reader needs two for each. It also accepts
//! exactly the numbers and depths that the identity accepts when it parses its claims later.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use serde_core::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// The maximum depth of objects and arrays in a token. The deepest one of the known identity providers
/// has 4.
const MAX_DEPTH: usize = 32;

/// Returns whether objects and arrays are nested at most 32 deep. Text that is not JSON may pass.
pub(super) fn is_shallow(json: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return false;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

/// Receives the members of an object.
pub(super) trait ReadMembers<'de> {
    /// Reads the value of `name` from `map` and nothing else.
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error>;
}

/// Reads a document into `members`. Returns `None` unless the document is one object.
pub(super) fn object<'de, M: ReadMembers<'de>>(json: &'de [u8], mut members: M) -> Option<M> {
    let mut json = serde_json::Deserializer::from_slice(json);
    json.deserialize_map(ObjectVisitor(&mut members)).ok()?;
    json.end().ok()?;
    Some(members)
}

/// Reads an object within a document into `members`.
pub(super) fn read_object<'de, M, D>(deserializer: D, mut members: M) -> Result<M, D::Error>
where
    M: ReadMembers<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_map(ObjectVisitor(&mut members))?;
    Ok(members)
}

struct ObjectVisitor<'m, M>(&'m mut M);

impl<'de, M: ReadMembers<'de>> Visitor<'de> for ObjectVisitor<'_, M> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = BTreeSet::new();
        while let Some(JsonStr(name)) = map.next_key()? {
            self.0.member(&name, &mut map)?;
            if !names.insert(name) {
                return Err(A::Error::custom("expected unique names"));
            }
        }
        Ok(())
    }
}

/// A string. It is borrowed if it has no escape.
pub(super) struct JsonStr<'de>(pub(super) Cow<'de, str>);

impl<'de> Deserialize<'de> for JsonStr<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(JsonStrVisitor)
    }
}

struct JsonStrVisitor;

impl<'de> Visitor<'de> for JsonStrVisitor {
    type Value = JsonStr<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<JsonStr<'de>, E> {
        Ok(JsonStr(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<JsonStr<'de>, E> {
        Ok(JsonStr(Cow::Owned(text.to_owned())))
    }
}

/// A string or an array of strings.
pub(crate) enum OneOrMany<'de> {
    One(Cow<'de, str>),
    Many(Vec<Cow<'de, str>>),
}

impl OneOrMany<'_> {
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        let (one, many) = match self {
            Self::One(one) => (Some(one), &[][..]),
            Self::Many(many) => (None, many.as_slice()),
        };
        one.into_iter().chain(many).map(AsRef::as_ref)
    }
}

impl<'de> Deserialize<'de> for OneOrMany<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor)
    }
}

struct OneOrManyVisitor;

impl<'de> Visitor<'de> for OneOrManyVisitor {
    type Value = OneOrMany<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an array of strings")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<OneOrMany<'de>, E> {
        Ok(OneOrMany::One(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<OneOrMany<'de>, E> {
        Ok(OneOrMany::One(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMany<'de>, A::Error> {
        let mut many = Vec::new();
        while let Some(JsonStr(text)) = seq.next_element()? {
            many.push(text);
        }
        Ok(OneOrMany::Many(many))
    }
}

/// Any value. Its syntax and its member names are checked.
pub(super) struct IgnoredValue;

impl<'de> Deserialize<'de> for IgnoredValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IgnoredVisitor)
    }
}

struct IgnoredVisitor;

impl<'de> Visitor<'de> for IgnoredVisitor {
    type Value = IgnoredValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<IgnoredValue, E> {
        Ok(IgnoredValue)
    }

    fn visit_bool<E>(self, _value: bool) -> Result<IgnoredValue, E> {
        Ok(IgnoredValue)
    }

    fn visit_i64<E>(self, _value: i64) -> Result<IgnoredValue, E> {
        Ok(IgnoredValue)
    }

    fn visit_u64<E>(self, _value: u64) -> Result<IgnoredValue, E> {
        Ok(IgnoredValue)
    }

    fn visit_f64<E>(self, _value: f64) -> Result<IgnoredValue, E> {
        Ok(IgnoredValue)
    }

    fn visit_str<E>(self, _value: &str) -> Result<IgnoredValue, E> {
        Ok(IgnoredValue)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<IgnoredValue, A::Error> {
        while seq.next_element::<IgnoredValue>()?.is_some() {}
        Ok(IgnoredValue)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<IgnoredValue, A::Error> {
        ObjectVisitor(&mut IgnoredMembers).visit_map(map)?;
        Ok(IgnoredValue)
    }
}

/// Ignores every member of an object.
struct IgnoredMembers;

impl<'de> ReadMembers<'de> for IgnoredMembers {
    fn member<A: MapAccess<'de>>(&mut self, _name: &str, map: &mut A) -> Result<(), A::Error> {
        map.next_value::<IgnoredValue>().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_valid(json: &str) -> bool {
        object(json.as_bytes(), IgnoredMembers).is_some()
    }

    #[test]
    fn repeated_name_is_rejected_at_every_depth() {
        assert!(is_valid(r#"{"a":1,"b":[{"a":{}},{"a":null}],"c":{"a":-1.5e3,"b":"\u00e9"}}"#));
        assert!(!is_valid(r#"{"a":1,"a":1}"#));
        assert!(!is_valid(r#"{"a":1,"\u0061":2}"#));
        assert!(!is_valid(r#"{"x":{"a":1,"b":2,"a":3}}"#));
        assert!(!is_valid(r#"{"x":[[{"a":1,"a":3}]]}"#));
    }

    #[test]
    fn depth_is_bounded_outside_of_strings() {
        let nested = |depth| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        assert!(is_shallow(nested(32).as_bytes()));
        assert!(!is_shallow(nested(33).as_bytes()));
        assert!(!is_shallow("[".repeat(33).as_bytes()));
        assert!(is_shallow(format!(r#"{{"a":"\"{}"}}"#, "[".repeat(100)).as_bytes()));
        assert!(is_shallow(format!("[{}1]", "[1],".repeat(100)).as_bytes()));
        assert!(is_shallow(b"]]]]\"\\"));
    }

    #[test]
    fn only_one_whole_object_is_a_document() {
        for json in ["", "[]", "1", "null", "{", "{}x", "{} {}", "{\"a\":}", "{a:1}", "\u{feff}{}"]
        {
            assert!(!is_valid(json), "{json}");
        }
        assert!(object(b"{\"a\":\"\xff\"}", IgnoredMembers).is_none());
        assert!(!is_valid(r#"{"a":"\ud800"}"#));
        assert!(!is_valid(&format!("{{\"a\":{}{}}}", "[".repeat(1_000), "]".repeat(1_000))));
    }
}
