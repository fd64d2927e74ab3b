use memchr::memchr2;

use crate::json_string::split_plain;

/// Reads the members of an event in one pass.
///
/// It finds strings and brackets and checks no other grammar.
pub(super) struct Members<'a> {
    rest: &'a [u8],
    depth: i32,
    // A string has a character of ASCII as an escape with digits.
    hides_ascii: bool,
    // The last string has no end.
    cut: bool,
    // The text between the strings is no JSON, so that the strings may be others than they seem.
    invalid: bool,
}

/// A member of an object at any depth.
pub(super) struct Member<'a> {
    /// The name without its quotes, with escapes as written.
    pub(super) name: &'a [u8],
    /// The document from the first byte of the value on.
    pub(super) value: &'a [u8],
    /// The value without its quotes, with escapes as written, if it is a string.
    pub(super) text: Option<&'a [u8]>,
    /// The value is a string without escapes.
    pub(super) plain: bool,
    pub(super) in_root: bool,
    /// The bytes of the document from the first quote of the name on.
    pub(super) left: usize,
}

impl<'a> Members<'a> {
    /// Reads on in a document at `rest`, at this depth.
    pub(super) const fn at(rest: &'a [u8], depth: i32) -> Self {
        Self { rest, depth, hides_ascii: false, cut: false, invalid: false }
    }

    pub(super) const fn depth(&self) -> i32 {
        self.depth
    }

    /// Returns whether a character of ASCII was written as an escape with digits.
    ///
    /// Such a string may be a known name or word.
    pub(super) const fn hides_ascii(&self) -> bool {
        self.hides_ascii
    }

    /// Returns whether all strings and brackets match, after the last member.
    pub(super) const fn match_brackets(&self) -> bool {
        self.depth == 0 && !self.cut && !self.invalid
    }

    /// Goes to the next string. Returns it without its quotes, and the number of bytes from its first
    /// quote on.
    #[inline]
    fn next_string(&mut self) -> Option<(&'a [u8], usize)> {
        let mut rest = self.rest;
        loop {
            let (byte, tail) = rest.split_first()?;
            rest = tail;
            match byte {
                b'"' => break,
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                b'\\' => self.invalid = true,
                _ => {}
            }
        }
        Some((self.string(rest).0, rest.len().saturating_add(1)))
    }

    /// Reads a string after its first quote. Returns it without its quotes, and whether it has no
    /// escapes.
    #[inline]
    fn string(&mut self, text: &'a [u8]) -> (&'a [u8], bool) {
        let (plain, tail) = split_plain(text);
        if let [b'"', rest @ ..] = tail {
            self.rest = rest;
            return (plain, true);
        }
        let string = EscapedString::of(text, tail);
        self.hides_ascii |= string.hides_ascii;
        self.cut = string.rest.is_none();
        self.rest = string.rest.unwrap_or_default();
        (string.text, false)
    }
}

/// A string with escapes or without an end.
struct EscapedString<'a> {
    text: &'a [u8],
    // The bytes after its last quote, if it has one.
    rest: Option<&'a [u8]>,
    hides_ascii: bool,
}

impl<'a> EscapedString<'a> {
    /// Reads a string whose first escape or control character starts `tail`.
    #[inline(never)]
    fn of(text: &'a [u8], tail: &'a [u8]) -> Self {
        let mut hides_ascii = false;
        let mut rest = tail;
        loop {
            rest = match rest {
                [] | [b'"', ..] => break,
                [b'\\', _, tail @ ..] => {
                    hides_ascii |= rest.starts_with(b"\\u00");
                    tail
                }
                [_, tail @ ..] => tail,
            };
            // `split_plain` would search the rest of the string again at each control character.
            let at = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
            rest = rest.get(at..).unwrap_or_default();
        }
        let text = text.get(..text.len().saturating_sub(rest.len())).unwrap_or_default();
        Self { text, rest: rest.get(1..), hides_ascii }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    #[inline]
    fn next(&mut self) -> Option<Member<'a>> {
        loop {
            let (name, left) = self.next_string()?;
            // Other strings are elements of arrays.
            let Some(value) = after_colon(self.rest) else {
                self.invalid |= !matches!(self.rest.trim_ascii_start(), [b',' | b']', ..]);
                continue;
            };
            let (text, plain) = match value {
                [b'"', text @ ..] => {
                    let (text, plain) = self.string(text);
                    (Some(text), plain)
                }
                _ => {
                    self.rest = value;
                    (None, false)
                }
            };
            return Some(Member { name, value, text, plain, in_root: self.depth == 1, left });
        }
    }
}

/// Returns the value after the colon at the start of `text`.
fn after_colon(text: &[u8]) -> Option<&[u8]> {
    match text {
        [b':', value @ ..] if !matches!(value, [b' ' | b'\t' | b'\n' | b'\r', ..]) => Some(value),
        _ => Some(text.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the name of each member, whether it is in the root, and whether the brackets match.
    fn members(document: &str) -> (Vec<(&str, bool)>, bool) {
        let mut members = Members::at(document.as_bytes(), 0);
        let read =
            members.by_ref().map(|member| (str::from_utf8(member.name).unwrap(), member.in_root));
        (read.collect(), members.match_brackets())
    }

    #[test]
    fn members_have_depths_and_brackets_match() {
        for (document, names) in [
            (r#"{"a":1}"#, &[("a", true)][..]),
            (
                r#"{"a":{"b":"}"},"c":[{"d":[]}, {"e":null}]}"#,
                &[("a", true), ("b", false), ("c", true), ("d", false), ("e", false)],
            ),
            (r#"{ "a" :[[1],[2,3]], "b":{} }"#, &[("a", true), ("b", true)]),
            (r#"[{"a":"{["},{"b":["x","y"]}]"#, &[("a", false), ("b", false)]),
            (r#"{"a\"":":\"\\","b":"\\\"x\":"}"#, &[("a\\\"", true), ("b", true)]),
        ] {
            assert_eq!(members(document), (names.to_vec(), true), "{document}");
            for (at, _) in document.char_indices().skip(1) {
                assert!(!members(&document[..at]).1, "{document} cut at {at}");
            }
        }
    }

    #[test]
    fn value_is_read_as_text_and_as_written() {
        let mut members = Members::at(br#"{"a": "x\n","b":[1]}"#, 0);
        let first = members.next().unwrap();
        assert_eq!((first.text, &first.value[..3]), (Some(&br"x\n"[..]), &br#""x\"#[..]));
        let second = members.next().unwrap();
        assert_eq!((second.text, second.value), (None, &b"[1]}"[..]));
        assert!(members.next().is_none() && !members.hides_ascii());
        assert!(Members::at(br#"{"\u0061":1}"#, 0).next().is_some());
    }

    #[test]
    fn invalid_text_between_strings_matches_nothing() {
        for document in [
            r#"{"a":1,\"b":["]"]}"#,
            r#"{"a":\"]"}"#,
            r#"{\"a":1}"#,
            r#"{"a"\:1}"#,
            r#"{a":{"b":[],"c"}"#,
            r#"{"a"[1]}"#,
            r#"{"a"}"#,
            r#"["a" "b"]"#,
        ] {
            assert!(!members(document).1, "{document}");
        }
    }

    /// A walk that searches the rest of the string at each control character would take minutes.
    #[test]
    fn string_with_many_control_characters_is_read_in_linear_time() {
        let part = [&[b'a'; 40][..], b"\t"].concat();
        let text = part.repeat(8 * 1024 * 1024 / part.len());
        let document = [b"{\"a\":\"", &text[..], b"\"}"].concat();
        let mut members = Members::at(&document, 0);
        assert_eq!(members.next().unwrap().text.unwrap().len(), text.len());
        assert!(members.next().is_none() && members.match_brackets());
    }
}
