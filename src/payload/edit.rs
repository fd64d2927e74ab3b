use std::{borrow::Cow, fmt};

use bytes::Bytes;

use super::{
    Document, EditError, EditFault, Kind, Literal, Node, Pointer, Reason,
    arena::Slot,
    pointer::{Likeness, Token},
    splice::{Text, render},
};

/// Edits of a [`Document`], which leave every byte that they do not touch as it was.
///
/// Each edit sees what the earlier ones did. They are written at the end, in one pass; only where
/// an edit reaches into what an earlier one has changed, that is written and read again before. An
/// edit that fails changes nothing.
///
/// ```
/// use tower_inference::payload::{Document, Literal, Pointer};
///
/// let document = Document::parse(r#"{ "model": "m", "temperature": 0.70, "user": null }"#)?;
/// let usage: Pointer = "/stream_options/include_usage".parse()?;
/// let (user, yes) = ("/user".parse()?, Literal::from(true));
///
/// let mut edits = document.edit();
/// edits.remove(&user)?;
/// edits.set(&usage, &yes)?;
/// assert_eq!(edits.get(&usage)?.unwrap().as_bool(), Some(true));
/// let edited = edits.finish().unwrap();
/// assert_eq!(
///     edited,
///     r#"{ "model": "m", "temperature": 0.70,"stream_options":{"include_usage":true} }"#
/// );
///
/// // Nothing to do, nothing written.
/// let document = Document::parse(edited)?;
/// let mut edits = document.edit();
/// assert!(!edits.set_default(&usage, &yes)?);
/// assert_eq!(edits.finish(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What counts as missing
///
/// `null` does, as in the APIs of OpenAI and Hugging Face: [`set_default`](Self::set_default)
/// replaces it, and an object takes its place where a pointer leads through it. Objects that are
/// missing on the way to a member are made; elements of arrays are not.
///
/// # Names in another case
///
/// JSON tells `max_tokens` and `Max_Tokens` apart; readers that fold case (Go's `encoding/json`,
/// .NET's web defaults) take the one that comes last. Such a twin of a name that a pointer leads
/// through is an error, for every edit: what was edited must be what is used.
#[derive(Clone)]
pub struct Edits<'a> {
    document: Cow<'a, Document>,
    ops: Vec<Op<'a>>,
    // How many nodes the edited document has.
    nodes: usize,
    // Of the names in the document's own object, once they are known: most that an edit looks for
    // are not there.
    marks: Option<u64>,
}

/// One change of the document.
#[derive(Clone, Copy)]
pub(super) struct Op<'a> {
    /// The slot of the value that is replaced or removed, or that something is put into.
    pub(super) at: u32,
    pub(super) change: Change<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum Change<'a> {
    Replace(Text<'a>),
    /// From the array or object in this slot.
    Remove(u32),
    /// As the last member of an object.
    Append(Text<'a>),
    /// As the first element of an array.
    Prepend(Text<'a>),
}

/// Where a pointer leads.
#[derive(Clone, Copy)]
enum Place {
    Value {
        container: u32,
        at: u32,
    },
    /// An object that lacks the member of this token.
    Object {
        at: u32,
        token: usize,
    },
    /// A `null` in place of the object that this token asks for.
    Null {
        at: u32,
        token: usize,
    },
    /// An array that lacks the element of this token.
    Array {
        token: usize,
    },
}

impl<'a> Edits<'a> {
    pub(super) const fn new(document: &'a Document) -> Self {
        let nodes = document.nodes();
        Self { document: Cow::Borrowed(document), ops: Vec::new(), nodes, marks: None }
    }

    /// The value that a pointer leads to; `None` where it is missing.
    ///
    /// # Errors
    ///
    /// When the pointer leads through a value that has no members, or through a name with a twin.
    pub fn get(&mut self, pointer: &Pointer) -> Result<Option<Node<'_>>, EditError> {
        Ok(match self.find(pointer)? {
            Place::Value { at, .. } => Some(self.document.node(at)).filter(|node| !node.is_null()),
            Place::Object { .. } | Place::Null { .. } | Place::Array { .. } => None,
        })
    }

    /// Puts a value where a pointer leads, whatever is there.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), for an element that is not there, and for what would be beyond the
    /// [`Bounds`](super::Bounds) that the document was read within.
    pub fn set(&mut self, pointer: &'a Pointer, value: &'a Literal) -> Result<(), EditError> {
        let place = self.find_whole(pointer)?;
        self.put(pointer, place, value)
    }

    /// Puts a value where it is missing. True when it was.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn set_default(
        &mut self,
        pointer: &'a Pointer,
        value: &'a Literal,
    ) -> Result<bool, EditError> {
        let place = self.find(pointer)?;
        let missing = match place {
            Place::Value { at, .. } => self.slot(at).kind() == Kind::Null,
            Place::Object { .. } | Place::Null { .. } | Place::Array { .. } => true,
        };
        if missing {
            self.put(pointer, place, value)?;
        }
        Ok(missing)
    }

    /// Removes the member or element that a pointer leads to, `null` or not; of the whole document,
    /// `null` is left. True when it was there.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn remove(&mut self, pointer: &Pointer) -> Result<bool, EditError> {
        let Place::Value { container, at } = self.find_whole(pointer)? else { return Ok(false) };
        if pointer.tokens().is_empty() {
            self.nodes = 1;
            self.ops.push(Op { at, change: Change::Replace(Text::NULL) });
        } else {
            self.take(container, at);
        }
        Ok(true)
    }

    /// Puts a value before all elements of the array that a pointer leads to.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set), and when there is no array.
    pub fn insert_first(
        &mut self,
        pointer: &'a Pointer,
        value: &'a Literal,
    ) -> Result<(), EditError> {
        let mut at = self.array(pointer)?;
        if self.ops.iter().any(|op| op.prepends_to(at)) {
            self.settle()?;
            at = self.array(pointer)?;
        }
        self.nodes = self.fit(pointer, 1 + value.depth(), 0, value.nodes())?;
        self.ops.push(Op { at, change: Change::Prepend(Text::value(&[], value)) });
        Ok(())
    }

    /// Keeps those elements of the array that a pointer leads to of which `keep` says so.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and when there is no array.
    pub fn retain(
        &mut self,
        pointer: &Pointer,
        mut keep: impl FnMut(Node<'_>) -> bool,
    ) -> Result<(), EditError> {
        self.find_whole(pointer)?;
        let container = self.array(pointer)?;
        let mut at = container + 1;
        for _ in 0..self.slot(container).len() {
            let next = self.slot(at).next;
            if !keep(self.document.node(at)) {
                self.take(container, at);
            }
            at = next;
        }
        Ok(())
    }

    /// The document as the edits so far have left it. They are written only where one of them may
    /// have changed what `matters`: a member of the outermost object, by its name, as a whole or
    /// somewhere inside.
    #[cfg(any(feature = "throttle", feature = "transform"))]
    pub(crate) fn read(
        &mut self,
        matters: impl Fn(&str, bool) -> bool,
    ) -> Result<&Document, EditError> {
        if self.ops.iter().any(|op| self.reaches(op, &matters)) {
            self.settle()?;
        }
        Ok(&self.document)
    }

    #[cfg(any(feature = "throttle", feature = "transform"))]
    fn reaches(&self, op: &Op<'a>, matters: impl Fn(&str, bool) -> bool) -> bool {
        if op.at == 0 {
            return op.new_member(0).is_none_or(|new| matters(&new.name, true));
        }
        let whole = matches!(op.change, Change::Replace(_) | Change::Remove(_));
        let mut name = 1;
        for _ in 0..self.slot(0).len() {
            let next = self.slot(name + 1).next;
            if op.at < next {
                return matters(&self.document.node(name).string(), whole && op.at == name + 1);
            }
            name = next;
        }
        true
    }

    /// Replaces a number that was [read](Self::read) since.
    #[cfg(any(feature = "throttle", feature = "transform"))]
    pub(crate) fn replace(&mut self, number: u32, value: &'a Literal) {
        self.ops.push(Op { at: number, change: Change::Replace(Text::value(&[], value)) });
    }

    /// Puts a value where a pointer leads from an object that was [read](Self::read) since.
    #[cfg(any(feature = "throttle", feature = "transform"))]
    pub(crate) fn set_in(
        &mut self,
        object: u32,
        pointer: &'a Pointer,
        value: &'a Literal,
    ) -> Result<(), EditError> {
        self.marks.get_or_insert_with(|| self.document.marks());
        match self.walk_from(object, pointer)? {
            Some(place) => self.put(pointer, place, value),
            None => Err(EditError::new(EditFault::NotAnObject, pointer, 0)),
        }
    }

    /// The edited document; `None` when nothing changed.
    #[must_use]
    pub fn finish(self) -> Option<Bytes> {
        match self.document {
            document if !self.ops.is_empty() => Some(render(&document, &self.ops).into()),
            Cow::Owned(document) => Some(document.bytes().clone()),
            Cow::Borrowed(_) => None,
        }
    }

    /// Writes the edits so far, and reads the result.
    fn settle(&mut self) -> Result<(), EditError> {
        let bytes = render(&self.document, &self.ops);
        let document = Document::parse_within(bytes, self.document.bounds());
        let document = document.map_err(|malformed| EditError {
            fault: EditFault::Bounds(malformed.reason),
            pointer: String::new(),
        })?;
        self.ops.clear();
        self.document = Cow::Owned(document);
        self.marks = None;
        Ok(())
    }

    fn put(
        &mut self,
        pointer: &'a Pointer,
        place: Place,
        value: &'a Literal,
    ) -> Result<(), EditError> {
        let names = |token| pointer.tokens().get(token..).unwrap_or_default();
        let slot = |at| self.slot(at);
        let (at, change, gone, come) = match place {
            Place::Value { at, .. }
                if self.document.node(at).raw() == value.as_str().as_bytes() =>
            {
                return Ok(());
            }
            Place::Value { at, .. } => {
                (at, Change::Replace(Text::value(&[], value)), slot(at).next - at, 0)
            }
            // Each name is a node, and the object around it another.
            Place::Null { at, token } => {
                let names = names(token);
                (at, Change::Replace(Text::value(names, value)), 1, 2 * names.len())
            }
            Place::Object { at, token } => {
                let names = names(token);
                (at, Change::Append(Text::member(names, value)), 0, 2 * names.len() - 1)
            }
            Place::Array { token } => {
                return Err(EditError::new(EditFault::NoElement, pointer, token + 1));
            }
        };
        self.nodes = self.fit(pointer, value.depth(), gone, come + value.nodes())?;
        self.ops.push(Op { at, change });
        Ok(())
    }

    fn take(&mut self, container: u32, at: u32) {
        let own = u32::from(self.slot(container).kind() == Kind::Object);
        self.nodes -= (self.slot(at).next - at + own) as usize;
        self.ops.push(Op { at, change: Change::Remove(container) });
    }

    /// How many nodes there will be, if the bounds allow that.
    fn fit(
        &self,
        pointer: &Pointer,
        depth: usize,
        gone: u32,
        come: usize,
    ) -> Result<usize, EditError> {
        let bounds = self.document.bounds();
        let nodes = self.nodes - gone as usize + come;
        let around = pointer.tokens().len();
        let reason = if around + depth > bounds.depth as usize {
            Reason::TooDeep(bounds.depth)
        } else if nodes > bounds.nodes as usize {
            Reason::TooManyNodes(bounds.nodes)
        } else {
            return Ok(nodes);
        };
        Err(EditError::new(EditFault::Bounds(reason), pointer, around))
    }

    /// The slot of the array that a pointer leads to.
    fn array(&mut self, pointer: &Pointer) -> Result<u32, EditError> {
        match self.find(pointer)? {
            Place::Value { at, .. } if self.slot(at).kind() == Kind::Array => Ok(at),
            _ => Err(EditError::new(EditFault::NotAnArray, pointer, pointer.tokens().len())),
        }
    }

    /// Where a pointer leads, once no earlier edit lies within the value.
    fn find_whole(&mut self, pointer: &Pointer) -> Result<Place, EditError> {
        let place = self.find(pointer)?;
        if let Place::Value { at, .. } = place {
            let within = at..self.slot(at).next;
            if self.ops.iter().any(|op| within.contains(&op.at)) {
                self.settle()?;
                return self.find(pointer);
            }
        }
        Ok(place)
    }

    /// Where a pointer leads, once no earlier edit stands in the way.
    fn find(&mut self, pointer: &Pointer) -> Result<Place, EditError> {
        loop {
            self.marks.get_or_insert_with(|| self.document.marks());
            match self.walk(pointer)? {
                Some(place) => return Ok(place),
                None => self.settle()?,
            }
        }
    }

    /// Follows a pointer; `None` when an earlier edit stands in the way.
    fn walk(&self, pointer: &Pointer) -> Result<Option<Place>, EditError> {
        self.walk_from(0, pointer)
    }

    /// The same, from the value in a slot.
    fn walk_from(&self, from: u32, pointer: &Pointer) -> Result<Option<Place>, EditError> {
        let (mut container, mut at) = (from, from);
        for (index, token) in pointer.tokens().iter().enumerate() {
            let fault = |fault, tokens| Err(EditError::new(fault, pointer, tokens));
            if self.is_taken(at) {
                return Ok(None);
            }
            let next = match self.slot(at).kind() {
                Kind::Object => match self.member(at, token) {
                    Member::Here(value) => value,
                    Member::Missing => return Ok(Some(Place::Object { at, token: index })),
                    Member::Changed => return Ok(None),
                    Member::Twin => return fault(EditFault::Twin, index + 1),
                },
                Kind::Array => {
                    let Some(nth) = token.index() else {
                        return fault(EditFault::NotAnObject, index);
                    };
                    if self.ops.iter().any(|op| op.shifts(at)) {
                        return Ok(None);
                    }
                    match self.element(at, nth) {
                        Some(value) => value,
                        None => return Ok(Some(Place::Array { token: index })),
                    }
                }
                Kind::Null if index > 0 => return Ok(Some(Place::Null { at, token: index })),
                _ => return fault(EditFault::NotAnObject, index),
            };
            (container, at) = (at, next);
        }
        Ok((!self.is_taken(at)).then_some(Place::Value { container, at }))
    }

    fn member(&self, object: u32, token: &Token) -> Member {
        let new = self.ops.iter().filter_map(|op| op.new_member(object));
        if new.filter(|new| token.compare(&new.name) != Likeness::Different).count() > 0 {
            return Member::Changed;
        }
        if object == 0 && self.marks.is_some_and(|marks| !token.may_be_among(marks)) {
            return Member::Missing;
        }
        let mut name = object + 1;
        let all = (0..self.slot(object).len()).map(|_| {
            let this = name;
            name = self.slot(this + 1).next;
            this
        });
        match self.document.alike(object, token) {
            Some(names) => self.member_among(names, token),
            None => self.member_among(all, token),
        }
    }

    fn member_among(&self, names: impl Iterator<Item = u32>, token: &Token) -> Member {
        let mut found = Member::Missing;
        for name in names {
            let value = name + 1;
            match self.document.compare(name, token) {
                Likeness::Different => {}
                Likeness::Same => found = Member::Here(value),
                Likeness::OtherCase if self.is_taken(value) => return Member::Changed,
                Likeness::OtherCase => return Member::Twin,
            }
        }
        found
    }

    fn element(&self, array: u32, nth: usize) -> Option<u32> {
        if nth >= self.slot(array).len() as usize {
            return None;
        }
        Some((0..nth).fold(array + 1, |at, _| self.slot(at).next))
    }

    /// Whether an earlier edit has replaced or removed the value itself.
    fn is_taken(&self, at: u32) -> bool {
        let taken = |op: &Op<'_>| matches!(op.change, Change::Replace(_) | Change::Remove(_));
        self.ops.iter().any(|op| op.at == at && taken(op))
    }

    fn slot(&self, at: u32) -> &Slot {
        self.document.slot(at)
    }
}

impl fmt::Debug for Edits<'_> {
    // Without the content, which may be a prompt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edits")
            .field("document", &self.document)
            .field("changes", &self.ops.len())
            .finish()
    }
}

/// What an object holds of a name.
enum Member {
    /// The slot of its value.
    Here(u32),
    Missing,
    /// What an earlier edit made or took.
    Changed,
    /// A name that differs in case only.
    Twin,
}

// === impl Op ===

impl<'a> Op<'a> {
    /// Whether it changes which element of an array is which.
    fn shifts(&self, array: u32) -> bool {
        self.removes_from(array) || self.prepends_to(array)
    }

    pub(super) fn removes_from(&self, container: u32) -> bool {
        matches!(self.change, Change::Remove(from) if from == container)
    }

    fn prepends_to(&self, array: u32) -> bool {
        self.at == array && matches!(self.change, Change::Prepend(_))
    }

    /// The first name that it makes in an object.
    pub(super) fn new_member(&self, object: u32) -> Option<&'a Token> {
        match self.change {
            Change::Append(text) if self.at == object => text.first_name(),
            _ => None,
        }
    }
}
