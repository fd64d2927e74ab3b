use proptest::prelude::*;

use super::TextTokens;

/// Counts each byte alone.
fn by_bytes(text: &[u8]) -> TextTokens {
    let mut tokens = TextTokens::default();
    for byte in text {
        tokens.byte(*byte);
    }
    tokens
}

fn in_pieces(text: &[u8], cuts: &[usize]) -> TextTokens {
    let mut tokens = TextTokens::default();
    let mut rest = text;
    for cut in cuts {
        let (piece, tail) = rest.split_at((*cut).min(rest.len()));
        tokens.feed(piece);
        rest = tail;
    }
    tokens.feed(rest);
    tokens
}

/// Returns texts of words, accents, marks, numbers and blanks, and of any bytes.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        8 => "[a-z]{1,20}",
        3 => "[A-Z][a-z]{0,9}",
        1 => "[A-Z]{1,4}[a-z]{0,3}",
        8 => Just(" ".to_owned()),
        3 => "[.,:;'@`{\\[_-]{1,3}",
        1 => "[0-9]{1,7}",
        1 => "[ \t\r\n]{1,4}",
        1 => "[éßạжش한字😀\u{7f}\0]{1,3}",
    ];
    prop_oneof![
        9 => prop::collection::vec(part, 0..40).prop_map(|parts| parts.concat().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..80),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..Default::default() })]

    #[test]
    fn words_count_as_their_bytes_in_pieces_of_any_length(
        text in text(),
        cuts in prop::collection::vec(0_usize..30, 0..12),
    ) {
        let (expected, tokens) = (by_bytes(&text), in_pieces(&text, &cuts));
        prop_assert_eq!(tokens.cost(), expected.cost());
        // The state after the text is the same for any text that follows.
        for next in ["a", "B", "é", ".a", " 1", "\n"] {
            let (mut expected, mut tokens) = (expected, tokens);
            next.bytes().for_each(|byte| expected.byte(byte));
            tokens.feed(next.as_bytes());
            prop_assert_eq!(tokens.cost(), expected.cost(), "{}", next);
        }
    }
}

#[test]
fn each_byte_ends_or_extends_a_word_as_alone() {
    for byte in 0..=u8::MAX {
        for text in [
            [b"word ", &[byte][..], b"ord more"].concat(),
            [b"word", &[byte][..], b" words"].concat(),
            [b"word wor", &[byte][..], b" a longer text"].concat(),
            [b"word ab", &[byte, byte][..], b"cdefgh ijk"].concat(),
            [b"words of abcdefghijklmno", &[byte][..], b"cdefgh"].concat(),
        ] {
            assert_eq!(in_pieces(&text, &[]).cost(), by_bytes(&text).cost(), "{byte}");
        }
    }
}
