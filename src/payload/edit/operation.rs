use super::{literal::Literal, pointer::PointerToken};

/// One change of the document.
#[derive(Clone, Copy)]
pub(crate) struct Operation<'a> {
    /// The slot of the value that is replaced or removed, or that something is put into.
    pub(crate) at: u32,
    pub(crate) change: Change<'a>,
}

#[derive(Clone, Copy)]
pub(crate) enum Change<'a> {
    Replace(NewText<'a>),
    /// From the array or object in this slot.
    Remove(u32),
    /// As the last member of an object.
    Append(NewText<'a>),
    /// As the first element of an array.
    Prepend(NewText<'a>),
}

impl<'a> Operation<'a> {
    /// Whether it changes which element of an array is which.
    pub(crate) fn shifts(&self, array: u32) -> bool {
        self.removes_from(array) || self.prepends_to(array)
    }

    pub(crate) fn removes_from(&self, container: u32) -> bool {
        matches!(self.change, Change::Remove(from) if from == container)
    }

    pub(crate) fn prepends_to(&self, array: u32) -> bool {
        self.at == array && matches!(self.change, Change::Prepend(_))
    }

    /// The first name that it makes in an object.
    pub(crate) fn new_member(&self, object: u32) -> Option<&'a PointerToken> {
        match self.change {
            Change::Append(text) if self.at == object => text.first_name(),
            _ => None,
        }
    }
}

/// What an edit writes: a value, inside the objects that it needs around it.
#[derive(Clone, Copy)]
pub(crate) struct NewText<'a> {
    /// Names of the members that are made on the way to the value, outermost first.
    names: &'a [PointerToken],
    /// Whether the outermost name goes into an object that is there.
    inside: bool,
    value: &'a str,
}

impl<'a> NewText<'a> {
    /// A value that takes the place of another.
    pub(crate) const fn value(names: &'a [PointerToken], value: &'a Literal) -> Self {
        Self { names, inside: false, value: value.as_str() }
    }

    /// A member of an object that is there.
    pub(crate) const fn member(names: &'a [PointerToken], value: &'a Literal) -> Self {
        Self { names, inside: true, value: value.as_str() }
    }

    pub(crate) const NULL: Self = Self { names: &[], inside: false, value: "null" };

    pub(crate) fn first_name(&self) -> Option<&'a PointerToken> {
        self.names.first()
    }

    /// How many objects it makes.
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
