//! Escapes text for logs. The result is visible on one line in its order.

#[cfg(feature = "access-log")]
use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Returns whether a character may end a line, control a terminal, reorder text or hide it.
///
/// Sources: Unicode Technical Report 36 section 3.2; Unicode Standard Annex 9 section 2; "Trojan
/// Source" (CVE-2021-42574); Default_Ignorable_Code_Point of Unicode 17, which fonts do not show.
pub(crate) const fn is_unprintable(character: char) -> bool {
    matches!(
        character,
        '\u{0}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Returns `text` with unprintable characters escaped as in Rust.
#[cfg(feature = "access-log")]
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_unprintable) {
        Cow::Owned(Printable(text).to_string())
    } else {
        Cow::Borrowed(text)
    }
}

/// Displays a value with unprintable characters escaped as in Rust.
pub(crate) struct Printable<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(EscapeWriter(f), "{}", self.0)
    }
}

struct EscapeWriter<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for EscapeWriter<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| self.write_char(character))
    }

    fn write_char(&mut self, character: char) -> fmt::Result {
        if is_unprintable(character) {
            write!(self.0, "{}", character.escape_default())
        } else {
            self.0.write_char(character)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unprintable_characters_are_escaped() {
        for (text, expected) in [
            ("a\nb\r\u{1b}[2J\u{9b}", r"a\nb\r\u{1b}[2J\u{9b}"),
            ("a\u{202e}b\u{2066}c\u{2069}", r"a\u{202e}b\u{2066}c\u{2069}"),
            ("\u{200e}\u{200f}\u{61c}\u{2028}\u{2029}", r"\u{200e}\u{200f}\u{61c}\u{2028}\u{2029}"),
            ("\u{feff}\u{200b}\u{e0041}", r"\u{feff}\u{200b}\u{e0041}"),
        ] {
            assert_eq!(Printable(text).to_string(), expected);
        }
    }

    /// Unicode 17, DerivedCoreProperties.txt: Default_Ignorable_Code_Point. Fonts show none of them.
    #[test]
    fn every_ignorable_character_is_escaped() {
        for range in [
            0xad..=0xad,
            0x34f..=0x34f,
            0x61c..=0x61c,
            0x115f..=0x1160,
            0x17b4..=0x17b5,
            0x180b..=0x180f,
            0x200b..=0x200f,
            0x202a..=0x202e,
            0x2060..=0x206f,
            0x3164..=0x3164,
            0xfe00..=0xfe0f,
            0xfeff..=0xfeff,
            0xffa0..=0xffa0,
            0xfff0..=0xfff8,
            0x1bca0..=0x1bca3,
            0x1d173..=0x1d17a,
            0xe0000..=0xe0fff,
        ] {
            for character in range.filter_map(char::from_u32) {
                assert!(is_unprintable(character), "{:x}", u32::from(character));
            }
        }
    }

    #[test]
    fn printable_text_is_unchanged() {
        let text = "org/name: \"a\\b\" é 漢字 עברית 😀";
        assert_eq!(Printable(text).to_string(), text);
    }
}
