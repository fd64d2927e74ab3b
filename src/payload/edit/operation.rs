use super::{literal::Literal, pointer::PointerToken};

/// One pending edit.
#[derive(Clone, Copy)]
pub(crate) struct EditOperation<'a> {
    /// The slot of the value that is replaced or removed, or that receives a value.
    pub(crate) at: u32,
    pub(crate) change: Change<'a>,
}

#[derive(Clone, Copy)]
pub(crate) enum Change<'a> {
    Replace(NewText<'a>),
    /// Removes the value from the array or object in this slot.
    Remove(u32),
    /// Adds the last member of an object.
    Append(NewText<'a>),
    /// Adds the first element of an array.
    Prepend(NewText<'a>),
}

impl<'a> EditOperation<'a> {
    /// Whether it changes the indexes of an array's elements.
    pub(crate) fn shifts(&self, array: u32) -> bool {
        self.removes_from(array) || self.prepends_to(array)
    }

    pub(crate) fn removes_from(&self, container: u32) -> bool {
        matches!(self.change, Change::Remove(from) if from == container)
    }

    pub(crate) fn prepends_to(&self, array: u32) -> bool {
        self.at == array && matches!(self.change, Change::Prepend(_))
    }

    /// Returns the name that it adds to an object.
    pub(crate) fn new_member(&self, object: u32) -> Option<&'a PointerToken> {
        match self.change {
            Change::Append(text) if self.at == object => text.first_name(),
            _ => None,
        }
    }
}

/// The text that an edit inserts: a value and the new objects around it.
#[derive(Clone, Copy)]
pub(crate) struct NewText<'a> {
    /// Names of the new members on the path to the value, outermost first.
    names: &'a [PointerToken],
    /// Whether the outermost name belongs to an existing object.
    inside: bool,
    value: &'a str,
}

impl<'a> NewText<'a> {
    /// Creates the text of a value that replaces another.
    pub(crate) const fn value(names: &'a [PointerToken], value: &'a Literal) -> Self {
        Self { names, inside: false, value: value.as_str() }
    }

    /// Creates the text of a new member of an existing object.
    pub(crate) const fn member(names: &'a [PointerToken], value: &'a Literal) -> Self {
        Self { names, inside: true, value: value.as_str() }
    }

    pub(crate) const NULL: Self = Self { names: &[], inside: false, value: "null" };

    pub(crate) fn first_name(&self) -> Option<&'a PointerToken> {
        self.names.first()
    }

    /// Returns the number of new objects.
    const fn objects(&self) -> usize {
        self.names.len() - if self.inside { 1 } else { 0 }
    }

    pub(crate) fn len(&self) -> usize {
        let names = self.names.iter().map(|name| name.written.len());
        names.sum::<usize>() + 2 * self.objects() + self.value.len()
    }

    pub(crate) fn write(&self, into: &mut Vec<u8>) {
        for (index, name) in self.names.iter().enumerate() {
            if index > 0 || !self.inside {
                into.push(b'{');
            }
            into.extend_from_slice(name.written.as_bytes());
        }
        into.extend_from_slice(self.value.as_bytes());
        into.extend(std::iter::repeat_n(b'}', self.objects()));
    }
}
