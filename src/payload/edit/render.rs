use super::operation::{Change, EditOperation, NewText};
use crate::payload::json::{document::Document, kind::Kind};

/// A range of bytes and its replacement.
struct Splice<'a> {
    start: u32,
    end: u32,
    comma: Comma,
    text: Option<NewText<'a>>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Comma {
    None,
    Before,
    After,
}

impl Splice<'_> {
    fn len(&self) -> usize {
        usize::from(self.comma != Comma::None) + self.text.map_or(0, |text| text.len())
    }

    fn write(&self, into: &mut Vec<u8>) {
        if self.comma == Comma::Before {
            into.push(b',');
        }
        if let Some(text) = &self.text {
            text.write(into);
        }
        if self.comma == Comma::After {
            into.push(b',');
        }
    }
}

/// Writes the document with all edits in one pass into a buffer of the exact size.
///
/// No edit is inside another, because an edit applies earlier edits inside its value first.
pub(crate) fn render(document: &Document, operations: &[EditOperation<'_>]) -> Vec<u8> {
    let text = document.text().as_bytes();
    let mut splices = Vec::with_capacity(operations.len());
    for (index, op) in operations.iter().enumerate() {
        let earlier = operations.get(..index).unwrap_or_default();
        splices.extend(splice(document, op, earlier, operations));
    }
    cut(document, operations, &mut splices);
    // At the same position, insertions come before removals. The order of insertions stays.
    splices.sort_by_key(|splice| (splice.start, splice.end));

    let removed: usize = splices.iter().map(|splice| (splice.end - splice.start) as usize).sum();
    let added: usize = splices.iter().map(Splice::len).sum();
    let mut written = Vec::with_capacity((text.len() + added).saturating_sub(removed));
    let mut at = 0;
    for splice in &splices {
        written.extend_from_slice(text.get(at..splice.start as usize).unwrap_or_default());
        splice.write(&mut written);
        at = splice.end as usize;
    }
    written.extend_from_slice(text.get(at..).unwrap_or_default());
    written
}

/// Returns the replacement for an edit. [`cut`] handles removals.
fn splice<'a>(
    document: &Document,
    op: &EditOperation<'a>,
    earlier: &[EditOperation<'_>],
    operations: &[EditOperation<'_>],
) -> Option<Splice<'a>> {
    let slot = document.slot(op.at);
    // The number of elements or members that stay in this container.
    let left = || {
        let removed = operations.iter().filter(|other| other.removes_from(op.at)).count();
        slot.len() as usize - removed
    };
    Some(match op.change {
        Change::Remove(_) => return None,
        Change::Replace(text) => {
            Splice { start: slot.start, end: slot.end, comma: Comma::None, text: Some(text) }
        }
        Change::Prepend(text) => {
            let comma = if left() > 0 { Comma::After } else { Comma::None };
            Splice { start: slot.start + 1, end: slot.start + 1, comma, text: Some(text) }
        }
        Change::Append(text) => {
            let follows =
                left() > 0 || earlier.iter().any(|other| other.new_member(op.at).is_some());
            let comma = if follows { Comma::Before } else { Comma::None };
            // After the last value and before the white space at the bracket.
            let inside = document.text().get(slot.start as usize..slot.end as usize - 1);
            let spaces = |char| matches!(char, ' ' | '\n' | '\r' | '\t');
            let length = inside.unwrap_or_default().trim_end_matches(spaces).len();
            let at = slot.start + length as u32;
            Splice { start: at, end: at, comma, text: Some(text) }
        }
    })
}

/// Removes each run of adjacent members or elements together with one comma.
fn cut(document: &Document, operations: &[EditOperation<'_>], splices: &mut Vec<Splice<'_>>) {
    let removal = |op: &EditOperation<'_>| match op.change {
        Change::Remove(container) => Some((container, op.at)),
        Change::Replace(_) | Change::Append(_) | Change::Prepend(_) => None,
    };
    let mut removed: Vec<(u32, u32)> = operations.iter().filter_map(removal).collect();
    removed.sort_unstable();
    for of_one in removed.chunk_by(|one, other| one.0 == other.0) {
        let mut removed = of_one.iter().map(|(_, at)| *at).peekable();
        let mut run = None;
        let mut kept = None;
        let mut cut_out = |start, end| {
            splices.push(Splice { start, end, comma: Comma::None, text: None });
        };
        let mut end = 0;
        for (start, value) in children(document, of_one.first().map_or(0, |(at, _)| *at)) {
            if removed.next_if_eq(&value).is_some() {
                run.get_or_insert(start);
                end = document.slot(value).end;
                continue;
            }
            // Removes the comma after the run.
            if let Some(from) = run.take() {
                cut_out(from, start);
            }
            kept = Some(document.slot(value).end);
            if removed.peek().is_none() {
                break;
            }
        }
        // A run at the end takes the comma before it.
        if let Some(from) = run {
            cut_out(kept.unwrap_or(from), end);
        }
    }
}

/// Returns the start of each element or member and the slot of its value.
fn children(document: &Document, container: u32) -> impl Iterator<Item = (u32, u32)> {
    let slot = document.slot(container);
    let name = u32::from(slot.kind() == Kind::Object);
    let mut at = container + 1;
    (0..slot.len()).map(move |_| {
        let (start, value) = (document.slot(at).start, at + name);
        at = document.slot(value).next;
        (start, value)
    })
}
