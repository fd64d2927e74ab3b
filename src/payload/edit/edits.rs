use std::{borrow::Cow, fmt};

use bytes::Bytes;

use super::{
    error::{EditError, EditFault},
    literal::Literal,
    operation::{Change, NewText, Operation},
    pointer::Pointer,
    render::render,
    target::{Lookup, Target, name_bits_of},
};
use crate::payload::json::{
    document::Document, fault::JsonFault, kind::Kind, node::Node, parse::slot::Slot,
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
    operations: Vec<Operation<'a>>,
    // How many nodes the edited document has.
    nodes: usize,
    // Of the names in the document's own object, once they are known: most that an edit looks for
    // are not there.
    name_bits: Option<u64>,
}

impl<'a> Edits<'a> {
    pub(crate) const fn new(document: &'a Document) -> Self {
        let nodes = document.value_count();
        Self { document: Cow::Borrowed(document), operations: Vec::new(), nodes, name_bits: None }
    }

    /// The value that a pointer leads to; `None` where it is missing.
    ///
    /// # Errors
    ///
    /// When the pointer leads through a value that has no members, or through a name with a twin.
    pub fn get(&mut self, pointer: &Pointer) -> Result<Option<Node<'_>>, EditError> {
        Ok(match self.find(pointer)? {
            Target::Value { at, .. } => Some(self.document.node(at)).filter(|node| !node.is_null()),
            Target::Object { .. } | Target::Null { .. } | Target::Array { .. } => None,
        })
    }

    /// Puts a value where a pointer leads, whatever is there.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), for an element that is not there, and for what would be beyond the
    /// [`DocumentBounds`](crate::payload::DocumentBounds) that the document was read within.
    pub fn set(&mut self, pointer: &'a Pointer, value: &'a Literal) -> Result<(), EditError> {
        let place = self.find_applied(pointer)?;
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
            Target::Value { at, .. } => self.slot(at).kind() == Kind::Null,
            Target::Object { .. } | Target::Null { .. } | Target::Array { .. } => true,
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
        let Target::Value { container, at } = self.find_applied(pointer)? else { return Ok(false) };
        if pointer.tokens().is_empty() {
            self.nodes = 1;
            self.operations.push(Operation { at, change: Change::Replace(NewText::NULL) });
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
        if self.operations.iter().any(|op| op.prepends_to(at)) {
            self.apply_pending()?;
            at = self.array(pointer)?;
        }
        self.nodes = self.check_bounds(pointer, 1 + value.depth(), 0, value.value_count())?;
        self.operations.push(Operation { at, change: Change::Prepend(NewText::value(&[], value)) });
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
        self.find_applied(pointer)?;
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
        if self.operations.iter().any(|op| self.reaches(op, &matters)) {
            self.apply_pending()?;
        }
        Ok(&self.document)
    }

    #[cfg(any(feature = "throttle", feature = "transform"))]
    fn reaches(&self, op: &Operation<'a>, matters: impl Fn(&str, bool) -> bool) -> bool {
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
        self.operations
            .push(Operation { at: number, change: Change::Replace(NewText::value(&[], value)) });
    }

    /// Puts a value where a pointer leads from an object that was [read](Self::read) since.
    #[cfg(any(feature = "throttle", feature = "transform"))]
    pub(crate) fn set_in(
        &mut self,
        object: u32,
        pointer: &'a Pointer,
        value: &'a Literal,
    ) -> Result<(), EditError> {
        self.name_bits.get_or_insert_with(|| name_bits_of(&self.document));
        match self.lookup().walk(object, pointer)? {
            Some(place) => self.put(pointer, place, value),
            None => Err(EditError::new(EditFault::NotAnObject, pointer, 0)),
        }
    }

    /// The edited document; `None` when nothing changed.
    #[must_use]
    pub fn finish(self) -> Option<Bytes> {
        match self.document {
            document if !self.operations.is_empty() => {
                Some(render(&document, &self.operations).into())
            }
            Cow::Owned(document) => Some(document.bytes().clone()),
            Cow::Borrowed(_) => None,
        }
    }

    /// Writes the edits so far, and reads the result.
    fn apply_pending(&mut self) -> Result<(), EditError> {
        let bytes = render(&self.document, &self.operations);
        let document = Document::parse_within(bytes, self.document.bounds());
        let document = document.map_err(|malformed| EditError {
            fault: EditFault::Bounds(malformed.fault),
            pointer: String::new(),
        })?;
        self.operations.clear();
        self.document = Cow::Owned(document);
        self.name_bits = None;
        Ok(())
    }

    fn put(
        &mut self,
        pointer: &'a Pointer,
        place: Target,
        value: &'a Literal,
    ) -> Result<(), EditError> {
        let names = |token| pointer.tokens().get(token..).unwrap_or_default();
        let slot = |at| self.slot(at);
        let (at, change, removed, added) = match place {
            Target::Value { at, .. }
                if self.document.node(at).raw() == value.as_str().as_bytes() =>
            {
                return Ok(());
            }
            Target::Value { at, .. } => {
                (at, Change::Replace(NewText::value(&[], value)), slot(at).next - at, 0)
            }
            // Each name is a node, and the object around it another.
            Target::Null { at, token } => {
                let names = names(token);
                (at, Change::Replace(NewText::value(names, value)), 1, 2 * names.len())
            }
            Target::Object { at, token } => {
                let names = names(token);
                (at, Change::Append(NewText::member(names, value)), 0, 2 * names.len() - 1)
            }
            Target::Array { token } => {
                return Err(EditError::new(EditFault::NoElement, pointer, token + 1));
            }
        };
        self.nodes =
            self.check_bounds(pointer, value.depth(), removed, added + value.value_count())?;
        self.operations.push(Operation { at, change });
        Ok(())
    }

    fn take(&mut self, container: u32, at: u32) {
        let own = u32::from(self.slot(container).kind() == Kind::Object);
        self.nodes -= (self.slot(at).next - at + own) as usize;
        self.operations.push(Operation { at, change: Change::Remove(container) });
    }

    /// How many nodes there will be, if the bounds allow that.
    fn check_bounds(
        &self,
        pointer: &Pointer,
        depth: usize,
        removed: u32,
        added: usize,
    ) -> Result<usize, EditError> {
        let bounds = self.document.bounds();
        let nodes = self.nodes - removed as usize + added;
        let around = pointer.tokens().len();
        let fault = if around + depth > bounds.depth as usize {
            JsonFault::TooDeep(bounds.depth)
        } else if nodes > bounds.values as usize {
            JsonFault::TooManyValues(bounds.values)
        } else {
            return Ok(nodes);
        };
        Err(EditError::new(EditFault::Bounds(fault), pointer, around))
    }

    /// The slot of the array that a pointer leads to.
    fn array(&mut self, pointer: &Pointer) -> Result<u32, EditError> {
        match self.find(pointer)? {
            Target::Value { at, .. } if self.slot(at).kind() == Kind::Array => Ok(at),
            _ => Err(EditError::new(EditFault::NotAnArray, pointer, pointer.tokens().len())),
        }
    }

    /// Where a pointer leads, once no earlier edit lies within the value.
    fn find_applied(&mut self, pointer: &Pointer) -> Result<Target, EditError> {
        let place = self.find(pointer)?;
        if let Target::Value { at, .. } = place {
            let within = at..self.slot(at).next;
            if self.operations.iter().any(|op| within.contains(&op.at)) {
                self.apply_pending()?;
                return self.find(pointer);
            }
        }
        Ok(place)
    }

    /// Where a pointer leads, once no earlier edit stands in the way.
    fn find(&mut self, pointer: &Pointer) -> Result<Target, EditError> {
        loop {
            self.name_bits.get_or_insert_with(|| name_bits_of(&self.document));
            match self.lookup().walk(0, pointer)? {
                Some(place) => return Ok(place),
                None => self.apply_pending()?,
            }
        }
    }

    fn lookup(&self) -> Lookup<'_, 'a> {
        let operations = &self.operations;
        Lookup { document: &self.document, operations, name_bits: self.name_bits }
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
            .field("changes", &self.operations.len())
            .finish()
    }
}

impl Document {
    /// Starts to edit it.
    #[must_use]
    pub const fn edit(&self) -> Edits<'_> {
        Edits::new(self)
    }
}
