//! Edits of a document beside a model of them, on arbitrary bytes.
//!
//! The model is a tree that knows of every value what was written, and which of them an edit has
//! touched; the others must come out as they went in, byte for byte.
#![allow(dead_code, reason = "each test crate uses a part of it")]

use bytes::Bytes;
use tower_inference::payload::{
    Document, DocumentBounds, EditError, EditFault, Edits, JsonFault, Kind, Literal, Node, Pointer,
};

/// Small, so that edits run into them.
const DEPTH: u32 = 6;
const NODES: u32 = 60;

const NAMES: [&str; 10] =
    ["a", "b", "A", "max_tokens", "Max_To\u{212a}ens", "0", "1", "", "a/b", "~\""];

fn literals() -> Vec<Literal> {
    let values = r#"[null,true,1,1.5,"x","\u0001\"",[],{},{"a":null},{"b":[1,{"A":0}]},[[[[0]]]]]"#;
    let values: Vec<serde_json::Value> = serde_json::from_str(values).unwrap();
    values.into_iter().map(Literal::from).collect()
}

/// Reads edits from the first bytes, a document from the rest, and compares what the library makes
/// of them with what the model does. Panics where they differ.
pub fn check(data: &[u8]) {
    let mut data = data;
    let mut byte = || data.split_off_first().copied().unwrap_or(0) as usize;
    let literals = literals();
    let mut plan = Vec::new();
    for _ in 0..byte() % 6 {
        let kind = byte() % 5;
        let names: Vec<&str> = (0..byte() % 4).map(|_| NAMES[byte() % NAMES.len()]).collect();
        plan.push((kind, Pointer::new(&names), names, &literals[byte() % literals.len()]));
    }
    let bounds = DocumentBounds::new().max_depth(DEPTH).max_values(NODES);
    let Ok(document) = Document::parse_within(Bytes::copy_from_slice(data), bounds) else { return };

    let mut edits = document.edit();
    let mut model = Tree::read(&document, document.root());
    for (kind, pointer, names, literal) in &plan {
        let done = edit(&mut edits, *kind, pointer, literal);
        let expected = model.edit(*kind, names, literal);
        assert_eq!(done, expected, "edit {kind} of {pointer} on {document:?}");
        let read = edits.get(pointer).map(|node| node.map(|node| node.kind()));
        let there = model.find(names, 0).map(|found| match found {
            Found::Here(tree) => Some(tree.kind).filter(|kind| *kind != Kind::Null),
            Found::Missing | Found::NoElement(_) => None,
        });
        assert_eq!(read, there.map_err(|fault| fault_at(names, fault)));
    }
    let edited = edits.finish();
    if !model.touched {
        assert_eq!(edited, None);
        return;
    }
    let edited = edited.unwrap_or_else(|| document.bytes().clone());
    let read = Document::parse_within(edited, bounds).unwrap();
    model.compare(&read, read.root());
    // Whatever stood around it stands around it still.
    let around = |document: &Document| {
        let (text, span) = (document.bytes(), document.root().span());
        (text.slice(..span.start), text.slice(span.end..))
    };
    assert_eq!(around(&read), around(&document));
}

fn edit<'a>(
    edits: &mut Edits<'a>,
    kind: usize,
    pointer: &'a Pointer,
    literal: &'a Literal,
) -> Result<bool, EditError> {
    match kind {
        0 => edits.set(pointer, literal).map(|()| true),
        1 => edits.set_default(pointer, literal),
        2 => edits.remove(pointer),
        3 => edits.insert_first(pointer, literal).map(|()| true),
        _ => edits.retain(pointer, |node| node.kind() != Kind::Number).map(|()| true),
    }
}

/// A value, as it was written.
#[derive(Clone, Debug)]
struct Tree {
    kind: Kind,
    raw: String,
    /// Whether an edit has changed something in it.
    touched: bool,
    /// Of a member: its name, from the quote to where the value starts.
    written_name: Option<String>,
    name: String,
    inner: Vec<Self>,
}

enum Found<'a> {
    Here(&'a mut Tree),
    Missing,
    NoElement(usize),
}

type Fault = (EditFault, usize);

impl Tree {
    fn read(document: &Document, node: Node<'_>) -> Self {
        let mut inner: Vec<Self> =
            node.elements().map(|element| Self::read(document, element)).collect();
        let mut from = node.span().start + 1;
        for (name, value) in node.members() {
            let before = std::str::from_utf8(&document.bytes()[from..value.span().start]).unwrap();
            let mut tree = Self::read(document, value);
            tree.written_name = Some(before[before.find('"').unwrap()..].to_owned());
            tree.name = name.into_owned();
            from = value.span().end;
            inner.push(tree);
        }
        let raw = std::str::from_utf8(node.raw()).unwrap().to_owned();
        Self {
            kind: node.kind(),
            raw,
            touched: false,
            written_name: None,
            name: String::new(),
            inner,
        }
    }

    /// A value that an edit writes: new, and so touched by no other.
    fn new(literal: &Literal) -> Self {
        let document = Document::parse(literal.as_str().to_owned()).unwrap();
        Self::read(&document, document.root())
    }

    fn around(name: &str, value: Self) -> Self {
        let member = Self { name: name.to_owned(), ..value };
        let raw = String::new();
        Self {
            kind: Kind::Object,
            raw,
            touched: true,
            written_name: None,
            name: String::new(),
            inner: vec![member],
        }
    }

    fn edit(&mut self, kind: usize, names: &[&str], literal: &Literal) -> Result<bool, EditError> {
        let mut after = self.clone();
        let bounded = |after: &Self| match after.measure() {
            (_, depth) if depth > DEPTH as usize => {
                Err((EditFault::Bounds(JsonFault::TooDeep(DEPTH)), names.len()))
            }
            (nodes, _) if nodes > NODES as usize => {
                Err((EditFault::Bounds(JsonFault::TooManyValues(NODES)), names.len()))
            }
            _ => Ok(()),
        };
        let done =
            after.edited(kind, names, literal).and_then(|done| bounded(&after).map(|()| done));
        if done.is_ok() {
            *self = after;
        }
        done.map_err(|fault| fault_at(names, fault))
    }

    fn edited(&mut self, kind: usize, names: &[&str], literal: &Literal) -> Result<bool, Fault> {
        match kind {
            0 => self.put(names, literal, 0).map(|()| true),
            1 => match self.find(names, 0)? {
                Found::Here(tree) if tree.kind != Kind::Null => Ok(false),
                _ => self.put(names, literal, 0).map(|()| true),
            },
            2 => match self.find(names, 0)? {
                Found::Here(tree) if names.is_empty() => {
                    *tree = Self {
                        touched: true,
                        ..Self::new(&Literal::from(serde_json::Value::Null))
                    };
                    Ok(true)
                }
                Found::Here(_) => self.take(names),
                Found::Missing | Found::NoElement(_) => Ok(false),
            },
            _ => {
                let Found::Here(array) = self.find(names, 0)? else {
                    return Err((EditFault::NotAnArray, names.len()));
                };
                if array.kind != Kind::Array {
                    return Err((EditFault::NotAnArray, names.len()));
                }
                let length = array.inner.len();
                if kind == 3 {
                    array.inner.insert(0, Self::new(literal));
                } else {
                    array.inner.retain(|element| element.kind != Kind::Number);
                }
                if array.inner.len() != length {
                    self.touch(names);
                }
                Ok(true)
            }
        }
    }

    /// Where the names lead. Faults hold how many of the names lead to them.
    fn find(&mut self, names: &[&str], index: usize) -> Result<Found<'_>, Fault> {
        let Some(name) = names.get(index) else { return Ok(Found::Here(self)) };
        match self.kind {
            Kind::Object => {
                let twin = |tree: &Self| tree.name != *name && fold(&tree.name) == fold(name);
                if self.inner.iter().any(twin) {
                    return Err((EditFault::AmbiguousName, index + 1));
                }
                match self.inner.iter_mut().find(|tree| tree.name == *name) {
                    Some(tree) => tree.find(names, index + 1),
                    None => Ok(Found::Missing),
                }
            }
            Kind::Array => {
                let nth: usize = match *name {
                    "0" => 0,
                    "1" => 1,
                    _ => return Err((EditFault::NotAnObject, index)),
                };
                match self.inner.get_mut(nth) {
                    Some(tree) => tree.find(names, index + 1),
                    None => Ok(Found::NoElement(index + 1)),
                }
            }
            Kind::Null if index > 0 => Ok(Found::Missing),
            _ => Err((EditFault::NotAnObject, index)),
        }
    }

    fn put(&mut self, names: &[&str], literal: &Literal, index: usize) -> Result<(), Fault> {
        match self.find(names, 0)? {
            Found::NoElement(count) => return Err((EditFault::NoElement, count)),
            // What is written so already is not touched.
            Found::Here(tree) if !tree.touched && tree.raw == literal.as_str() => return Ok(()),
            Found::Here(_) | Found::Missing => {}
        }
        self.replace(names, literal, index);
        Ok(())
    }

    fn replace(&mut self, names: &[&str], literal: &Literal, index: usize) {
        self.touched = true;
        let Some(name) = names.get(index) else {
            let (name, written_name) = (std::mem::take(&mut self.name), self.written_name.take());
            *self = Self { name, written_name, touched: true, ..Self::new(literal) };
            return;
        };
        let made = || {
            names[index + 1..]
                .iter()
                .rev()
                .fold(Self::new(literal), |value, name| Self::around(name, value))
        };
        match self.kind {
            Kind::Object => match self.inner.iter_mut().find(|tree| tree.name == *name) {
                Some(tree) => tree.replace(names, literal, index + 1),
                None => self.inner.push(Self { name: (*name).to_owned(), ..made() }),
            },
            Kind::Array => {
                self.inner[name.parse::<usize>().unwrap()].replace(names, literal, index + 1)
            }
            _ => {
                self.kind = Kind::Object;
                self.inner = vec![Self { name: (*name).to_owned(), ..made() }];
            }
        }
    }

    fn take(&mut self, names: &[&str]) -> Result<bool, Fault> {
        let (last, around) = names.split_last().unwrap();
        let Found::Here(container) = self.find(around, 0)? else { return Ok(false) };
        if container.kind == Kind::Array {
            container.inner.remove(last.parse().unwrap());
        } else {
            container.inner.retain(|tree| tree.name != *last);
        }
        self.touch(around);
        Ok(true)
    }

    /// Marks all that stands around a change.
    fn touch(&mut self, names: &[&str]) {
        for count in 0..=names.len() {
            if let Ok(Found::Here(tree)) = self.find(&names[..count], 0) {
                tree.touched = true;
            }
        }
    }

    fn measure(&self) -> (usize, usize) {
        let container = usize::from(matches!(self.kind, Kind::Array | Kind::Object));
        let names = if self.kind == Kind::Object { self.inner.len() } else { 0 };
        let start = (1 + names, container);
        self.inner
            .iter()
            .map(Self::measure)
            .fold(start, |(nodes, depth), (more, deep)| (nodes + more, depth.max(deep + container)))
    }

    fn compare(&self, document: &Document, node: Node<'_>) {
        assert_eq!(self.kind, node.kind());
        if !self.touched || !matches!(self.kind, Kind::Array | Kind::Object) {
            assert_eq!(self.raw.as_bytes(), node.raw());
            return;
        }
        let read = Self::read(document, node);
        assert_eq!(self.inner.len(), read.inner.len());
        for (own, read) in self.inner.iter().zip(&read.inner) {
            assert_eq!(own.name, read.name);
            if own.written_name.is_some() {
                assert_eq!(own.written_name, read.written_name);
            }
        }
        let values = node.elements().chain(node.members().map(|(_, value)| value));
        for (own, value) in self.inner.iter().zip(values) {
            own.compare(document, value);
        }
    }
}

/// An error as the library makes it: it has no constructor.
fn fault_at(names: &[&str], (fault, count): Fault) -> EditError {
    let document = Document::parse("1").unwrap();
    let mut error = document.edit().get(&Pointer::new(["a"])).unwrap_err();
    (error.fault, error.pointer) = (fault, Pointer::new(&names[..count]).to_string());
    error
}

/// A name without its case, as Go folds it.
fn fold(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}
