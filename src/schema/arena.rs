use std::borrow::Cow;

use jsonschema::{
    json::{Array, Json, JsonNumber, Node as JsonNode, NodeIdentity, Object, cmp},
    types::JsonType,
};
use serde_json::{Number, Value};

use crate::payload::{Elements, Kind, Members, Node};

/// The representation that the validator walks: the payload's own document.
pub(super) struct Arena;

impl Json for Arena {
    type Node<'a> = Instance<'a>;
    type PreparedKey = Box<str>;
    type StringBuffer = ();

    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> Box<str> {
        key.into()
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl FnOnce(Instance<'_>) -> T) -> T {
        f(Instance::Name(string))
    }
}

/// A value of the document, or the name of a member that is looked at as a string.
#[derive(Clone, Copy)]
pub(super) enum Instance<'a> {
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
}

impl<'a> JsonNode<'a, Arena> for Instance<'a> {
    type Object = Node<'a>;
    type Array = Node<'a>;
    type Number = Digits<'a>;

    fn as_object(&self) -> Option<Node<'a>> {
        self.value().filter(|node| node.kind() == Kind::Object)
    }

    fn as_array(&self) -> Option<Node<'a>> {
        self.value().filter(|node| node.kind() == Kind::Array)
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Value(node) => node.as_str(),
            Self::Name(name) => Some(Cow::Borrowed(name)),
        }
    }

    fn as_number(&self) -> Option<Digits<'a>> {
        self.value()?.number().map(Digits)
    }

    fn as_boolean(&self) -> Option<bool> {
        self.value()?.as_bool()
    }

    fn is_null(&self) -> bool {
        self.json_type() == JsonType::Null
    }

    fn is_number(&self) -> bool {
        self.json_type() == JsonType::Number
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

    fn equals_value(&self, expected: &Value) -> bool {
        let own = self.value().and_then(|node| node.to_value().ok());
        own.is_some_and(|own| cmp::equal(&own, expected))
    }

    /// Only errors ask for it, and they show no values.
    fn to_value(&self) -> Cow<'a, Value> {
        Cow::Borrowed(&Value::Null)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        let span = self.value()?.raw();
        Some(NodeIdentity::new(span.as_ptr() as usize))
    }
}

impl<'a> Object<'a, Arena> for Node<'a> {
    type Node = Instance<'a>;
    type MemberName = Cow<'a, str>;
    type MembersIter = Values<Members<'a>>;

    fn len(&self) -> usize {
        Node::len(*self)
    }

    fn get(&self, key: &Box<str>) -> Option<Instance<'a>> {
        Node::get(*self, key).map(Instance::Value)
    }

    fn members(&self) -> Values<Members<'a>> {
        Values(Node::members(*self))
    }
}

impl<'a> Array<'a, Arena> for Node<'a> {
    type Node = Instance<'a>;
    type ElementsIter = Values<Elements<'a>>;

    fn len(&self) -> usize {
        Node::len(*self)
    }

    fn elements(&self) -> Values<Elements<'a>> {
        Values(Node::elements(*self))
    }

    fn is_unique(&self) -> bool {
        let values: Vec<Value> = Node::elements(*self).filter_map(|e| e.to_value().ok()).collect();
        jsonschema::json::unique::is_unique(&values)
    }
}

/// What a document's own iterator gives, as the validator takes it.
pub(super) struct Values<I>(I);

impl<'a> Iterator for Values<Elements<'a>> {
    type Item = Instance<'a>;

    fn next(&mut self) -> Option<Instance<'a>> {
        self.0.next().map(Instance::Value)
    }
}

impl<'a> Iterator for Values<Members<'a>> {
    type Item = (Cow<'a, str>, Instance<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, value)| (name, Instance::Value(value)))
    }
}

/// A number as it was written.
pub(super) struct Digits<'a>(&'a str);

impl JsonNumber for Digits<'_> {
    fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    fn as_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    fn as_f64(&self) -> Option<f64> {
        self.0.parse().ok()
    }

    fn as_str(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.0)
    }

    fn to_number(&self) -> Cow<'_, Number> {
        let number = self.0.parse::<Number>().ok();
        Cow::Owned(number.unwrap_or_else(|| Number::from(0)))
    }
}
