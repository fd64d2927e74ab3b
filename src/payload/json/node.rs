use std::{borrow::Cow, fmt, ops::Range};

use super::{
    case_fold::is_alike,
    decimal::Decimal,
    kind::Kind,
    parse::{
        arena::Arena,
        slot::ValueSlot,
        string::{characters, contents, count_work, unescape},
    },
};

/// One value of a [`Document`](super::document::Document). It is cheap to copy.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    arena: &'a Arena,
    // Stored so that it is looked up once.
    slot: &'a ValueSlot,
    index: u32,
}

impl<'a> Node<'a> {
    pub(crate) fn new(arena: &'a Arena, index: u32) -> Self {
        Self { arena, slot: arena.slot(index), index }
    }

    /// Returns another node of the same document.
    fn at(self, index: u32) -> Self {
        Self::new(self.arena, index)
    }

    pub(crate) const fn arena(self) -> &'a Arena {
        self.arena
    }

    /// Returns the indexes of its slot and of all slots inside it.
    pub(crate) const fn index_range(self) -> Range<usize> {
        self.index as usize..self.slot.next as usize
    }

    pub(crate) const fn slot(self) -> &'a ValueSlot {
        self.slot
    }

    /// Returns the kind of the value.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.slot.kind()
    }

    /// Returns whether the value is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// Returns the value of a boolean.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        (self.kind() == Kind::Bool).then(|| self.slot.is_true())
    }

    /// Returns the text of a string. It is borrowed unless the string has escapes.
    #[must_use]
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        (self.kind() == Kind::String).then(|| self.string())
    }

    /// Returns a number with its original digits.
    #[must_use]
    pub fn number(self) -> Option<&'a str> {
        (self.kind() == Kind::Number).then(|| self.text())
    }

    /// Returns a number that is an integer and fits. `256`, `256.0` and `2.56e2` are the same
    /// number.
    #[must_use]
    pub fn as_u64(self) -> Option<u64> {
        let text = self.number()?;
        if self.slot.is_integer() && text != "-0" {
            return text.parse().ok();
        }
        u64::try_from(Decimal::new(text).to_i128()?).ok()
    }

    /// Returns a number that is an integer and fits. `256`, `256.0` and `2.56e2` are the same
    /// number.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        let text = self.number()?;
        if self.slot.is_integer() {
            return text.parse().ok();
        }
        i64::try_from(Decimal::new(text).to_i128()?).ok()
    }

    /// Returns a number as the nearest `f64`. Returns `None` if it exceeds the range.
    #[must_use]
    pub fn as_f64(self) -> Option<f64> {
        self.number()?.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// Returns the number of elements or members. Other kinds have none.
    #[must_use]
    pub fn len(self) -> usize {
        self.slot.len() as usize
    }

    /// Returns whether there are no elements or members.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Returns the elements of an array. Other kinds have none.
    #[must_use]
    pub fn elements(self) -> Elements<'a> {
        self.held(if self.kind() == Kind::Array { self.len() } else { 0 })
    }

    /// Returns the members of an object as (name, value) in their original order. Other kinds have
    /// none.
    #[must_use]
    pub fn members(self) -> Members<'a> {
        Members { slots: self.names_and_values() }
    }

    /// Returns the names and values of an object in turn. Other kinds have none.
    pub(crate) fn names_and_values(self) -> Elements<'a> {
        self.held(if self.kind() == Kind::Object { self.len() * 2 } else { 0 })
    }

    /// Returns the value of an object's member.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Self> {
        if let Some(mut names) = self.arena.same(self.index, name) {
            let name = names.find(|slot| self.at(*slot).says(name))?;
            return Some(self.at(name + 1));
        }
        let mut entries = self.members().entries();
        entries.find_map(|(own, value)| own.says(name).then_some(value))
    }

    /// Returns the members of an object whose names equal `name` for a reader that ignores case.
    pub(crate) fn alike<'n>(self, name: &'n str) -> impl Iterator<Item = (Self, Self)> + 'n
    where
        'a: 'n,
    {
        let indexed = self.arena.alike(self.index, name);
        // Objects without an index have few members.
        let few = indexed.is_none().then(|| self.members().entries());
        let pair = move |slot| (self.at(slot), self.at(slot + 1));
        let all = indexed.into_iter().flatten().map(pair).chain(few.into_iter().flatten());
        all.filter(move |(own, _)| is_alike(&own.string(), name))
    }

    /// Returns the value at a JSON pointer that starts at this value (RFC 6901). The empty pointer
    /// leads to this value.
    #[must_use]
    pub fn pointer(self, pointer: &str) -> Option<Self> {
        let Some(tokens) = pointer.strip_prefix('/') else {
            return pointer.is_empty().then_some(self);
        };
        tokens.split('/').try_fold(self, |node, token| match node.kind() {
            Kind::Object if token.contains('~') => {
                node.get(&token.replace("~1", "/").replace("~0", "~"))
            }
            Kind::Object => node.get(token),
            Kind::Array => node.elements().nth(array_index(token)?),
            _ => None,
        })
    }

    /// Returns the original bytes of the value.
    #[must_use]
    pub fn raw(self) -> &'a [u8] {
        self.text().as_bytes()
    }

    /// Returns the range of the value in the document's bytes, including quotes and brackets.
    #[must_use]
    pub fn span(self) -> Range<usize> {
        self.slot.start as usize..self.slot.end as usize
    }

    /// Returns the index of the node. It is unique in the document and increases with the position.
    #[cfg(any(feature = "schema", feature = "throttle", feature = "transform"))]
    pub(crate) const fn index(self) -> u32 {
        self.index
    }

    /// Returns the text of a string or a name.
    pub(crate) fn string(self) -> Cow<'a, str> {
        let written = contents(&self.arena.text, self.slot);
        if self.slot.is_escaped() { unescape(written) } else { Cow::Borrowed(written) }
    }

    /// Whether it is a string with this text. Allocates nothing.
    pub(crate) fn says(self, text: &str) -> bool {
        let slot = self.slot;
        if !slot.is_plain_string() {
            return slot.is_escaped() && self.says_with_escapes(text);
        }
        // The length is compared first because most names differ in it.
        (slot.end - slot.start) as usize == text.len() + 2 && {
            let own = slot.start as usize + 1..slot.start as usize + 1 + text.len();
            self.arena.text.as_bytes().get(own) == Some(text.as_bytes())
        }
    }

    #[cold]
    fn says_with_escapes(self, text: &str) -> bool {
        let length = (self.slot.end - self.slot.start) as usize;
        // An escape has one to six times the bytes of its character.
        let lengths = text.len() + 2..=text.len().saturating_mul(6) + 2;
        count_work(text.len().min(length));
        let written = contents(&self.arena.text, self.slot);
        lengths.contains(&length) && characters(written).eq(text.chars())
    }

    /// Returns the `left` slots directly inside this value.
    fn held(self, left: usize) -> Elements<'a> {
        let first = self.index + 1;
        let end = if left == 0 { first } else { self.slot.next };
        let slots = self.arena.slots.get(first as usize..end as usize);
        Elements { arena: self.arena, slots: slots.unwrap_or_default(), first, left }
    }

    fn text(self) -> &'a str {
        self.arena.text.get(self.span()).unwrap_or_default()
    }
}

/// Methods for the schema validator.
#[cfg(feature = "schema")]
impl Node<'_> {
    /// Returns the number of code points in a string. Allocates nothing.
    pub(crate) fn code_points(self) -> Option<usize> {
        let slot = self.slot;
        let written = || contents(&self.arena.text, slot);
        (slot.kind() == Kind::String).then(|| {
            if slot.is_escaped() {
                characters(written()).count()
            } else {
                written().chars().count()
            }
        })
    }

    /// Whether two strings have the same text after decoding. Allocates nothing.
    pub(crate) fn says_the_same(self, other: Self) -> bool {
        let own = contents(&self.arena.text, self.slot);
        let other = contents(&other.arena.text, other.slot);
        count_work(own.len().min(other.len()));
        own == other || characters(own).eq(characters(other))
    }

    /// Returns the number of bytes between the quotes of a string.
    pub(crate) fn written_length(self) -> Option<usize> {
        let slot = self.slot;
        (slot.kind() == Kind::String).then(|| (slot.end - slot.start) as usize - 2)
    }

    /// Whether a number is written without a fraction and an exponent.
    pub(crate) fn is_written_as_integer(self) -> bool {
        self.slot.is_integer()
    }

    /// Returns the address of the document and the index of the node. The pair is unique.
    pub(crate) fn identity(self) -> (usize, u32) {
        (std::ptr::from_ref(self.arena).addr(), self.index)
    }
}

impl fmt::Debug for Node<'_> {
    // Omits the content, which may be a prompt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("kind", &self.kind()).field("span", &self.span()).finish()
    }
}

/// The elements of an array. Returned by [`Node::elements`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    arena: &'a Arena,
    // The remaining slots and all slots inside them.
    slots: &'a [ValueSlot],
    // The index of the first remaining slot.
    first: u32,
    left: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        let (arena, index) = (self.arena, self.first);
        let slot = self.slots.first()?;
        self.skip(slot);
        Some(Node { arena, slot, index })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Elements<'_> {}

impl<'a> Elements<'a> {
    /// Continues after `slot`, which is the first or the second.
    fn skip(&mut self, slot: &ValueSlot) {
        self.slots = self.slots.get((slot.next - self.first) as usize..).unwrap_or_default();
        self.first = slot.next;
        self.left = self.left.saturating_sub(1);
    }

    /// Returns the name and the value of a member.
    fn pair(&mut self) -> Option<(Node<'a>, Node<'a>)> {
        let [name, value, ..] = self.slots else { return None };
        let (arena, index) = (self.arena, self.first);
        self.left = self.left.saturating_sub(1);
        self.skip(value);
        let name = Node { arena, slot: name, index };
        Some((name, Node { arena, slot: value, index: index + 1 }))
    }
}

/// The members of an object as (name, value). Returned by [`Node::members`].
#[derive(Clone, Debug)]
pub struct Members<'a> {
    // Names and values in turn.
    slots: Elements<'a>,
}

impl<'a> Members<'a> {
    /// Returns the members with their names as nodes.
    pub(crate) const fn entries(self) -> Entries<'a> {
        Entries(self.slots)
    }
}

/// The members of an object with their names as nodes. Returned by [`Members::entries`].
#[derive(Clone)]
pub(crate) struct Entries<'a>(Elements<'a>);

impl<'a> Iterator for Entries<'a> {
    type Item = (Node<'a>, Node<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.pair()
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, Node<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.slots.pair()?;
        Some((name.string(), value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.slots.len() / 2;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Members<'_> {}

/// Parses the index of an array element in a pointer: digits without a leading zero (RFC 6901
/// section 4).
pub(crate) fn array_index(token: &str) -> Option<usize> {
    let digits = token.bytes().all(|byte| byte.is_ascii_digit());
    let legal = digits && (token == "0" || !token.starts_with('0'));
    token.parse().ok().filter(|_| legal)
}
