//! Counts the tokens of a text without a vocabulary. Returns an estimate and a lower bound.
//!
//! A byte-pair tokenizer first splits a text into runs: words, numbers, punctuation and spaces. The
//! rule is the `pat_str` of `tiktoken` or the `pre_tokenizer` of a `tokenizer.json`. It merges bytes
//! only inside of a run, so each run costs about one token or more. A script with few words in the
//! vocabulary costs by the letter. The weights below are fitted to the counts of eight tokenizers in
//! `tests/data/token_counts`. The README there explains the method.

mod plain_words;
#[cfg(test)]
mod tests;

/// Counts a text that arrives in pieces of any length.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TextTokens {
    cost: Cost,
    run: Run,
    // The run before this one, where this one is white space.
    before: Run,
    // The characters of the run so far.
    length: u32,
    // The capital letters of a word, and whether a letter has an accent.
    capitals: u32,
    accented: bool,
    // Whether a lone punctuation mark follows a space.
    after_space: bool,
    // The parts of a token in a long run of white space that are not in the cost yet.
    blank: Blank,
    last: u8,
    // The bits of an incomplete character, and the number of its missing bytes.
    partial: u32,
    missing: u8,
}

/// A cost in hundredths of a token.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    least: u64,
    estimate: u64,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Run {
    #[default]
    None,
    Word,
    Digits,
    /// Punctuation in ASCII.
    Marks,
    Spaces,
    Lines,
    Letters(Script),
    /// Symbols and emoji beyond ASCII.
    Symbols,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Script {
    Arabic,
    Cyrillic,
    Greek,
    Han,
    Hangul,
    Hebrew,
    Indic,
    Kana,
    Other,
    /// A script that almost every vocabulary spells in bytes: Ethiopic, Tibetan and the like.
    Rare,
    Thai,
}

/// The lower bound over all tokenizers and the estimate, in hundredths of a token.
type Weight = (u64, u64);

const WORD: Weight = (94, 122);
/// Each letter beyond the eighth of a word.
const LONG: Weight = (0, 10);
/// Each letter beyond the sixteenth, where a run is hardly a word.
const VERY_LONG: Weight = (0, 32);
/// Each capital letter after the first of a word.
const CAPITAL: Weight = (0, 15);
const ACCENT: Weight = (30, 62);
/// A letter with two accents, mostly of Vietnamese.
const TWO_ACCENTS: Weight = (0, 102);
/// Each letter beyond the fourth of a word with an accent, which is not English.
const LONG_ACCENTED: Weight = (28, 40);
/// Each three digits of a number.
const DIGITS: Weight = (95, 208);
/// A space before a number is a token of its own. A space before a word is not.
const SPACE_BEFORE_DIGITS: Weight = (85, 125);
const LONE_MARK: Weight = (92, 125);
/// A mark directly before a word is often part of the word's token, as in `.len` or `"name`.
const MARK_OF_WORD: Weight = (0, 20);
const MARKS: Weight = (100, 140);
const SAME_MARK: Weight = (0, 4);
const OTHER_MARK: Weight = (0, 15);
/// The same beyond the eighth mark, where a run is hardly an operator.
const LATE_MARK: Weight = (0, 75);
/// Two or more spaces, such as an indentation.
const SPACES: Weight = (20, 130);
const LINES: Weight = (92, 120);
/// A line end after a line of spaces alone, which is part of the line ends before it.
const BLANK_LINE: Weight = (20, 60);
/// A line end after marks is often part of their token.
const LINES_AFTER_MARKS: Weight = (48, 70);
const SYMBOL: Weight = (48, 115);
const PICTURE: Weight = (150, 260);

/// White space beyond this length of a run is a token for each of the pieces below. Vocabularies have
/// tokens of at most 128 spaces, 32 tabs, 32 line feeds and 4 pairs of carriage return and line feed. The
/// lower bound is half of that.
const LONG_BLANK: u32 = 32;

/// The share of white space in a token: of 80 for the estimate, of 256 for the lower bound.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Blank {
    least: u16,
    estimate: u16,
}

impl Blank {
    const fn of(byte: u8, last: u8) -> Self {
        let (least, estimate) = match (byte, last) {
            (b' ', b' ') => (1, 1),
            (b'\t', b'\t') | (b'\n', _) => (4, 5),
            (b'\r', b'\r') => (16, 40),
            (b'\r', _) => (16, 20),
            // A tab after a space, or a space after a tab.
            _ => (16, 40),
        };
        Self { least, estimate }
    }
}

impl Script {
    /// Returns the weight of a run of letters, and of each letter.
    const fn weights(self) -> (Weight, Weight) {
        match self {
            Self::Arabic => ((0, 0), (33, 70)),
            Self::Cyrillic => ((88, 150), (11, 27)),
            Self::Greek => ((88, 180), (25, 52)),
            Self::Han => ((0, 0), (58, 118)),
            Self::Hangul => ((0, 0), (72, 166)),
            Self::Hebrew => ((0, 0), (40, 86)),
            Self::Indic => ((0, 0), (27, 62)),
            Self::Kana => ((0, 0), (46, 92)),
            Self::Other => ((0, 0), (34, 90)),
            Self::Rare => ((0, 0), (34, 190)),
            Self::Thai => ((0, 0), (33, 72)),
        }
    }
}

/// The class of a character beyond ASCII.
enum Class {
    Accent,
    TwoAccents,
    Letter(Script),
    Symbol,
    Picture,
}

impl Class {
    /// Classifies roughly by blocks of Unicode. Other characters below U+2000 count as letters of a rare
    /// script. Characters from U+2000 on count as symbols.
    const fn of(code: u32) -> Self {
        match code {
            0xd7 | 0xf7 | ..0xc0 => Self::Symbol,
            0xc0..0x250 | 0x300..0x370 => Self::Accent,
            0x1e00..0x1f00 => Self::TwoAccents,
            0x370..0x400 | 0x1f00..0x2000 => Self::Letter(Script::Greek),
            0x400..0x530 => Self::Letter(Script::Cyrillic),
            0x590..0x600 => Self::Letter(Script::Hebrew),
            0x600..0x780 => Self::Letter(Script::Arabic),
            0x780..0xe00 => Self::Letter(Script::Indic),
            0xe00..0xe80 => Self::Letter(Script::Thai),
            0x1100..0x1200 | 0xac00..0xd7b0 => Self::Letter(Script::Hangul),
            0xf00..0x1000 | 0x1200..0x1780 => Self::Letter(Script::Rare),
            ..0x2000 => Self::Letter(Script::Other),
            0x3040..0x3100 => Self::Letter(Script::Kana),
            0x3400..0xa000 => Self::Letter(Script::Han),
            // A pair of surrogates in a JSON escape is one picture. The first half counts for both.
            0xfe00..0xfe10 | 0xd800..0xdc00 | 0x1_0000.. => Self::Picture,
            _ => Self::Symbol,
        }
    }
}

impl TextTokens {
    /// Returns the estimate of the text so far, rounded up.
    pub(crate) const fn estimate(&self) -> u64 {
        self.cost.estimate.div_ceil(100)
    }

    /// Returns the lower bound of the text so far, rounded down.
    pub(crate) const fn least(&self) -> u64 {
        self.cost.least / 100
    }

    /// Returns the estimate and the lower bound in hundredths of a token.
    pub(crate) const fn cost(&self) -> (u64, u64) {
        (self.cost.estimate, self.cost.least)
    }

    /// Returns the estimate and the lower bound of the text since the state `before`.
    pub(crate) const fn tokens_since(&self, before: &Self) -> (u64, u64) {
        let estimate = self.cost.estimate.saturating_sub(before.cost.estimate);
        (estimate.div_ceil(100), self.cost.least.saturating_sub(before.cost.least) / 100)
    }

    /// Ends the text. The next piece starts another one.
    pub(crate) const fn end(&mut self) {
        self.run = Run::None;
        self.missing = 0;
    }

    /// Counts a piece of the text. Invalid UTF-8 counts as symbols.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        loop {
            if self.run == Run::Word {
                bytes = self.plain_words(bytes);
            }
            let Some((byte, rest)) = bytes.split_first() else { return };
            self.byte(*byte);
            bytes = rest;
        }
    }

    /// Counts a character or half of a surrogate pair (UTF-16).
    pub(crate) fn feed_unit(&mut self, code: u32) {
        match u8::try_from(code) {
            Ok(byte) if byte.is_ascii() => self.byte(byte),
            _ if matches!(code, 0xdc00..0xe000) => {}
            _ => self.wide(code),
        }
    }

    fn byte(&mut self, byte: u8) {
        match byte {
            b'a'..=b'z' => self.letter(false),
            b'A'..=b'Z' => self.letter(true),
            b'0'..=b'9' => self.digit(),
            b' ' | b'\t' => self.space(byte),
            b'\n' | b'\r' => self.line(byte),
            ..0x80 => self.mark(byte),
            0x80..0xc0 if self.missing > 0 => {
                self.partial = (self.partial << 6) | u32::from(byte & 0x3f);
                self.missing = self.missing.saturating_sub(1);
                if self.missing == 0 {
                    self.wide(self.partial);
                }
                return;
            }
            0xc2..0xe0 => (self.partial, self.missing) = (u32::from(byte & 0x1f), 1),
            0xe0..0xf0 => (self.partial, self.missing) = (u32::from(byte & 0x0f), 2),
            0xf0..0xf5 => (self.partial, self.missing) = (u32::from(byte & 0x07), 3),
            _ => self.wide(0),
        }
        if byte.is_ascii() {
            self.missing = 0;
            self.last = byte;
        }
    }

    const fn add(&mut self, (least, estimate): Weight, times: u32) {
        let times = times as u64;
        self.cost.least = self.cost.least.saturating_add(least.saturating_mul(times));
        self.cost.estimate = self.cost.estimate.saturating_add(estimate.saturating_mul(times));
    }

    /// Adds a character to its run. Returns `false` where the run starts.
    fn extends(&mut self, run: Run) -> bool {
        if self.run == run {
            self.length = self.length.saturating_add(1);
            return true;
        }
        (self.before, self.run, self.length) = (self.run, run, 1);
        false
    }

    fn letter(&mut self, capital: bool) {
        self.join_mark();
        // `camelCase` is two words.
        if capital && self.run == Run::Word && !self.last.is_ascii_uppercase() {
            self.run = Run::None;
        }
        if self.run == Run::Word {
            self.grow_word(1);
        } else {
            self.begin_word();
        }
        if capital {
            self.capitals = self.capitals.saturating_add(1);
            if self.capitals > 1 {
                self.add(CAPITAL, 1);
            }
        }
    }

    fn begin_word(&mut self) {
        (self.run, self.length, self.capitals, self.accented) = (Run::Word, 1, 0, false);
        self.add(WORD, 1);
    }

    fn grow_word(&mut self, letters: u32) {
        let before = self.length;
        self.length = before.saturating_add(letters);
        let beyond = |length: u32| self.length.saturating_sub(length.max(before));
        let (long, very_long, accented) = (beyond(8), beyond(16), beyond(4));
        self.add(LONG, long);
        self.add(VERY_LONG, very_long);
        if self.accented {
            self.add(LONG_ACCENTED, accented);
        }
    }

    fn accent(&mut self, weight: Weight) {
        self.join_mark();
        if self.run == Run::Word {
            self.grow_word(1);
        } else {
            self.begin_word();
        }
        if !std::mem::replace(&mut self.accented, true) {
            self.add(LONG_ACCENTED, self.length.saturating_sub(4));
        }
        self.add(weight, 1);
        // The letter has neither case here, so a capital letter after it starts a word.
        self.last = 0;
    }

    /// Replaces the cost of a lone mark where a word follows it.
    const fn join_mark(&mut self) {
        if matches!(self.run, Run::Marks) && self.length == 1 && !self.after_space {
            self.take_back(LONE_MARK);
            self.add(MARK_OF_WORD, 1);
        }
    }

    const fn take_back(&mut self, (least, estimate): Weight) {
        self.cost.least = self.cost.least.saturating_sub(least);
        self.cost.estimate = self.cost.estimate.saturating_sub(estimate);
    }

    fn digit(&mut self) {
        let after_space = self.run == Run::Spaces && self.length == 1;
        let more = self.extends(Run::Digits);
        if !more && after_space {
            self.add(SPACE_BEFORE_DIGITS, 1);
        }
        if self.length % 3 == 1 {
            self.add(DIGITS, 1);
        }
    }

    fn mark(&mut self, mark: u8) {
        let after_space = self.run == Run::Spaces && self.length == 1;
        if !self.extends(Run::Marks) {
            self.after_space = after_space;
            self.add(LONE_MARK, 1);
            return;
        }
        if self.length == 2 {
            self.take_back(LONE_MARK);
            self.add(MARKS, 1);
        }
        self.add(
            match self.length {
                _ if mark == self.last => SAME_MARK,
                ..=8 => OTHER_MARK,
                _ => LATE_MARK,
            },
            1,
        );
    }

    fn space(&mut self, byte: u8) {
        if !self.extends(Run::Spaces) {
            self.blank = Blank::default();
        } else if self.length == 2 {
            self.add(SPACES, 1);
        }
        self.grow_blank(byte);
    }

    fn line(&mut self, byte: u8) {
        let weight = match (self.run, self.before) {
            (Run::Marks | Run::Symbols, _) => LINES_AFTER_MARKS,
            (Run::Spaces, Run::Lines) => {
                if self.length > 1 {
                    self.take_back(SPACES);
                }
                BLANK_LINE
            }
            _ => LINES,
        };
        if !self.extends(Run::Lines) {
            self.blank = Blank::default();
            self.add(weight, 1);
        }
        self.grow_blank(byte);
    }

    /// Adds white space to a long run.
    const fn grow_blank(&mut self, byte: u8) {
        if self.length <= LONG_BLANK {
            return;
        }
        let more = Blank::of(byte, self.last);
        self.blank.least = self.blank.least.saturating_add(more.least);
        self.blank.estimate = self.blank.estimate.saturating_add(more.estimate);
        if self.blank.least >= 256 {
            self.blank.least = self.blank.least.saturating_sub(256);
            self.add((100, 0), 1);
        }
        if self.blank.estimate >= 80 {
            self.blank.estimate = self.blank.estimate.saturating_sub(80);
            self.add((0, 100), 1);
        }
    }

    fn wide(&mut self, code: u32) {
        match Class::of(code) {
            Class::Accent => self.accent(ACCENT),
            Class::TwoAccents => self.accent(TWO_ACCENTS),
            Class::Letter(script) => {
                let (run, letter) = script.weights();
                if !self.extends(Run::Letters(script)) {
                    self.add(run, 1);
                }
                self.add(letter, 1);
            }
            Class::Symbol => {
                self.run = Run::Symbols;
                self.add(SYMBOL, 1);
            }
            Class::Picture => {
                self.run = Run::Symbols;
                self.add(PICTURE, 1);
            }
        }
    }
}
