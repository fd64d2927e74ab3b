//! Compares the estimate and the lower bound with eight tokenizers on the texts in
//! `tests/data/token_counts`.

use std::{collections::BTreeMap, fs, path::PathBuf};

use super::*;

/// The tokens of each text, by tokenizer.
type Counts = BTreeMap<String, BTreeMap<String, u64>>;

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "data", "token_counts"].iter().collect()
}

fn counts() -> Counts {
    serde_json::from_slice(&fs::read(folder().join("counts.json")).unwrap()).unwrap()
}

fn text(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

/// Returns the charge of a prompt whose upstream fails: its estimate.
async fn estimate(text: &str) -> u64 {
    let body = serde_json::json!({"prompt": text, "max_tokens": 1}).to_string();
    let failed = Answer::json("{}").status(500);
    Budget::plenty().charge(post("/v1/completions", body), failed).await
}

/// Returns the charge of a text whose upstream reports one token.
async fn floor(text: &str) -> u64 {
    let told = serde_json::json!({
        "choices": [{"message": {"content": text}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    });
    let body = r#"{"messages":[{"content":"x"}],"max_tokens":100000}"#;
    let answer = Answer::json(told.to_string());
    Budget::plenty().charge(post("/v1/chat/completions", body), answer).await
}

/// Pairs of text and tokenizer whose estimate is not within 0.75 and 2.0 of the true count: older
/// vocabularies without a script fall back to bytes, at twice to four times the tokens of others.
const BEYOND: &[(&str, &[&str])] = &[
    ("arabic.txt", &["llama2", "mistral_v1"]),
    ("chinese_traditional.txt", &["llama2"]),
    ("hebrew.txt", &["llama2", "mistral_v1"]),
    ("hindi.txt", &["cl100k", "llama2", "mistral_v1", "qwen3"]),
    ("letters.txt", &["mistral_v1"]),
    ("spaces.txt", &["llama2", "mistral_v1"]),
    ("thai.txt", &["llama2", "mistral_v1"]),
    ("vietnamese.txt", &["llama2"]),
];

#[tokio::test]
async fn the_estimate_is_near_the_true_count() {
    let mut beyond = Vec::new();
    for (name, counts) in counts() {
        let estimate = estimate(&text(&name)).await as f64;
        let known = BEYOND.iter().find(|(known, _)| *known == name).map_or(&[][..], |of| of.1);
        for (tokenizer, count) in counts {
            let ratio = estimate / count as f64;
            if (0.75..=2.0).contains(&ratio) == known.contains(&tokenizer.as_str()) {
                beyond.push(format!("{name} by {tokenizer}: {ratio:.2}"));
            }
        }
    }
    assert!(beyond.is_empty(), "{beyond:#?}");
}

/// Scripts that most vocabularies spell in bytes, and marks without words: the counts of `o200k`, `cl100k`
/// and `llama3`.
#[tokio::test]
async fn the_estimate_is_more_than_half_of_the_highest_count() {
    let rows = [
        (
            "ሰላም ለዓለም ሁሉ፤ ይህ የአማርኛ ጽሑፍ ነው። የኢትዮጵያ ዋና ከተማ አዲስ አበባ ናት። ሰዎች ሁሉ እኩል መብት አላቸው። ",
            [1_360, 1_761, 1_761],
        ),
        ("བཀྲ་ཤིས་བདེ་ལེགས། བོད་ཡིག་ནི་བོད་མིའི་སྐད་ཡིག་ཡིན། ", [780, 1_020, 1_020]),
        (
            "++++++++[>++++[>++>+++>+++>+<<<<-]>+>+>->>+[<]<-]>>.>---.+++++++..+++.>>.<-.<.+++.------.--------.>>+.>++.",
            [520, 500, 500],
        ),
    ];
    for (text, counts) in rows {
        let text = text.repeat(10);
        let (estimate, floor) = (estimate(&text).await, floor(&text).await);
        let (low, high) = (*counts.iter().min().unwrap(), *counts.iter().max().unwrap());
        assert!(estimate * 2 >= high && estimate <= low * 2, "{text}: {estimate} of {counts:?}");
        assert!(floor <= low, "{text}: {floor} of {counts:?}");
    }
}

#[tokio::test]
async fn the_floor_is_never_above_the_true_count() {
    let mut above = Vec::new();
    for (name, counts) in counts() {
        let floor = floor(&text(&name)).await;
        above.extend(
            counts
                .iter()
                .filter(|(_, count)| floor > **count)
                .map(|(tokenizer, count)| format!("{name} by {tokenizer}: {floor} of {count}")),
        );
    }
    assert!(above.is_empty(), "{above:#?}");
}

/// Of the tokenizer that takes the fewest tokens for a text, the floor is so many hundredths at least;
/// 75 of all others.
const SHARES: &[(&str, u64)] = &[
    ("base64.txt", 59),
    ("caps.txt", 70),
    ("letters.txt", 5),
    ("polish.txt", 70),
    ("spaces.txt", 65),
    ("ukrainian.txt", 70),
];

#[tokio::test]
async fn the_floor_is_near_the_lowest_true_count() {
    let mut below = Vec::new();
    for (name, counts) in counts() {
        let floor = floor(&text(&name)).await;
        let lowest = *counts.values().min().unwrap();
        let share = SHARES.iter().find(|(known, _)| *known == name).map_or(75, |of| of.1);
        if floor * 100 < lowest * share {
            below.push(format!("{name}: {floor} of {lowest}"));
        }
    }
    assert!(below.is_empty(), "{below:#?}");
}

/// The table in the docs matches the code.
#[tokio::test]
async fn the_docs_show_these_numbers() {
    let mut rows = String::new();
    for (name, counts) in counts() {
        let (estimate, floor) = (estimate(&text(&name)).await, floor(&text(&name)).await);
        let (low, high) = (counts.values().min().unwrap(), counts.values().max().unwrap());
        let of = |name| counts[name];
        rows += &format!(
            "| `{name}` | {low} to {high} | {} | {} | {} | {} | {estimate} | {floor} |\n",
            of("o200k"),
            of("llama3"),
            of("qwen3"),
            of("gemma3"),
        );
    }
    let docs = include_str!("../../src/docs/estimates.md");
    assert!(docs.contains(&rows), "the table is now:\n{rows}");
}
