//! A canonical form for equal JSON documents.

use std::borrow::Cow;

use crate::payload::{Decimal, Elements, Kind, Node};

/// Receives the canonical form in pieces, as a hash does.
pub(crate) trait Sink {
    fn put(&mut self, bytes: &[u8]);

    /// Puts a length or a count with seven bits in each byte. Only the last byte is below 128, so that no
    /// length is the prefix of another. Most take one byte.
    fn put_length(&mut self, mut length: usize) {
        while length >= 0x80 {
            self.put(&[length as u8 | 0x80]);
            length >>= 7;
        }
        self.put(&[length as u8]);
    }
}

/// Puts the canonical form of a document into `sink`. Two documents have the same form if and only if
/// they are equal as JSON.
///
/// The order of members, white space and escapes do not matter. Numbers are compared exactly: `1`,
/// `1.0` and `10e-1` are one number, 2^53 and 2^53 + 1 are two. Ignored members of the root are left
/// out.
///
/// Each value is preceded by its kind and its length or count, so that different documents never have
/// the same bytes. There is no recursion, so that deep documents are safe.
pub(crate) fn put_canonical<'a>(
    root: Node<'a>,
    is_ignored: impl Fn(&str) -> bool,
    sink: &mut impl Sink,
) {
    let mut writer = Writer { sink, levels: Vec::new(), members: Vec::new() };
    writer.begin(root, is_ignored);
    while let Some(level) = writer.levels.last_mut() {
        let next = match level {
            Level::Array(elements) => elements.next().map(|element| (None, element)),
            Level::Object(0) => None,
            Level::Object(left) => {
                *left -= 1;
                writer.members.pop().map(|(name, value)| (Some(name), value))
            }
        };
        match next {
            Some((name, value)) => {
                if let Some(name) = name {
                    writer.text(&name);
                }
                writer.begin(value, |_| false);
            }
            None => {
                writer.levels.pop();
            }
        }
    }
}

struct Writer<'a, 's, S> {
    sink: &'s mut S,
    levels: Vec<Level<'a>>,
    /// The members of all open objects, those of each object in descending order of their names.
    members: Vec<(Cow<'a, str>, Node<'a>)>,
}

enum Level<'a> {
    Array(Elements<'a>),
    /// The number of remaining members, which are at the end of [`Writer::members`].
    Object(usize),
}

impl<'a, S: Sink> Writer<'a, '_, S> {
    /// Puts a scalar, or the head of an array or object, which it opens.
    fn begin(&mut self, node: Node<'a>, is_ignored: impl Fn(&str) -> bool) {
        match node.kind() {
            Kind::Null => self.sink.put(b"n"),
            Kind::Bool => self.sink.put(if node.as_bool() == Some(true) { b"t" } else { b"f" }),
            Kind::Number => self.number(node.number().unwrap_or_default()),
            Kind::String => {
                self.sink.put(b"s");
                self.text(&node.as_str().unwrap_or_default());
            }
            Kind::Array => {
                self.head(b'a', node.len());
                self.levels.push(Level::Array(node.elements()));
            }
            Kind::Object => {
                let start = self.members.len();
                let members = node.members().filter(|(name, _)| !is_ignored(name));
                self.members.extend(members);
                let count = self.members.len() - start;
                if let Some(members) = self.members.get_mut(start..) {
                    members.sort_unstable_by(|(one, _), (other, _)| other.cmp(one));
                }
                self.head(b'o', count);
                self.levels.push(Level::Object(count));
            }
        }
    }

    fn head(&mut self, kind: u8, count: usize) {
        self.sink.put(&[kind]);
        self.sink.put_length(count);
    }

    fn text(&mut self, text: &str) {
        self.sink.put_length(text.len());
        self.sink.put(text.as_bytes());
    }

    fn number(&mut self, text: &str) {
        let decimal = Decimal::new(text);
        let (whole, fraction) = decimal.digits;
        self.sink.put(if decimal.negative { b"-" } else { b"+" });
        self.sink.put(&decimal.exponent.to_be_bytes());
        self.sink.put_length(whole.len() + fraction.len());
        self.sink.put(whole);
        self.sink.put(fraction);
    }
}

#[cfg(test)]
mod tests;
