use std::ops::Range;

use crate::json_string::split_plain;

/// The most bytes that are remembered.
const MAX_BYTES: usize = 255;

/// The form that the events of a stream have in common around their text.
///
/// The id, the model and the other members before the text are the same in each event of most
/// servers, and so are the members after it.
#[derive(Clone, Copy)]
pub(super) struct CommonForm<P, S> {
    // The start, the name and the quote before the text, and the end from the quote after it on.
    bytes: [u8; MAX_BYTES],
    // The length of the start. 0 for none.
    start: u8,
    // The lengths of all before the text and of the end after it. 0 for none.
    before: u8,
    after: u8,
    // The state of the scan after the start.
    position: P,
    // The result of a scan of an event with this form.
    scan: S,
}

impl<P: Copy + Default, S: Copy + Default> CommonForm<P, S> {
    pub(super) fn new() -> Self {
        Self {
            bytes: [0; MAX_BYTES],
            start: 0,
            before: 0,
            after: 0,
            position: P::default(),
            scan: S::default(),
        }
    }

    /// Returns the text of a document with this form, which has no escapes, and the result of its
    /// scan.
    #[inline]
    pub(super) fn text<'a>(&self, document: &'a [u8]) -> Option<(&'a [u8], S)> {
        let (before, after) = self.bytes.split_at_checked(self.before.into())?;
        let after = after.get(..usize::from(self.after)).filter(|after| !after.is_empty())?;
        let (text, end) = split_plain(document.strip_prefix(before)?);
        (end == after).then_some((text, self.scan))
    }

    /// Returns the rest of a document with this start, and the state of the scan there.
    #[inline]
    pub(super) fn resume<'a>(&self, document: &'a [u8]) -> Option<(&'a [u8], P)> {
        let start = self.bytes.get(..usize::from(self.start)).filter(|start| !start.is_empty())?;
        Some((document.strip_prefix(start)?, self.position))
    }

    /// Remembers the first `length` bytes of a document, which end before a name, and its form if
    /// `text` is its only text and has no escapes.
    pub(super) fn remember(
        &mut self,
        document: &[u8],
        (length, position): (usize, P),
        text: Option<Range<usize>>,
        scan: S,
    ) {
        let start = document.get(..length).unwrap_or_default();
        // After one of these, the scan of the start depends on nothing that follows.
        if !matches!(start, [.., b'{' | b',']) || !self.write(&[start]) {
            return;
        }
        self.start = u8::try_from(length).unwrap_or_default();
        self.position = position;
        (self.before, self.after) = (0, 0);
        let Some(Range { start, end }) = text else { return };
        let before = document.get(..start).unwrap_or_default();
        let after = document.get(end..).unwrap_or_default();
        if self.write(&[before, after]) {
            self.before = u8::try_from(before.len()).unwrap_or_default();
            self.after = u8::try_from(after.len()).unwrap_or_default();
            self.scan = scan;
        }
    }

    /// Writes the parts one after the other. Returns false, and writes nothing, if they are too long.
    fn write(&mut self, parts: &[&[u8]]) -> bool {
        let length = parts.iter().map(|part| part.len()).fold(0, usize::saturating_add);
        let Some(mut room) = self.bytes.get_mut(..length) else { return false };
        for part in parts {
            let Some((to, rest)) = room.split_at_mut_checked(part.len()) else { return false };
            to.copy_from_slice(part);
            room = rest;
        }
        true
    }
}
