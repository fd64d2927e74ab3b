/// Tells how deep the names of a document are, and whether its brackets match.
///
/// It reads only the brackets beside each name. Brackets of arrays inside arrays of values may be
/// missed, so a document that does not match may be valid. A document that was cut does not match.
#[derive(Default)]
pub(super) struct Nesting {
    depth: i32,
    // The position after the last name and its colon.
    at: usize,
}

impl Nesting {
    /// Adds the brackets before a name that starts at `start` and has its colon at `colon`.
    ///
    /// Returns the depth of the name. It is 1 for a member of the root.
    pub(super) fn pass(&mut self, document: &[u8], start: usize, colon: usize) -> i32 {
        let between = document.get(self.at..start).unwrap_or_default();
        self.at = colon.saturating_add(1);
        // Most names follow a string, a number or a literal.
        let value = between.strip_suffix(b",").unwrap_or_default();
        if let ([first, ..], [.., last]) = (value, value)
            && !is_structure(*first)
            && !is_structure(*last)
        {
            return self.depth;
        }
        let brackets = |byte: &&u8| is_structure(**byte);
        let after = between.iter().rev().take_while(brackets);
        let (mut length, mut change) = (0_usize, 0_i32);
        for byte in after {
            length = length.saturating_add(1);
            change = change.saturating_add(step(*byte));
        }
        if length < between.len() {
            let before = between.iter().take_while(brackets).map(|byte| step(*byte));
            change = change.saturating_add(before.sum());
        }
        self.depth = self.depth.saturating_add(change);
        self.depth
    }

    /// Returns whether all brackets match at the end of the document.
    pub(super) fn matches(mut self, document: &[u8]) -> bool {
        self.pass(document, document.len(), document.len()) == 0
    }
}

const fn is_structure(byte: u8) -> bool {
    matches!(byte, b'{' | b'}' | b'[' | b']' | b',' | b' ' | b'\n' | b'\r' | b'\t')
}

const fn step(byte: u8) -> i32 {
    match byte {
        b'{' | b'[' => 1,
        b'}' | b']' => -1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use memchr::{memchr_iter, memrchr};

    use super::*;

    /// Returns the depth of each name and whether the brackets match.
    fn nesting(document: &str) -> (Vec<i32>, bool) {
        let (mut nesting, bytes) = (Nesting::default(), document.as_bytes());
        let names = memchr_iter(b':', bytes).map(|colon| {
            let start = memrchr(b'"', &bytes[..colon - 1]).unwrap();
            nesting.pass(bytes, start, colon)
        });
        (names.collect(), nesting.matches(bytes))
    }

    #[test]
    fn names_have_depths_and_brackets_match() {
        for (document, depths) in [
            (r#"{"a":1}"#, &[1][..]),
            (r#"{"a":{"b":"}"},"c":[{"d":[]}, {"e":null}]}"#, &[1, 2, 1, 3, 3]),
            (r#"{ "a" :[[1],[2,3]], "b":{} }"#, &[1, 1]),
            (r#"[{"a":"{["},{"b":["x","y"]}]"#, &[2, 2]),
        ] {
            let document = document.replace("\" :", "\":");
            assert_eq!(nesting(&document), (depths.to_vec(), true), "{document}");
            for (at, bracket) in document.char_indices() {
                // Within strings, brackets do not count.
                let cut = document[..at].trim_end_matches(|c| c != '}' && c != ']');
                if !cut.is_empty() && bracket != '"' {
                    assert!(!nesting(cut).1, "{cut}");
                }
            }
        }
    }
}
