//! The document as the validator sees it when details are gathered: each detail says which value
//! it is about, and the view ends early when there are enough of them.

use std::{borrow::Cow, cell::Cell, ops::ControlFlow};

use jsonschema::{
    json::{Array, Json, Node as JsonNode, NodeIdentity, Object},
    types::JsonType,
};
use serde_json::Value;

use super::{
    arena::{Arena, Instance},
    finding::start_of,
};
use crate::payload::{Document, Elements, Members, Node};

/// The representation that details are gathered from. It judges as [`Arena`] does.
pub(super) struct Watched;

impl Json for Watched {
    type Node<'a> = View<'a>;
    type PreparedKey = <Arena as Json>::PreparedKey;
    type StringBuffer = ();

    const KEYS_PER_LOOKUP: usize = Arena::KEYS_PER_LOOKUP;
    const ACYCLIC: bool = Arena::ACYCLIC;

    fn prepare_key(key: &str) -> Self::PreparedKey {
        Arena::prepare_key(key)
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl FnOnce(View<'_>) -> T) -> T {
        // A string that stands in no document: what arises from it is about no value.
        let watch = Watch::spent();
        f(View {
            instance: Instance::Name(string),
            index: 0,
            place: Place { depth: 0, path: 0 },
            watch: &watch,
        })
    }
}

/// What may still be spent on one answer.
///
/// A `Cell`, because the validator sees shared views only.
#[derive(Debug)]
pub(super) struct Watch {
    steps: Cell<usize>,
    room: Cell<usize>,
    made: Cell<usize>,
    shortened: Cell<bool>,
    /// How deep details are gathered.
    levels: usize,
    /// How many schemas stand in one another at one value, at most.
    schemas: usize,
}

impl Watch {
    // Four to eight anyOf that look at the whole document, one in the other, are walked to the end.
    const STEPS: usize = 65_536;
    const STEPS_PER_NODE: usize = 8;
    const BYTES_PER_STEP: usize = 64;

    // What a detail takes besides its pointer and its way through the schema: 2,048 of them at most.
    const DETAIL: usize = 512;
    /// A token of the way through the schema, such as `/anyOf` or `/3`.
    const TOKEN: usize = 16;
    const ROOM: usize = 1_048_576;

    /// How many details one pass over an array or object makes before it ends. Elements that break
    /// an `anyOf` make a dozen each, of which one is shown.
    const ENOUGH: usize = 128;

    pub(super) fn new(document: &Document, levels: usize, schemas: usize) -> Self {
        let nodes = document.nodes().saturating_mul(Self::STEPS_PER_NODE);
        let bytes = document.bytes().len() / Self::BYTES_PER_STEP;
        Self {
            steps: Cell::new(Self::STEPS.saturating_add(nodes).saturating_add(bytes)),
            room: Cell::new(Self::ROOM),
            made: Cell::new(0),
            shortened: Cell::new(false),
            levels,
            schemas,
        }
    }

    const fn spent() -> Self {
        Self {
            steps: Cell::new(0),
            room: Cell::new(0),
            made: Cell::new(0),
            shortened: Cell::new(true),
            levels: 0,
            schemas: 0,
        }
    }

    /// The whole document.
    pub(super) fn view<'a>(&'a self, document: &'a Document) -> View<'a> {
        self.at(document.root(), Place { depth: 0, path: 0 })
    }

    const fn at<'a>(&'a self, node: Node<'a>, place: Place) -> View<'a> {
        View { instance: Instance::Value(node), index: node.index(), place, watch: self }
    }

    /// Whether something was left out.
    pub(super) const fn is_shortened(&self) -> bool {
        self.shortened.get() || self.is_spent()
    }

    const fn is_spent(&self) -> bool {
        self.steps.get() == 0 || self.room.get() == 0
    }

    fn spend_all(&self) {
        self.steps.set(0);
    }

    fn step(&self, bytes: usize) {
        let cost = 1 + bytes / Self::BYTES_PER_STEP;
        self.steps.set(self.steps.get().saturating_sub(cost));
    }

    /// Notes a detail. `false` when nothing more is to be noted: what the validator finds from
    /// then on may come from having seen a part only.
    fn note(&self, place: Place) -> bool {
        let whole = !self.is_spent();
        let way = self.schemas.saturating_mul(place.depth.saturating_add(1));
        let cost = way.saturating_mul(Self::TOKEN).saturating_add(place.path + Self::DETAIL);
        self.room.set(self.room.get().saturating_sub(cost));
        self.made.set(self.made.get().saturating_add(1));
        whole
    }

    /// Whether a pass that began when `before` details were made has made enough. That alone
    /// never turns a verdict: only passes that gather make details, not those that judge.
    fn has_enough(&self, before: usize) -> bool {
        let enough = self.is_spent() || self.made.get().saturating_sub(before) >= Self::ENOUGH;
        if enough {
            self.shortened.set(true);
        }
        enough
    }
}

/// How far in a value is.
#[derive(Clone, Copy)]
struct Place {
    depth: usize,
    /// How long the pointer to it is, in bytes.
    path: usize,
}

impl Place {
    /// Of what is below, behind a token of so many bytes.
    const fn below(self, token: usize) -> Self {
        Self { depth: self.depth.saturating_add(1), path: self.path.saturating_add(token + 1) }
    }
}

/// A value of the document, or the name of a member that is looked at as a string.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    instance: Instance<'a>,
    /// Of the value, or of the value whose name it is.
    index: u32,
    place: Place,
    watch: &'a Watch,
}

impl<'a> View<'a> {
    /// The array or object that this is, as long as anything may be spent on it.
    fn inside(&self, content: Option<Node<'a>>) -> Option<Inside<'a, Node<'a>>> {
        let content = content?;
        if self.place.depth >= self.watch.levels && !content.is_empty() {
            self.watch.spend_all();
        }
        let inside = Inside { content, place: self.place, watch: self.watch };
        (!self.watch.is_spent()).then_some(inside)
    }
}

/// What the validator sees of a name: all of it, unless it is so long that the copies which every
/// detail below it carries would cost too much.
pub(super) fn shown(name: &str) -> &str {
    const LONGEST: usize = 1_024;
    start_of(name, LONGEST)
}

/// What a detail is about: the index of a value, when the document had been seen whole until then.
pub(super) fn index_of(instance: &Value) -> Option<u32> {
    instance.as_u64().and_then(|index| index.try_into().ok())
}

impl<'a> JsonNode<'a, Watched> for View<'a> {
    type Object = Inside<'a, Node<'a>>;
    type Array = Inside<'a, Node<'a>>;
    type Number = <Instance<'a> as JsonNode<'a, Arena>>::Number;

    // Once all is spent there is nothing inside any more, and most keywords have nothing to say.

    fn as_object(&self) -> Option<Self::Object> {
        self.inside(self.instance.as_object())
    }

    fn as_array(&self) -> Option<Self::Array> {
        self.inside(self.instance.as_array())
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        let string = self.instance.as_string().filter(|_| !self.watch.is_spent())?;
        self.watch.step(string.len());
        Some(string)
    }

    fn as_number(&self) -> Option<Self::Number> {
        let number = self.instance.as_number().filter(|_| !self.watch.is_spent())?;
        self.watch.step(0);
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
        let length = self.instance.string_length().filter(|_| !self.watch.is_spent())?;
        self.watch.step(length.try_into().unwrap_or(usize::MAX));
        Some(length)
    }

    fn equals_value(&self, expected: &Value) -> bool {
        let bytes = match self.instance {
            Instance::Value(node) => node.raw().len(),
            Instance::Name(name) => name.len(),
        };
        self.watch.step(bytes);
        self.watch.is_spent() || self.instance.equals_value(expected)
    }

    /// Asked for once for each detail that is made.
    fn to_value(&self) -> Cow<'a, Value> {
        if self.watch.note(self.place) {
            Cow::Owned(Value::from(self.index))
        } else {
            Cow::Borrowed(&Value::Null)
        }
    }

    fn identity(&self) -> Option<NodeIdentity> {
        self.instance.identity()
    }
}

/// An object or array, or the pass over one.
pub(super) struct Inside<'a, T> {
    content: T,
    place: Place,
    watch: &'a Watch,
}

impl<'a> Inside<'a, Node<'a>> {
    /// A pass over what `pass` gives.
    fn pass<I>(&self, pass: I) -> Pass<'a, I> {
        let inside = Inside { content: pass, place: self.place, watch: self.watch };
        Pass { inside, before: self.watch.made.get() }
    }
}

impl<'a> Object<'a, Watched> for Inside<'a, Node<'a>> {
    type Node = View<'a>;
    type MemberName = Cow<'a, str>;
    type MembersIter = Pass<'a, Members<'a>>;

    fn len(&self) -> usize {
        self.content.len()
    }

    fn get(&self, key: &<Arena as Json>::PreparedKey) -> Option<View<'a>> {
        // A look-up passes over the members, one faster than a step.
        self.watch.step(self.content.len());
        let value = self.content.get(key)?;
        Some(self.watch.at(value, self.place.below(key.len())))
    }

    fn members(&self) -> Self::MembersIter {
        self.pass(self.content.members())
    }

    fn try_for_each_name_node<B>(
        &self,
        (): &mut (),
        mut f: impl FnMut(View<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.members().try_for_each(|(name, value)| {
            f(View { instance: Instance::Name(&name), place: self.place, ..value })
        })
    }
}

impl<'a> Array<'a, Watched> for Inside<'a, Node<'a>> {
    type Node = View<'a>;
    type ElementsIter = Pass<'a, Elements<'a>>;

    fn len(&self) -> usize {
        self.content.len()
    }

    fn elements(&self) -> Self::ElementsIter {
        self.pass(self.content.elements())
    }

    fn is_unique(&self) -> bool {
        self.watch.step(self.content.raw().len());
        self.watch.is_spent() || Array::<Arena>::is_unique(&self.content)
    }
}

/// A pass over elements or members, which ends early.
pub(super) struct Pass<'a, I> {
    inside: Inside<'a, I>,
    before: usize,
}

impl<'a, I: Iterator> Pass<'a, I> {
    fn advance(&mut self) -> Option<(I::Item, &'a Watch)> {
        let item = self.inside.content.next()?;
        let watch = self.inside.watch;
        (!watch.has_enough(self.before)).then_some((item, watch))
    }
}

impl<'a> Iterator for Pass<'a, Elements<'a>> {
    type Item = View<'a>;

    fn next(&mut self) -> Option<View<'a>> {
        // An index takes seven digits at most, below ten million.
        const INDEX: usize = 7;
        let (value, watch) = self.advance()?;
        watch.step(0);
        Some(watch.at(value, self.inside.place.below(INDEX)))
    }
}

impl<'a> Iterator for Pass<'a, Members<'a>> {
    type Item = (Cow<'a, str>, View<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let ((name, value), watch) = self.advance()?;
        let name = match name {
            Cow::Borrowed(name) => Cow::Borrowed(shown(name)),
            Cow::Owned(name) => Cow::Owned(shown(&name).to_owned()),
        };
        watch.step(name.len());
        let place = self.inside.place.below(name.len());
        Some((name, watch.at(value, place)))
    }
}
