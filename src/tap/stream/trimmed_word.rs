use crate::tap::document::BoundedWord;

/// A short value without the white space around it, read piece by piece.
#[derive(Clone, Copy)]
pub(super) struct TrimmedWord {
    word: BoundedWord,
    // White space follows the word.
    spaced: bool,
}

impl TrimmedWord {
    pub(super) const EMPTY: Self = Self { word: BoundedWord::EMPTY, spaced: false };

    pub(super) fn push(&mut self, more: &[u8]) {
        let more = if self.word.is_empty() { more.trim_ascii_start() } else { more };
        let text = more.trim_ascii_end();
        if !text.is_empty() {
            // White space inside of the value is no part of any known word.
            if self.spaced {
                self.word.push(b" ");
            }
            self.word.push(text);
            self.spaced = false;
        }
        self.spaced |= text.len() < more.len();
    }

    /// Returns whether the value is this word, which is not empty.
    pub(super) fn is(&self, word: &[u8]) -> bool {
        self.word.as_bytes() == word
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.word.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_around_a_word_is_left_out_at_any_cut() {
        let long = format!("{0}[DONE]{0}", " ".repeat(100));
        for (text, is_done) in [
            ("[DONE]", true),
            (" \t[DONE]\n", true),
            (&long, true),
            ("[DO NE]", false),
            ("", false),
        ] {
            for size in 1..=text.len().max(1) {
                let mut word = TrimmedWord::EMPTY;
                text.as_bytes().chunks(size).for_each(|piece| word.push(piece));
                assert_eq!(word.is(b"[DONE]"), is_done, "{text} in pieces of {size}");
                assert_eq!(word.is_empty(), text.is_empty());
            }
        }
        let mut blank = TrimmedWord::EMPTY;
        blank.push(b"  ");
        assert!(blank.is_empty());
    }
}
