//! Shows the validator a view of the document while violations are collected. Each error identifies
//! its value. The view ends early when there are enough errors.

use std::{borrow::Cow, ops::ControlFlow};

use jsonschema::{
    json::{Array, Json, Node as JsonNode, NodeIdentity, Object},
    types::JsonType,
};
use serde_json::Value;

use super::{
    budget::{ExplainBudget, Position},
    text::start_of,
};
use crate::{
    payload::{Document, Elements, Members, Node},
    schema::validate::instance::{DocumentJson, Instance},
};

/// The representation for collecting violations. It validates as [`DocumentJson`] does.
pub(crate) struct BoundedJson;

impl Json for BoundedJson {
    type Node<'a> = BoundedInstance<'a>;
    type PreparedKey = <DocumentJson as Json>::PreparedKey;
    type StringBuffer = ();

    const KEYS_PER_LOOKUP: usize = DocumentJson::KEYS_PER_LOOKUP;
    const ACYCLIC: bool = DocumentJson::ACYCLIC;

    fn prepare_key(key: &str) -> Self::PreparedKey {
        DocumentJson::prepare_key(key)
    }

    fn with_string_node<T>(
        (): &mut (),
        string: &str,
        f: impl FnOnce(BoundedInstance<'_>) -> T,
    ) -> T {
        // The string is in no document, so an error about it has no value.
        let budget = ExplainBudget::spent();
        f(BoundedInstance {
            instance: Instance::Name(string),
            index: 0,
            position: Position { depth: 0, path: 0 },
            budget: &budget,
        })
    }
}

/// A value of the document or a member name that is checked as a string.
#[derive(Clone, Copy)]
pub(crate) struct BoundedInstance<'a> {
    instance: Instance<'a>,
    /// The index of the value, or of the value that the name belongs to.
    index: u32,
    position: Position,
    budget: &'a ExplainBudget,
}

impl<'a> BoundedInstance<'a> {
    /// Creates a view of the whole document.
    pub(crate) fn of_document(document: &'a Document, budget: &'a ExplainBudget) -> Self {
        Self::new(document.root(), Position { depth: 0, path: 0 }, budget)
    }

    const fn new(node: Node<'a>, position: Position, budget: &'a ExplainBudget) -> Self {
        Self { instance: Instance::Value(node), index: node.index(), position, budget }
    }

    /// Returns the array or object while the budget lasts.
    fn container(&self, content: Option<Node<'a>>) -> Option<BoundedContainer<'a, Node<'a>>> {
        let content = content?;
        if self.position.depth >= self.budget.levels && !content.is_empty() {
            self.budget.spend_all();
        }
        let container = BoundedContainer { content, position: self.position, budget: self.budget };
        (!self.budget.is_spent()).then_some(container)
    }
}

/// Returns the visible part of a name. Each error below a long name has a copy of it, so the copies
/// are bounded.
pub(crate) fn shown(name: &str) -> &str {
    const LONGEST: usize = 1_024;
    start_of(name, LONGEST)
}

/// Returns the index of the value that an error is about. Returns `None` if the budget was spent
/// before.
pub(crate) fn index_of(instance: &Value) -> Option<u32> {
    instance.as_u64().and_then(|index| index.try_into().ok())
}

impl<'a> JsonNode<'a, BoundedJson> for BoundedInstance<'a> {
    type Object = BoundedContainer<'a, Node<'a>>;
    type Array = BoundedContainer<'a, Node<'a>>;
    type Number = <Instance<'a> as JsonNode<'a, DocumentJson>>::Number;

    // Once the budget is spent the view is empty, and most keywords report no error.

    fn as_object(&self) -> Option<Self::Object> {
        self.container(self.instance.as_object())
    }

    fn as_array(&self) -> Option<Self::Array> {
        self.container(self.instance.as_array())
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        let string = self.instance.as_string().filter(|_| !self.budget.is_spent())?;
        self.budget.step(string.len());
        Some(string)
    }

    fn as_number(&self) -> Option<Self::Number> {
        let number = self.instance.as_number().filter(|_| !self.budget.is_spent())?;
        self.budget.step(0);
        Some(number)
    }

    fn as_boolean(&self) -> Option<bool> {
        self.instance.as_boolean()
    }

    fn is_null(&self) -> bool {
        self.instance.is_null()
    }

    fn is_number(&self) -> bool {
        self.instance.is_number()
    }

    fn is_string(&self) -> bool {
        self.instance.is_string()
    }

    fn json_type(&self) -> JsonType {
        self.instance.json_type()
    }

    fn string_length(&self) -> Option<u64> {
        let length = self.instance.string_length().filter(|_| !self.budget.is_spent())?;
        self.budget.step(length.try_into().unwrap_or(usize::MAX));
        Some(length)
    }

    fn equals_value(&self, expected: &Value) -> bool {
        let bytes = match self.instance {
            Instance::Value(node) => node.raw().len(),
            Instance::Name(name) => name.len(),
        };
        self.budget.step(bytes);
        self.budget.is_spent() || self.instance.equals_value(expected)
    }

    /// The validator calls this once for each error.
    fn to_value(&self) -> Cow<'a, Value> {
        if self.budget.note(self.position) {
            Cow::Owned(Value::from(self.index))
        } else {
            Cow::Borrowed(&Value::Null)
        }
    }

    fn identity(&self) -> Option<NodeIdentity> {
        self.instance.identity()
    }
}

/// An object or array, or an iterator over one.
pub(crate) struct BoundedContainer<'a, T> {
    content: T,
    position: Position,
    budget: &'a ExplainBudget,
}

impl<'a> BoundedContainer<'a, Node<'a>> {
    /// Iterates over `pass`.
    fn pass<I>(&self, pass: I) -> BoundedIter<'a, I> {
        let container =
            BoundedContainer { content: pass, position: self.position, budget: self.budget };
        BoundedIter { container, before: self.budget.made.get() }
    }
}

impl<'a> Object<'a, BoundedJson> for BoundedContainer<'a, Node<'a>> {
    type Node = BoundedInstance<'a>;
    type MemberName = Cow<'a, str>;
    type MembersIter = BoundedIter<'a, Members<'a>>;

    fn len(&self) -> usize {
        self.content.len()
    }

    fn get(&self, key: &<DocumentJson as Json>::PreparedKey) -> Option<BoundedInstance<'a>> {
        // A lookup iterates over the members. Each is cheaper than a step.
        self.budget.step(self.content.len());
        let value = self.content.get(key)?;
        Some(BoundedInstance::new(value, self.position.below(key.len()), self.budget))
    }

    fn members(&self) -> Self::MembersIter {
        self.pass(self.content.members())
    }

    fn try_for_each_name_node<B>(
        &self,
        (): &mut (),
        mut f: impl FnMut(BoundedInstance<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.members().try_for_each(|(name, value)| {
            f(BoundedInstance { instance: Instance::Name(&name), position: self.position, ..value })
        })
    }
}

impl<'a> Array<'a, BoundedJson> for BoundedContainer<'a, Node<'a>> {
    type Node = BoundedInstance<'a>;
    type ElementsIter = BoundedIter<'a, Elements<'a>>;

    fn len(&self) -> usize {
        self.content.len()
    }

    fn elements(&self) -> Self::ElementsIter {
        self.pass(self.content.elements())
    }

    fn is_unique(&self) -> bool {
        self.budget.step(self.content.raw().len());
        self.budget.is_spent() || Array::<DocumentJson>::is_unique(&self.content)
    }
}

/// An iterator over elements or members that ends early.
pub(crate) struct BoundedIter<'a, I> {
    container: BoundedContainer<'a, I>,
    before: usize,
}

impl<'a, I: Iterator> BoundedIter<'a, I> {
    fn advance(&mut self) -> Option<(I::Item, &'a ExplainBudget)> {
        let item = self.container.content.next()?;
        let budget = self.container.budget;
        (!budget.has_enough(self.before)).then_some((item, budget))
    }
}

impl<'a> Iterator for BoundedIter<'a, Elements<'a>> {
    type Item = BoundedInstance<'a>;

    fn next(&mut self) -> Option<BoundedInstance<'a>> {
        // Indexes below ten million have at most seven digits.
        const INDEX: usize = 7;
        let (value, budget) = self.advance()?;
        budget.step(0);
        Some(BoundedInstance::new(value, self.container.position.below(INDEX), budget))
    }
}

impl<'a> Iterator for BoundedIter<'a, Members<'a>> {
    type Item = (Cow<'a, str>, BoundedInstance<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let ((name, value), budget) = self.advance()?;
        let name = match name {
            Cow::Borrowed(name) => Cow::Borrowed(shown(name)),
            Cow::Owned(name) => Cow::Owned(shown(&name).to_owned()),
        };
        budget.step(name.len());
        let position = self.container.position.below(name.len());
        Some((name, BoundedInstance::new(value, position, budget)))
    }
}
