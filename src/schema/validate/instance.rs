use std::{borrow::Cow, ops::ControlFlow};

use jsonschema::{
    json::{Array, Json, Node as JsonNode, NodeIdentity, Object},
    types::JsonType,
};
use serde_json::Value;

use super::{
    equality::{equals_value, is_unique},
    number::WrittenNumber,
};
use crate::payload::{Elements, Entries, Kind, Node};

/// Lets the validator read the payload's document in place.
pub(crate) struct DocumentJson;

impl Json for DocumentJson {
    type Node<'a> = Instance<'a>;
    type PreparedKey = Box<str>;
    type StringBuffer = ();

    // A lookup also iterates over the members, so one iteration for all names is cheaper (measured
    // for 3 to 10 names among 4 to 64). No document has more members than this.
    const KEYS_PER_LOOKUP: usize = 1 << 27;
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> Box<str> {
        key.into()
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl FnOnce(Instance<'_>) -> T) -> T {
        f(Instance::Name(string))
    }
}

/// A value of the document or a string outside of it.
#[derive(Clone, Copy)]
pub(crate) enum Instance<'a> {
    Value(Node<'a>),
    Name(&'a str),
}

impl<'a> Instance<'a> {
    const fn value(self) -> Option<Node<'a>> {
        match self {
            Self::Value(node) => Some(node),
            Self::Name(_) => None,
        }
    }

    fn of_kind(self, kind: Kind) -> Option<Node<'a>> {
        self.value().filter(|node| node.kind() == kind)
    }
}

impl<'a> JsonNode<'a, DocumentJson> for Instance<'a> {
    type Object = Node<'a>;
    type Array = Node<'a>;
    type Number = WrittenNumber<'a>;

    fn as_object(&self) -> Option<Node<'a>> {
        self.of_kind(Kind::Object)
    }

    fn as_array(&self) -> Option<Node<'a>> {
        self.of_kind(Kind::Array)
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Value(node) => node.as_str(),
            Self::Name(name) => Some(Cow::Borrowed(name)),
        }
    }

    fn as_number(&self) -> Option<WrittenNumber<'a>> {
        self.value().and_then(WrittenNumber::of)
    }

    fn as_boolean(&self) -> Option<bool> {
        self.value()?.as_bool()
    }

    fn is_null(&self) -> bool {
        self.of_kind(Kind::Null).is_some()
    }

    fn is_number(&self) -> bool {
        self.of_kind(Kind::Number).is_some()
    }

    fn is_string(&self) -> bool {
        matches!(self, Self::Name(_)) || self.of_kind(Kind::String).is_some()
    }

    fn json_type(&self) -> JsonType {
        match self {
            Self::Name(_) => JsonType::String,
            Self::Value(node) => match node.kind() {
                Kind::Null => JsonType::Null,
                Kind::Bool => JsonType::Boolean,
                Kind::Number => JsonType::Number,
                Kind::String => JsonType::String,
                Kind::Array => JsonType::Array,
                Kind::Object => JsonType::Object,
            },
        }
    }

    fn string_length(&self) -> Option<u64> {
        match self {
            Self::Value(node) => node.code_points().map(|length| length as u64),
            Self::Name(name) => Some(name.chars().count() as u64),
        }
    }

    fn string_length_within(&self, min: u64, max: u64) -> Option<bool> {
        let written = match self {
            Self::Value(node) => node.written_length()? as u64,
            Self::Name(name) => name.len() as u64,
        };
        // A code point takes at most four bytes of UTF-8 or twelve of two escapes. Escapes are
        // counted only if the coarse bounds do not decide.
        let (fewest, most) = (written.div_ceil(12), written);
        if most < min || fewest > max {
            return Some(false);
        }
        if min <= fewest && most <= max {
            return Some(true);
        }
        self.string_length().map(|length| (min..=max).contains(&length))
    }

    fn equals_value(&self, expected: &Value) -> bool {
        match self {
            Self::Value(node) => equals_value(*node, expected),
            Self::Name(name) => expected.as_str() == Some(name),
        }
    }

    /// Only errors and annotations use the value, and they must not show it. A real value would
    /// cost as much as the document.
    fn to_value(&self) -> Cow<'a, Value> {
        Cow::Borrowed(&Value::Null)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(match self {
            Self::Value(node) => {
                let (document, index) = node.identity();
                NodeIdentity::tagged(document, index)
            }
            // Indexes are below 2^28, so no node has this tag.
            Self::Name(name) => NodeIdentity::tagged(name.as_ptr().addr(), u32::MAX),
        })
    }
}

impl<'a> Object<'a, DocumentJson> for Node<'a> {
    type Node = Instance<'a>;
    type MemberName = Cow<'a, str>;
    type MembersIter = Pairs<'a>;

    fn len(&self) -> usize {
        Node::len(*self)
    }

    fn get(&self, key: &Box<str>) -> Option<Instance<'a>> {
        Node::get(*self, key).map(Instance::Value)
    }

    fn members(&self) -> Pairs<'a> {
        Pairs(Node::members(*self).entries())
    }

    fn try_for_each_name_node<B>(
        &self,
        (): &mut (),
        mut f: impl FnMut(Instance<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        // A name is a node too.
        Node::members(*self).entries().try_for_each(|(name, _)| f(Instance::Value(name)))
    }
}

impl<'a> Array<'a, DocumentJson> for Node<'a> {
    type Node = Instance<'a>;
    type ElementsIter = Items<'a>;

    fn len(&self) -> usize {
        Node::len(*self)
    }

    fn elements(&self) -> Items<'a> {
        Items(Node::elements(*self))
    }

    fn is_unique(&self) -> bool {
        is_unique(*self)
    }
}

/// The members of an object.
pub(crate) struct Pairs<'a>(Entries<'a>);

impl<'a> Iterator for Pairs<'a> {
    type Item = (Cow<'a, str>, Instance<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.0.next()?;
        Some((name.string(), Instance::Value(value)))
    }
}

/// The elements of an array.
pub(crate) struct Items<'a>(Elements<'a>);

impl<'a> Iterator for Items<'a> {
    type Item = Instance<'a>;

    fn next(&mut self) -> Option<Instance<'a>> {
        self.0.next().map(Instance::Value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use jsonschema::json::conformance::{assert_conformance, document};

    use super::*;
    use crate::payload::Document;

    fn root(document: &Document) -> Instance<'_> {
        Instance::Value(document.root())
    }

    /// Conformance holds except for this deliberate difference and the checks after it.
    #[test]
    #[should_panic(expected = "to_value round-trips")]
    fn conformance_holds_except_for_values() {
        let document = Document::parse(document().to_string()).unwrap();
        assert_conformance::<DocumentJson>(&root(&document));
    }

    #[test]
    fn node_identities_are_unique() {
        let document = Document::parse(r#"[[], [[]], {"a": "a"}, "", "", {}]"#).unwrap();
        let mut pending = vec![root(&document)];
        let mut seen = Vec::new();
        while let Some(node) = pending.pop() {
            assert_eq!(node.identity(), node.identity());
            assert!(!seen.contains(&node.identity()));
            seen.push(node.identity());
            pending.extend(node.as_array().iter().flat_map(Array::elements));
            pending
                .extend(node.as_object().iter().flat_map(Object::members).map(|(_, value)| value));
        }
        assert_eq!(seen.len(), 9);
        let is_new = |node: Instance<'_>| !seen.contains(&node.identity());
        assert!(DocumentJson::with_string_node(&mut (), "a", is_new));
    }

    #[test]
    fn detached_string_is_a_string() {
        for name in ["", "h\u{e9}llo"] {
            DocumentJson::with_string_node(&mut (), name, |node| {
                assert_eq!(node.json_type(), JsonType::String);
                assert!(node.is_string() && !node.is_number() && !node.is_null());
                assert_eq!(node.as_string().as_deref(), Some(name));
                assert_eq!(node.string_length(), Some(name.chars().count() as u64));
                assert!(node.equals_value(&name.into()) && !node.equals_value(&"other".into()));
                assert!(node.as_object().is_none() && node.as_array().is_none());
            });
        }
    }

    #[test]
    fn lengths_are_counted_in_code_points() {
        let texts = [
            "",
            "abc",
            "h\u{e9}llo",
            "\u{1f600}\u{1f600}",
            r"\n",
            r"\u0041",
            r"\ud83d\ude00",
            r"\ud83d\ude00x\\",
            r"a\u00e9\u20ac\t",
        ];
        for text in texts {
            let document = Document::parse(format!("\"{text}\"")).unwrap();
            let node = root(&document);
            let length = node.as_string().unwrap().chars().count() as u64;
            assert_eq!(node.string_length(), Some(length), "{text}");
            for (min, max) in (0..9).flat_map(|min| (0..9).map(move |max| (min, max))) {
                let within = Some((min..=max).contains(&length));
                assert_eq!(node.string_length_within(min, max), within, "{text} {min} {max}");
            }
        }
        let document = Document::parse("1").unwrap();
        assert_eq!(root(&document).string_length_within(0, 9), None);
    }
}
