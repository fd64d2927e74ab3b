//! Masks secrets in a text that arrives in pieces.

use std::{ops::Range, sync::Arc};

use bytes::{Bytes, BytesMut};

use super::{reading::Reading, trie::Trie};

/// Stands for one byte of a secret. The length of the text stays.
const MASK: u8 = b'*';

/// Replaces each byte of each spelling of the secrets by `*`, whatever pieces the text arrives in.
///
/// A piece is passed on at once, except for an end of it that may be the start of a secret.
pub(crate) struct Masker {
    trie: Arc<Trie>,
    plain: Reading,
    // Each kind of escape is decoded alone. `None` while the text reads the same as it is.
    escaped: [Option<Reading>; 2],
    escapes: [u8; 2],
    /// The bytes that are kept back, which end at `position`.
    kept: BytesMut,
    position: u64,
    has_found: bool,
}

impl Masker {
    pub(super) fn new(trie: Arc<Trie>, escapes: [u8; 2]) -> Self {
        Self {
            trie,
            plain: Reading::plain(),
            escaped: [None, None],
            escapes,
            kept: BytesMut::new(),
            position: 0,
            has_found: false,
        }
    }

    /// Takes the next piece and returns what can be passed on.
    pub(crate) fn push(&mut self, piece: Bytes) -> Bytes {
        let mut found = Vec::new();
        self.read(&piece, &mut found);
        let start = self.position - self.kept.len() as u64;
        self.position += piece.len() as u64;
        let keep = (self.position - self.keep_from()) as usize;
        if self.kept.is_empty() && found.is_empty() {
            let mut piece = piece;
            self.kept.extend_from_slice(&piece.split_off(piece.len() - keep.min(piece.len())));
            return piece;
        }
        self.kept.extend_from_slice(&piece);
        self.mask(start, found);
        let release = self.kept.len() - keep.min(self.kept.len());
        self.kept.split_to(release).freeze()
    }

    /// Returns the rest at the end of the text.
    pub(crate) fn finish(&mut self) -> Bytes {
        let mut found = Vec::new();
        for reading in self.escaped.iter_mut().flatten() {
            reading.finish(&self.trie, &mut found);
        }
        let start = self.position - self.kept.len() as u64;
        self.mask(start, found);
        self.kept.split().freeze()
    }

    /// Returns how many bytes are kept back.
    pub(crate) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Returns whether the text had a secret so far.
    pub(crate) const fn has_found(&self) -> bool {
        self.has_found
    }

    fn read(&mut self, piece: &[u8], found: &mut Vec<Range<u64>>) {
        let mut at = 0;
        while let Some(rest) = piece.get(at..) {
            if self.plain.is_idle() && self.escaped.iter().all(Option::is_none) {
                // Most bytes begin nothing.
                let (trie, escapes) = (&self.trie, self.escapes);
                let skipped =
                    rest.iter().position(|byte| trie.begins(*byte) || escapes.contains(byte));
                let skipped = skipped.unwrap_or(rest.len());
                if let Some(last) = skipped.checked_sub(1).and_then(|last| rest.get(last)) {
                    self.plain.skip(self.position + (at + skipped) as u64, *last);
                }
                at += skipped;
            }
            let Some(byte) = piece.get(at) else { return };
            let position = self.position + at as u64;
            at += 1;
            for (escape, reading) in self.escapes.iter().zip(&mut self.escaped) {
                if byte == escape && reading.is_none() {
                    *reading = Some(self.plain.unescaping(*escape));
                }
                if let Some(reading) = reading {
                    reading.byte(&self.trie, *byte, position, found);
                }
            }
            self.plain.byte(&self.trie, *byte, position, found);
            for reading in &mut self.escaped {
                if reading.as_ref().is_some_and(|reading| reading.reads_like(&self.plain)) {
                    *reading = None;
                }
            }
        }
    }

    /// Returns the position of the first byte that may belong to a secret.
    fn keep_from(&self) -> u64 {
        let readings = std::iter::once(&self.plain).chain(self.escaped.iter().flatten());
        readings.filter_map(|reading| reading.keep_from(&self.trie)).min().unwrap_or(self.position)
    }

    fn mask(&mut self, start: u64, found: Vec<Range<u64>>) {
        self.has_found |= !found.is_empty();
        for range in found {
            let place = |position: u64| position.saturating_sub(start) as usize;
            if let Some(secret) = self.kept.get_mut(place(range.start)..place(range.end)) {
                secret.fill(MASK);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use proptest::prelude::*;

    use super::*;
    use crate::secret::{Scrubber, Secret};

    const TOKEN: &str = "hf_Ab3xYz09QwErTyUiOpAsDfGhJkLzXcVbNm";

    fn scrubber(token: &str) -> Scrubber {
        Scrubber::new([Secret::new(token)])
    }

    /// The text in pieces that end at `cuts`.
    fn masked(scrubber: &Scrubber, text: &[u8], cuts: &[usize]) -> (Vec<u8>, bool) {
        let mut masker = scrubber.masker();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
        cuts.push(text.len());
        cuts.sort_unstable();
        let (mut out, mut start) = (Vec::new(), 0);
        for cut in cuts {
            out.extend(masker.push(Bytes::copy_from_slice(&text[start..cut])));
            assert_eq!(out.len() + masker.kept(), cut);
            start = cut;
        }
        out.extend(masker.finish());
        assert_eq!(masker.kept(), 0);
        (out, masker.has_found())
    }

    fn percent(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02X}")).collect()
    }

    fn json(text: &str) -> String {
        text.bytes().map(|byte| format!("\\u{byte:04x}")).collect()
    }

    fn spellings(token: &str) -> Vec<String> {
        let mixed = |escape: fn(u8) -> String| -> String {
            let bytes = token.bytes().enumerate();
            bytes
                .map(|(at, b)| if at % 3 == 0 { escape(b) } else { char::from(b).into() })
                .collect()
        };
        vec![
            token.to_owned(),
            token.to_lowercase(),
            percent(token),
            json(token),
            mixed(|byte| format!("%{byte:02x}")),
            mixed(|byte| format!("\\x{byte:02X}")),
            token.replace('_', r"\_"),
            token.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ]
    }

    #[test]
    fn every_spelling_is_masked_across_every_border() {
        let scrubber = scrubber(TOKEN);
        for spelling in spellings(TOKEN) {
            let text = format!("data: {{\"a\": \"{spelling}\"}}\n\n");
            let expected = text.replace(&spelling, &"*".repeat(spelling.len()));
            for cut in 0..=text.len() {
                let (out, found) = masked(&scrubber, text.as_bytes(), &[cut]);
                assert_eq!(
                    (out.as_slice(), found),
                    (expected.as_bytes(), true),
                    "{spelling} {cut}"
                );
            }
            let each: Vec<_> = (0..text.len()).collect();
            assert_eq!(masked(&scrubber, text.as_bytes(), &each).0, expected.as_bytes());
        }
    }

    #[test]
    fn base64_is_masked_whatever_is_encoded_with_the_token() {
        let scrubber = scrubber(TOKEN);
        for before in ["", "a", "ab", "Bearer "] {
            for after in ["", "x", "xy", "\n"] {
                let text = format!("Basic {}.", STANDARD.encode(format!("{before}{TOKEN}{after}")));
                let whole = masked(&scrubber, text.as_bytes(), &[]);
                let left = String::from_utf8(whole.0.clone()).unwrap();
                // The rest encodes the surrounding text only. No character has a bit of the token.
                let left = left.trim_matches(|c| "Basic .=".contains(c)).replace('*', "");
                assert!(
                    left.len() <= before.len() * 8 / 6 + (after.len() * 8).div_ceil(6),
                    "{left}"
                );
                for cut in 0..=text.len() {
                    assert_eq!(masked(&scrubber, text.as_bytes(), &[cut]), whole, "{cut}");
                }
            }
        }
    }

    #[test]
    fn a_text_without_a_start_is_passed_on_at_once() {
        let mut masker = scrubber(TOKEN).masker();
        for event in ["data: {\"text\": \"Hello\\n\"}\n\n", ": comment\n\n", "data: [DONE]\n\n"] {
            let event = Bytes::from(event);
            let out = masker.push(event.clone());
            // Without a copy.
            assert_eq!((out.as_ptr(), out.len(), masker.kept()), (event.as_ptr(), event.len(), 0));
        }
        assert!(masker.finish().is_empty() && !masker.has_found());
    }

    #[test]
    fn no_more_is_kept_back_than_the_start_of_a_secret() {
        for (text, kept) in [
            ("say: hf_Ab3", 6),
            ("say: hf_Ab3 ", 0),
            ("say: hf_Ab3xYz09QwErTyUiOpAsDfGhJkLzXcVbNm.", 0),
            // One character before the start of base64 may hold a part of the secret.
            ("say: z", 1),
            ("say: zz.", 0),
            // The start of an escape.
            ("say: %", 1),
            ("say: %6", 2),
            ("say: %68%6", 5),
            ("say: \\", 1),
            ("say: \\u00", 4),
            ("say: \\u0068", 6),
            ("say: \\n", 1),
            ("say: \\n.", 0),
        ] {
            let mut masker = scrubber(TOKEN).masker();
            masker.push(Bytes::copy_from_slice(text.as_bytes()));
            assert_eq!(masker.kept(), kept, "{text}");
        }
    }

    #[test]
    fn what_is_kept_back_has_a_bound() {
        let token = "a".repeat(100);
        let mut masker = scrubber(&token).masker();
        for _ in 0..100 {
            masker.push(Bytes::from("a".repeat(99)));
            masker.push(Bytes::from_static(b"\\u006"));
            assert!(masker.kept() <= 102 * 6, "{}", masker.kept());
        }
    }

    #[test]
    fn the_tokens_before_the_current_one_are_masked_too() {
        let scrubber = scrubber("token-0");
        scrubber.rotate(Secret::new("token-1"));
        assert_eq!(
            masked(&scrubber, b"token-0 token-1 token-2", &[5]).0,
            b"******* ******* token-2"
        );
        assert_eq!(masked(&Scrubber::new([]), b"anything \\ %", &[3]).0, b"anything \\ %");
    }

    /// Texts of pieces that often begin like a secret.
    fn texts(token: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
        let spellings: Vec<_> =
            spellings(token).into_iter().chain([STANDARD.encode(token)]).collect();
        let piece = (proptest::sample::select(spellings), 0..=100_usize, 0..=100_usize);
        let piece = piece.prop_map(|(spelling, from, to)| {
            let at = |part: usize| spelling.len() * part / 100;
            spelling.as_bytes()[at(from.min(to))..at(from.max(to))].to_vec()
        });
        let other = proptest::sample::select(vec![
            "%", "\\", "\\\\", "%6", "\\u00", "a", " ", "_", "hf_", "é",
        ]);
        let whole = proptest::sample::select(spellings_of(token));
        let part = prop_oneof![piece, other.prop_map(|text| text.as_bytes().to_vec()), whole];
        proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
    }

    fn spellings_of(token: &str) -> Vec<Vec<u8>> {
        spellings(token).into_iter().map(String::into_bytes).collect()
    }

    const TOKENS: [&str; 4] = [TOKEN, "abab", "aaaa", "hf_hf_h%41"];

    fn cases() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
        proptest::sample::select(&TOKENS[..]).prop_flat_map(|token| (Just(token), texts(token)))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_pieces_give_the_mask_of_the_whole_text(
            (token, text) in cases(),
            cuts in proptest::collection::vec(any::<usize>(), 0..12),
        ) {
            let scrubber = scrubber(token);
            let (whole, found) = masked(&scrubber, &text, &[]);
            prop_assert_eq!(masked(&scrubber, &text, &cuts), (whole.clone(), found));
            prop_assert_eq!(found, scrubber.is_in(&text));
            // Each byte that the scrubber takes out is masked, and of a text without overlaps no other.
            let mut expected = text.clone();
            let spans = scrubber.spans(&text);
            for (start, end) in &spans {
                expected[*start..*end].fill(MASK);
            }
            for (at, byte) in expected.iter().enumerate().filter(|(_, byte)| **byte == MASK) {
                prop_assert_eq!(whole[at], *byte);
            }
            if token == TOKEN {
                prop_assert_eq!(&whole, &expected);
            }
            prop_assert!(!scrubber.is_in(&whole));
        }

        #[test]
        fn any_pieces_are_masked_for_tokens_that_overlap(
            text in proptest::collection::vec(proptest::sample::select(&TOKENS[..]).prop_flat_map(texts), 1..4),
            cuts in proptest::collection::vec(any::<usize>(), 0..12),
        ) {
            let scrubber = scrubber(TOKEN);
            for token in ["abab", "babab", "aaaa", "hf_hf_h%41", "hf_Ab3xYz"] {
                scrubber.rotate(Secret::new(token));
            }
            let text = text.concat();
            let (whole, found) = masked(&scrubber, &text, &[]);
            prop_assert_eq!(masked(&scrubber, &text, &cuts), (whole.clone(), found));
            prop_assert_eq!(found, scrubber.is_in(&text));
            prop_assert!(!scrubber.is_in(&whole));
        }
    }
}
