use std::{borrow::Cow, fmt};

use bytes::Bytes;

use super::{
    error::{EditError, EditFault},
    literal::Literal,
    operation::{Change, EditOperation, NewText},
    pointer::Pointer,
    render::render,
    target::{PointerLookup, PointerTarget, name_bits_of},
};
use crate::payload::json::{
    document::Document, fault::JsonFault, kind::Kind, node::Node, parse::slot::ValueSlot,
};

/// Edits of a [`Document`] that leave all other bytes unchanged.
///
/// Each edit sees the earlier ones. All edits are written in one pass at the end. An edit inside a
/// value that an earlier edit changed first writes and parses the earlier edits. A failed edit
/// changes nothing.
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
/// # Missing values
///
/// `null` counts as missing, as in the APIs of OpenAI and Hugging Face.
/// [`set_default`](Self::set_default) replaces it. Missing objects on the path to a member are
/// created, also in place of `null`. Missing elements of arrays are not created.
///
/// # Names that differ in case
///
/// JSON distinguishes `max_tokens` from `Max_Tokens`. Readers that ignore case (Go's
/// `encoding/json`, .NET's web defaults) use the one that comes last. Every edit fails if its
/// pointer meets such a name. The upstream therefore uses the value that was edited.
#[derive(Clone)]
pub struct Edits<'a> {
    document: Cow<'a, Document>,
    operations: Vec<EditOperation<'a>>,
    // The number of values after all edits.
    nodes: usize,
    // The bits of the names in the root object. Most names in pointers are absent and are skipped
    // by these bits.
    name_bits: Option<u64>,
}

impl<'a> Edits<'a> {
    pub(crate) const fn new(document: &'a Document) -> Self {
        let nodes = document.value_count();
        Self { document: Cow::Borrowed(document), operations: Vec::new(), nodes, name_bits: None }
    }

    /// Returns the value at a pointer. Returns `None` if it is missing.
    ///
    /// # Errors
    ///
    /// Returns an error if the pointer leads through a value without members or meets a name that
    /// differs only in case.
    pub fn get(&mut self, pointer: &Pointer) -> Result<Option<Node<'_>>, EditError> {
        Ok(match self.find(pointer)? {
            PointerTarget::Value { at, .. } => {
                Some(self.document.node(at)).filter(|node| !node.is_null())
            }
            PointerTarget::Object { .. }
            | PointerTarget::Null { .. }
            | PointerTarget::Array { .. } => None,
        })
    }

    /// Sets the value at a pointer.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`get`](Self::get). Also returns an error for an element that does not
    /// exist and for a result beyond the document's
    /// [`DocumentBounds`](crate::payload::DocumentBounds).
    pub fn set(&mut self, pointer: &'a Pointer, value: &'a Literal) -> Result<(), EditError> {
        let place = self.find_applied(pointer)?;
        self.put(pointer, place, value)
    }

    /// Sets the value at a pointer if it is missing. Returns whether it was.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`set`](Self::set).
    pub fn set_default(
        &mut self,
        pointer: &'a Pointer,
        value: &'a Literal,
    ) -> Result<bool, EditError> {
        let place = self.find(pointer)?;
        let missing = match place {
            PointerTarget::Value { at, .. } => self.slot(at).kind() == Kind::Null,
            PointerTarget::Object { .. }
            | PointerTarget::Null { .. }
            | PointerTarget::Array { .. } => true,
        };
        if missing {
            self.put(pointer, place, value)?;
        }
        Ok(missing)
    }

    /// Removes the member or element at a pointer, even if it is `null`. The whole document becomes
    /// `null`. Returns whether the value existed.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`get`](Self::get).
    pub fn remove(&mut self, pointer: &Pointer) -> Result<bool, EditError> {
        let PointerTarget::Value { container, at } = self.find_applied(pointer)? else {
            return Ok(false);
        };
        if pointer.tokens().is_empty() {
            self.nodes = 1;
            self.operations.push(EditOperation { at, change: Change::Replace(NewText::NULL) });
        } else {
            self.take(container, at);
        }
        Ok(true)
    }

    /// Inserts a value before all elements of the array at a pointer.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`set`](Self::set). Also returns an error if the value is no array.
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
        self.operations
            .push(EditOperation { at, change: Change::Prepend(NewText::value(&[], value)) });
        Ok(())
    }

    /// Keeps the elements of the array at a pointer for which `keep` returns true.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`get`](Self::get). Also returns an error if the value is no array.
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

    /// Returns the document with the edits so far. They are written only if one changed a member
    /// that `matters`. `matters` receives the name of a member of the root object and whether the
    /// member changed as a whole.
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
    fn reaches(&self, op: &EditOperation<'a>, matters: impl Fn(&str, bool) -> bool) -> bool {
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

    /// Replaces a number that was [read](Self::read) since the last edit.
    #[cfg(any(feature = "throttle", feature = "transform"))]
    pub(crate) fn replace(&mut self, number: u32, value: &'a Literal) {
        self.operations.push(EditOperation {
            at: number,
            change: Change::Replace(NewText::value(&[], value)),
        });
    }

    /// Renames the members with these values, which were [read](Self::read) since the last edit, and
    /// writes the edits so far. No other member has the new name.
    #[cfg(any(feature = "throttle", feature = "transform"))]
    pub(crate) fn rename(&mut self, values: &[u32], name: &'a Literal) -> Result<(), EditError> {
        for value in values {
            // The name of a member is the node before its value.
            let change = Change::Replace(NewText::value(&[], name));
            self.operations.push(EditOperation { at: value.saturating_sub(1), change });
        }
        if values.is_empty() { Ok(()) } else { self.apply_pending() }
    }

    /// Sets the value at a pointer that starts at an object. The object was [read](Self::read)
    /// since the last edit.
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

    /// Returns the edited document. Returns `None` if nothing changed.
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

    /// Writes the edits so far and parses the result.
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
        place: PointerTarget,
        value: &'a Literal,
    ) -> Result<(), EditError> {
        let names = |token| pointer.tokens().get(token..).unwrap_or_default();
        let slot = |at| self.slot(at);
        let (at, change, removed, added) = match place {
            PointerTarget::Value { at, .. }
                if self.document.node(at).raw() == value.as_str().as_bytes() =>
            {
                return Ok(());
            }
            PointerTarget::Value { at, .. } => {
                (at, Change::Replace(NewText::value(&[], value)), slot(at).next - at, 0)
            }
            // Each name counts as a value and so does the object around it.
            PointerTarget::Null { at, token } => {
                let names = names(token);
                (at, Change::Replace(NewText::value(names, value)), 1, 2 * names.len())
            }
            PointerTarget::Object { at, token } => {
                let names = names(token);
                (at, Change::Append(NewText::member(names, value)), 0, 2 * names.len() - 1)
            }
            PointerTarget::Array { token } => {
                return Err(EditError::new(EditFault::NoElement, pointer, token + 1));
            }
        };
        self.nodes =
            self.check_bounds(pointer, value.depth(), removed, added + value.value_count())?;
        self.operations.push(EditOperation { at, change });
        Ok(())
    }

    fn take(&mut self, container: u32, at: u32) {
        let own = u32::from(self.slot(container).kind() == Kind::Object);
        self.nodes -= (self.slot(at).next - at + own) as usize;
        self.operations.push(EditOperation { at, change: Change::Remove(container) });
    }

    /// Returns the number of values after an edit if the bounds permit it.
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

    /// Returns the slot of the array at a pointer.
    fn array(&mut self, pointer: &Pointer) -> Result<u32, EditError> {
        match self.find(pointer)? {
            PointerTarget::Value { at, .. } if self.slot(at).kind() == Kind::Array => Ok(at),
            _ => Err(EditError::new(EditFault::NotAnArray, pointer, pointer.tokens().len())),
        }
    }

    /// Finds the target of a pointer. Applies earlier edits inside the value first.
    fn find_applied(&mut self, pointer: &Pointer) -> Result<PointerTarget, EditError> {
        let place = self.find(pointer)?;
        if let PointerTarget::Value { at, .. } = place {
            let within = at..self.slot(at).next;
            if self.operations.iter().any(|op| within.contains(&op.at)) {
                self.apply_pending()?;
                return self.find(pointer);
            }
        }
        Ok(place)
    }

    /// Finds the target of a pointer. Applies earlier edits on the path first.
    fn find(&mut self, pointer: &Pointer) -> Result<PointerTarget, EditError> {
        loop {
            self.name_bits.get_or_insert_with(|| name_bits_of(&self.document));
            match self.lookup().walk(0, pointer)? {
                Some(place) => return Ok(place),
                None => self.apply_pending()?,
            }
        }
    }

    fn lookup(&self) -> PointerLookup<'_, 'a> {
        let operations = &self.operations;
        PointerLookup { document: &self.document, operations, name_bits: self.name_bits }
    }

    fn slot(&self, at: u32) -> &ValueSlot {
        self.document.slot(at)
    }
}

impl fmt::Debug for Edits<'_> {
    // Omits the content, which may be a prompt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edits")
            .field("document", &self.document)
            .field("changes", &self.operations.len())
            .finish()
    }
}

impl Document {
    /// Starts to edit the document.
    #[must_use]
    pub const fn edit(&self) -> Edits<'_> {
        Edits::new(self)
    }
}
