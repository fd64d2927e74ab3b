use crate::payload::json::kind::Kind;

/// One value or one member name.
///
/// Slots are in document order. The elements of an array follow it. The members of an object follow
/// it as a name and a value each. A subtree is therefore the range from a slot to its `next`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ValueSlot {
    /// The first byte, including a quote or bracket.
    pub(crate) start: u32,
    /// The byte after the last one.
    pub(crate) end: u32,
    /// The slot after its subtree. For an open array or object it is the parent.
    pub(crate) next: u32,
    tag: SlotTag,
}

impl ValueSlot {
    pub(crate) const fn new(start: usize, next: u32, tag: SlotTag) -> Self {
        Self { start: start as u32, end: 0, next, tag }
    }

    /// Creates a slot without a subtree at `index`.
    pub(crate) const fn leaf(span: (usize, usize), index: usize, tag: SlotTag) -> Self {
        Self { start: span.0 as u32, end: span.1 as u32, next: index as u32 + 1, tag }
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.tag.kind()
    }

    /// Returns the number of elements or members. Other kinds have none.
    pub(crate) const fn len(&self) -> u32 {
        if self.tag.0 & SlotTag::HOLDS == 0 { 0 } else { self.tag.0 >> SlotTag::BITS }
    }

    pub(crate) const fn set_len(&mut self, len: u32) {
        self.tag.0 = (self.tag.0 & SlotTag::MASK) | (len << SlotTag::BITS);
    }

    /// Whether it is a string without escapes.
    pub(crate) const fn is_plain_string(&self) -> bool {
        self.tag.0 == SlotTag::STRING.0
    }

    /// Whether a string has escapes.
    pub(crate) const fn is_escaped(&self) -> bool {
        self.tag.0 == SlotTag::ESCAPED_STRING.0
    }

    /// Whether a number has neither a fraction nor an exponent.
    pub(crate) const fn is_integer(&self) -> bool {
        self.tag.0 == SlotTag::INTEGER.0
    }

    pub(crate) const fn is_true(&self) -> bool {
        self.tag.0 == SlotTag::TRUE.0
    }
}

/// The kind in the low bits. For arrays and objects the high bits hold the number of elements or
/// members.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotTag(u32);

impl SlotTag {
    const BITS: u32 = 4;
    const MASK: u32 = (1 << Self::BITS) - 1;
    // Set for arrays and objects.
    const HOLDS: u32 = 8;

    /// The maximum number of elements or members.
    pub(crate) const MAX_LEN: u32 = u32::MAX >> Self::BITS;

    // The lowest bit distinguishes two tags of one kind.
    pub(crate) const NULL: Self = Self(0);
    pub(crate) const FALSE: Self = Self(2);
    pub(crate) const TRUE: Self = Self(3);
    pub(crate) const INTEGER: Self = Self(4);
    pub(crate) const FRACTION: Self = Self(5);
    pub(crate) const STRING: Self = Self(6);
    pub(crate) const ESCAPED_STRING: Self = Self(7);
    pub(crate) const ARRAY: Self = Self(8);
    pub(crate) const OBJECT: Self = Self(10);

    const fn kind(self) -> Kind {
        match (self.0 & Self::MASK) >> 1 {
            0 => Kind::Null,
            1 => Kind::Bool,
            2 => Kind::Number,
            3 => Kind::String,
            4 => Kind::Array,
            _ => Kind::Object,
        }
    }
}
