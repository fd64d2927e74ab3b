use std::{borrow::Cow, fmt, ops::Range};

use super::{
    case_fold::is_alike,
    decimal::Decimal,
    kind::Kind,
    parse::{
        arena::Arena,
        slot::Slot,
        string::{characters, contents, count_work, unescape},
    },
};

/// One value of a [`Document`]. Copied freely.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    arena: &'a Arena,
    // Its own, so that it is looked up once.
    slot: &'a Slot,
    index: u32,
}

impl<'a> Node<'a> {
    pub(crate) fn new(arena: &'a Arena, index: u32) -> Self {
        Self { arena, slot: arena.slot(index), index }
    }

    /// Another node of the same document.
    fn at(self, index: u32) -> Self {
        Self::new(self.arena, index)
    }

    pub(crate) const fn arena(self) -> &'a Arena {
        self.arena
    }

    /// Its slot and those of what it holds.
    pub(crate) const fn index_range(self) -> Range<usize> {
        self.index as usize..self.slot.next as usize
    }

    pub(crate) const fn slot(self) -> &'a Slot {
        self.slot
    }

    /// What it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.slot.kind()
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// The truth value, of one.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        (self.kind() == Kind::Bool).then(|| self.slot.is_true())
    }

    /// What a string says. Borrowed, unless it was written with escapes.
    #[must_use]
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        (self.kind() == Kind::String).then(|| self.string())
    }

    /// A number, digit for digit as it was written.
    #[must_use]
    pub fn number(self) -> Option<&'a str> {
        (self.kind() == Kind::Number).then(|| self.text())
    }

    /// Returns a number that is an integer and fits, however it is written: `256`, `256.0` and
    /// `2.56e2` are one number.
    #[must_use]
    pub fn as_u64(self) -> Option<u64> {
        let text = self.number()?;
        if self.slot.is_integer() && text != "-0" {
            return text.parse().ok();
        }
        u64::try_from(Decimal::new(text).to_i128()?).ok()
    }

    /// Returns a number that is an integer and fits, however it is written.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        let text = self.number()?;
        if self.slot.is_integer() {
            return text.parse().ok();
        }
        i64::try_from(Decimal::new(text).to_i128()?).ok()
    }

    /// A number, rounded to the nearest `f64`. `None` when it is beyond the largest.
    #[must_use]
    pub fn as_f64(self) -> Option<f64> {
        self.number()?.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// How many elements or members there are. Zero for what is neither array nor object.
    #[must_use]
    pub fn len(self) -> usize {
        self.slot.len() as usize
    }

    /// Whether there are no elements or members.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The elements of an array; none for other kinds.
    #[must_use]
    pub fn elements(self) -> Elements<'a> {
        self.held(if self.kind() == Kind::Array { self.len() } else { 0 })
    }

    /// The members of an object, as (name, value), in the order in which they were written; none
    /// for other kinds.
    #[must_use]
    pub fn members(self) -> Members<'a> {
        Members { slots: self.names_and_values() }
    }

    /// The names and values of an object, by turns; none for other kinds.
    pub(crate) fn names_and_values(self) -> Elements<'a> {
        self.held(if self.kind() == Kind::Object { self.len() * 2 } else { 0 })
    }

    /// The value of an object's member.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Self> {
        if let Some(mut names) = self.arena.same(self.index, name) {
            let name = names.find(|slot| self.at(*slot).says(name))?;
            return Some(self.at(name + 1));
        }
        let mut entries = self.members().entries();
        entries.find_map(|(own, value)| own.says(name).then_some(value))
    }

    /// The names and values of an object's members that a reader which folds case takes for those of
    /// `name`, the exact one included.
    pub(crate) fn alike<'n>(self, name: &'n str) -> impl Iterator<Item = (Self, Self)> + 'n
    where
        'a: 'n,
    {
        let indexed = self.arena.alike(self.index, name);
        // Without an index there are few members.
        let few = indexed.is_none().then(|| self.members().entries());
        let pair = move |slot| (self.at(slot), self.at(slot + 1));
        let all = indexed.into_iter().flatten().map(pair).chain(few.into_iter().flatten());
        all.filter(move |(own, _)| is_alike(&own.string(), name))
    }

    /// The value that a JSON pointer leads to from here (RFC 6901). The empty pointer leads to
    /// this value itself.
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

    /// The bytes of the value, as written.
    #[must_use]
    pub fn raw(self) -> &'a [u8] {
        self.text().as_bytes()
    }

    /// Where in the document's bytes the value stands, its quotes or brackets included.
    #[must_use]
    pub fn span(self) -> Range<usize> {
        self.slot.start as usize..self.slot.end as usize
    }

    /// Tells it from the others of its document, and grows as the document goes on.
    #[cfg(any(feature = "schema", feature = "throttle", feature = "transform"))]
    pub(crate) const fn index(self) -> u32 {
        self.index
    }

    /// What a string says, or a name.
    pub(crate) fn string(self) -> Cow<'a, str> {
        let written = contents(&self.arena.text, self.slot);
        if self.slot.is_escaped() { unescape(written) } else { Cow::Borrowed(written) }
    }

    /// Whether it is a string that says `text`. Allocates nothing.
    pub(crate) fn says(self, text: &str) -> bool {
        let slot = self.slot;
        if slot.kind() != Kind::String {
            return false;
        }
        let length = (slot.end - slot.start) as usize;
        if slot.is_escaped() {
            // An escape takes one to six times the bytes of its character.
            let lengths = text.len() + 2..=text.len().saturating_mul(6) + 2;
            count_work(text.len().min(length));
            let written = contents(&self.arena.text, slot);
            return lengths.contains(&length) && characters(written).eq(text.chars());
        }
        // The length is compared first: most names differ in it.
        length == text.len() + 2 && {
            let own = slot.start as usize + 1..slot.start as usize + 1 + text.len();
            self.arena.text.as_bytes().get(own) == Some(text.as_bytes())
        }
    }

    /// The values and names that it holds, as many as `left`: all of them, or none.
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

/// What a validator asks for.
#[cfg(feature = "schema")]
impl Node<'_> {
    /// How many code points a string has. Allocates nothing.
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

    /// Whether two strings say the same, however they are written. Allocates nothing.
    pub(crate) fn says_the_same(self, other: Self) -> bool {
        let own = contents(&self.arena.text, self.slot);
        let other = contents(&other.arena.text, other.slot);
        count_work(own.len().min(other.len()));
        own == other || characters(own).eq(characters(other))
    }

    /// How many bytes a string takes as it was written, without its quotes.
    pub(crate) fn written_length(self) -> Option<usize> {
        let slot = self.slot;
        (slot.kind() == Kind::String).then(|| (slot.end - slot.start) as usize - 2)
    }

    /// Whether it is a number that is written without fraction and exponent.
    pub(crate) fn is_written_as_integer(self) -> bool {
        self.slot.is_integer()
    }

    /// Which document it is of, by address, and which of its nodes: no two nodes share both.
    pub(crate) fn identity(self) -> (usize, u32) {
        (std::ptr::from_ref(self.arena).addr(), self.index)
    }
}

impl fmt::Debug for Node<'_> {
    // Without its content, which may be a prompt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("kind", &self.kind()).field("span", &self.span()).finish()
    }
}

/// The elements of an array. Made by [`Node::elements`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    arena: &'a Arena,
    // Those that are left, and what they hold.
    slots: &'a [Slot],
    // Which slot of the document the first of them is.
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
    /// Goes on behind `slot`, which is the first or the second.
    fn skip(&mut self, slot: &Slot) {
        self.slots = self.slots.get((slot.next - self.first) as usize..).unwrap_or_default();
        self.first = slot.next;
        self.left = self.left.saturating_sub(1);
    }

    /// The name and the value of a member.
    fn pair(&mut self) -> Option<(Node<'a>, Node<'a>)> {
        let [name, value, ..] = self.slots else { return None };
        let (arena, index) = (self.arena, self.first);
        self.left = self.left.saturating_sub(1);
        self.skip(value);
        let name = Node { arena, slot: name, index };
        Some((name, Node { arena, slot: value, index: index + 1 }))
    }
}

/// The members of an object, as (name, value). Made by [`Node::members`].
#[derive(Clone, Debug)]
pub struct Members<'a> {
    // Names and values, by turns.
    slots: Elements<'a>,
}

impl<'a> Members<'a> {
    /// The same, as (name, value), with the name as a node.
    pub(crate) const fn entries(self) -> Entries<'a> {
        Entries(self.slots)
    }
}

/// The members of an object, the names as nodes. Made by [`Members::entries`].
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

/// An array's index in a pointer: digits, without a leading zero (RFC 6901 section 4).
pub(crate) fn array_index(token: &str) -> Option<usize> {
    let digits = token.bytes().all(|byte| byte.is_ascii_digit());
    let legal = digits && (token == "0" || !token.starts_with('0'));
    token.parse().ok().filter(|_| legal)
}
