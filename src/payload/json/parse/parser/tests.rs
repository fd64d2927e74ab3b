use bytestring::ByteString;

use super::*;
use crate::payload::json::{bounds::DocumentBounds, parse::memory::Unlimited};

type Slots = Vec<(u32, u32, u32, u32)>;

fn read(text: &str, turn: usize) -> (Result<Slots, JsonError>, usize) {
    let text = &ByteString::from(text);
    let mut progress =
        match ParseProgress::new(text, DocumentBounds::new().max_depth(8), &mut Unlimited) {
            Ok(progress) => progress,
            Err(malformed) => return (Err(malformed), 1),
        };
    let mut turns = 1;
    loop {
        match progress.read(text, turn, &mut Unlimited) {
            Ok(None) => turns += 1,
            Ok(Some(arena)) => {
                let slot = |slot: &ValueSlot| (slot.start, slot.end, slot.next, slot.len());
                return (Ok(arena.slots.iter().map(slot).collect()), turns);
            }
            Err(malformed) => return (Err(malformed), turns),
        }
    }
}

#[test]
fn document_parsed_in_steps_is_the_same() {
    let wide = (0..40).map(|at| format!("\"n{at}\":[{at},{{}}]")).collect::<Vec<_>>();
    let wide = format!("{{{}}}", wide.join(","));
    for text in [
        "",
        " ",
        "1",
        "[]",
        "[1,[2,[],{}],\"x\\u0041\",{\"a\":[{\"b\":null}],\"c\":-0.5e3}] ",
        "{\"a\":1,\"b\":{\"c\":1,\"\\u0063\":2}}",
        "[1,2",
        "[1,2,]",
        "[1,2]]",
        "[[[[[[[[[1]]]]]]]]]",
        "\u{feff}1",
        &wide,
    ] {
        let (whole, turns) = read(text, usize::MAX);
        assert_eq!(turns, 1);
        for turn in [1, 2, 7] {
            let (parts, turns) = read(text, turn);
            assert_eq!(parts, whole, "{text}");
            assert!(turns <= 1 + text.len() / turn, "{turns} turns of {text}");
        }
    }
    assert!(read(&wide, 1).1 > 40);
}
