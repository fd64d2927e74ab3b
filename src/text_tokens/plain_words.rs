//! Counts plain words without a step for each of their letters.

use super::{LONE_MARK, LONG, TextTokens, VERY_LONG, WORD};

/// The words at the start of a text. No number exceeds the bytes of the text.
#[derive(Default)]
struct PlainWords {
    words: usize,
    // Lone punctuation marks between them.
    marks: usize,
    // The letters beyond the eighth and beyond the sixteenth of each word.
    long: usize,
    very_long: usize,
    // The length of the last word.
    length: usize,
}

impl TextTokens {
    /// Counts the rest of the current word and the plain words after it. Returns the other bytes.
    ///
    /// A plain word is a letter and lower-case letters. One space precedes it, with at most one
    /// punctuation mark before the space. The result is the same as that of a step for each byte.
    pub(super) fn plain_words<'a>(&mut self, text: &'a [u8]) -> &'a [u8] {
        let letters = lower_case_letters(text);
        if letters > 0 {
            self.grow_word(times(letters));
        }
        let (plain, rest) = PlainWords::of(text.get(letters..).unwrap_or_default());
        let read = text.get(..text.len().saturating_sub(rest.len())).unwrap_or_default();
        if plain.words > 0 {
            self.add(WORD, times(plain.words));
            self.add(LONE_MARK, times(plain.marks));
            self.add(LONG, times(plain.long));
            self.add(VERY_LONG, times(plain.very_long));
            (self.length, self.accented) = (times(plain.length), false);
            let first = read.get(read.len().saturating_sub(plain.length));
            self.capitals = u32::from(first.is_some_and(u8::is_ascii_uppercase));
        }
        if let Some(last) = read.last() {
            (self.last, self.missing) = (*last, 0);
        }
        rest
    }
}

impl PlainWords {
    /// Reads plain words, except in the last bytes of `text`. Returns the other bytes.
    fn of(text: &[u8]) -> (Self, &[u8]) {
        let mut rest = text;
        let (mut words, mut marks, mut length) = (0_usize, 0_usize, 0);
        let (mut long, mut very_long) = (0_usize, 0_usize);
        while let Some(start) = rest.first_chunk::<10>() {
            let [first, after_space @ .., _] = start;
            let [_, second, after_mark @ ..] = start;
            let (mark, word) = if *first == b' ' {
                (0, after_space)
            } else if *second == b' ' && first.is_ascii_punctuation() {
                (1, after_mark)
            } else {
                break;
            };
            // A capital letter with this bit is the letter in lower case. No other byte becomes one.
            let letters = leading_letters(u64::from_le_bytes(*word) | 0x20);
            if letters == 0 {
                break;
            }
            length = letters;
            words = words.wrapping_add(1);
            marks = marks.wrapping_add(mark);
            rest = rest.get(length.wrapping_add(mark).wrapping_add(1)..).unwrap_or_default();
            if length == 8 {
                let more = lower_case_letters(rest);
                length = length.wrapping_add(more);
                long = long.wrapping_add(more);
                very_long = very_long.wrapping_add(more.saturating_sub(8));
                rest = rest.get(more..).unwrap_or_default();
            }
        }
        (Self { words, marks, long, very_long, length }, rest)
    }
}

fn times(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Returns the number of lower-case ASCII letters at the start of `text`.
#[inline(never)]
fn lower_case_letters(text: &[u8]) -> usize {
    let mut rest = text;
    while let Some((eight, tail)) = rest.split_first_chunk() {
        let letters = leading_letters(u64::from_le_bytes(*eight));
        if letters < 8 {
            return text.len().saturating_sub(rest.len()).saturating_add(letters);
        }
        rest = tail;
    }
    let letters = rest.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
    text.len().saturating_sub(rest.len()).saturating_add(letters)
}

/// Returns the number of lower-case ASCII letters at the start of eight bytes. The lowest is first.
const fn leading_letters(bytes: u64) -> usize {
    const HIGH_BITS: u64 = each(0x80);
    let low_bits = bytes & !HIGH_BITS;
    // Each sum stays within its byte. Its high bit tells that the byte is at least that letter.
    let from_a = low_bits.wrapping_add(each(0x80 - b'a'));
    let beyond_z = low_bits.wrapping_add(each(0x7f - b'z'));
    let others = (!from_a | beyond_z | bytes) & HIGH_BITS;
    (others.trailing_zeros() / 8) as usize
}

/// Returns eight times the same byte.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}
