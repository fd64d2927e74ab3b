//! Values of strangers in a line.

use proptest::prelude::*;

use super::*;

const TEXTS: [&str; 9] = [
    "request_id",
    "method",
    "path",
    "route",
    "model",
    "model_target",
    "limit",
    "upstream",
    "decisions",
];

fn is_plain(text: &str) -> bool {
    let hides = |c: char| matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !text.chars().any(|c| c.is_control() || hides(c))
}

#[test]
fn no_value_makes_a_line_or_controls_a_terminal() {
    for hostile in [
        "a\nThe caller is root of https://issuer.example.",
        "a\r\n\u{1b}[2J\u{1b}]0;x\u{7}",
        "\u{202e}gnp.exe\u{2028}\u{200b}\u{feff}",
        "\u{0}\u{7f}\u{9b}",
        &"x\n".repeat(100_000),
    ] {
        let mut members =
            json!({ "principal": { "subject": hostile, "issuer": hostile, "proof": hostile } });
        for name in TEXTS {
            members[name] = hostile.into();
        }
        let part = hostile.get(..600).unwrap_or(hostile);
        let attempt = json!({ "target": part, "upstream": part, "abandoned": part });
        members["attempt_list"] = vec![attempt; 40].into();
        members["decisions"] = format!("{hostile}=passed auth=passed").into();
        let explanation = explain(&line(members)).unwrap();
        let sentences: Vec<_> = explanation.sentences().collect();
        assert!(sentences.iter().all(|sentence| is_plain(sentence)), "{sentences:#?}");
        assert_eq!(explanation.to_string().lines().count(), sentences.len());
        // Sixteen attempts of three values beside the others.
        assert!(explanation.to_string().len() < 100_000);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_line_is_explained_or_refused(
        texts in prop::collection::vec(any::<String>(), TEXTS.len()),
        numbers in any::<[u64; 6]>(),
        subject in any::<String>(),
    ) {
        let mut members = json!({ "principal": { "subject": subject, "issuer": "i" } });
        for (name, text) in TEXTS.iter().zip(texts) {
            members[*name] = text.into();
        }
        for (name, number) in ["status", "bytes_out", "total_us", "head_us", "attempts", "bytes_in"].iter().zip(numbers) {
            members[*name] = number.into();
        }
        let explanation = explain(&line(members)).unwrap();
        prop_assert!(explanation.sentences().all(is_plain), "{}", explanation);
    }

    #[test]
    fn any_bytes_are_read_safely(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _any = explain_request(&bytes[..], "r-7");
        let _any = explain(&String::from_utf8_lossy(&bytes));
    }
}
