use http::Request;
use proptest::prelude::*;
use tower_inference::{
    rejection::Refusal,
    transform::{TransformLayer, ValueSource},
};

use crate::{caller, context_of, percent_decoded, query_name, said, sent, sent_as};

async fn query(edits: TransformLayer, uri: &str) -> Option<String> {
    let parts = sent(edits, Request::get(uri)).await.unwrap();
    parts.uri.query().map(str::to_owned)
}

#[tokio::test]
async fn parameters_are_set_in_place_appended_removed_and_renamed() {
    let set = || TransformLayer::new().set_query(query_name("a"), "x y");
    let append = || TransformLayer::new().append_query(query_name("a"), "&=");
    let remove = || TransformLayer::new().remove_query("a");
    let rename = || TransformLayer::new().rename_query("a", query_name("b"));
    for (edits, uri, expected) in [
        (set(), "/", Some("a=x%20y")),
        (set(), "/?", Some("a=x%20y")),
        (set(), "/?b=1", Some("b=1&a=x%20y")),
        (set(), "/?b=1&a=2&c&a=3", Some("b=1&a=x%20y&c")),
        (set(), "/?%61=2&&c", Some("a=x%20y&&c")),
        (append(), "/?a=1", Some("a=1&a=%26%3D")),
        (append(), "/", Some("a=%26%3D")),
        (remove(), "/?a", None),
        (remove(), "/?a=1&a=2", None),
        (remove(), "/?&b=%zz&a=1&c=%2f+", Some("&b=%zz&c=%2f+")),
        (remove(), "/?b", Some("b")),
        (remove(), "/", None),
        (remove(), "/?", Some("")),
        (rename(), "/?a=%2F+&c&a", Some("b=%2F+&c&b")),
        (rename(), "/?b=1&a=2", Some("b=2")),
        (rename(), "/?b=1", Some("b=1")),
    ] {
        assert_eq!(query(edits.clone(), uri).await.as_deref(), expected, "{edits:?} {uri}");
    }
}

#[tokio::test]
async fn a_removal_matches_every_spelling() {
    for pair in ["key=1", "%6bey=1", "k%65y", "%6B%65%79=%", "key==", "key"] {
        let left = query(TransformLayer::new().remove_query("key"), &format!("/?{pair}&x")).await;
        assert_eq!(left.as_deref(), Some("x"), "{pair}");
    }
    for pair in ["a+b=1", "a%20b=1", "%61+b"] {
        let left = query(TransformLayer::new().remove_query("a b"), &format!("/?{pair}")).await;
        assert_eq!(left, None, "{pair}");
    }
    for pair in ["a+b=1", "a%2Bb=1", "a%2bb"] {
        let left = query(TransformLayer::new().remove_query("a+b"), &format!("/?{pair}")).await;
        assert_eq!(left, None, "{pair}");
    }
}

#[tokio::test]
async fn values_are_encoded_and_stay_within_their_parameter() {
    for value in ["&admin=1", "#x", "?", "a=b", "é", "%26", "+", "//evil", "/../", "%2e%2e", " "] {
        let edits = TransformLayer::new().set_query(query_name("v"), ValueSource::claim("evil"));
        let context = context_of(Some(caller().with_claim("evil", value)));
        let parts = sent_as(context, edits, Request::get("/p?x=1")).await.unwrap();
        let query = parts.uri.query().unwrap();
        let (before, written) = query.split_once("&v=").unwrap();
        assert_eq!(before, "x=1");
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~%".contains(&b);
        assert!(written.bytes().all(plain), "{written}");
        assert_eq!(percent_decoded(written.as_bytes()), value.as_bytes(), "{written}");
        assert_eq!(parts.uri.path(), "/p");
    }
    let long = "x".repeat(10_000);
    for value in ["\r\n", "a\0", "\u{7f}", "", &long] {
        let edits = TransformLayer::new().set_query(query_name("v"), ValueSource::claim("evil"));
        let context = context_of(Some(caller().with_claim("evil", value)));
        let refused = sent_as(context, edits, Request::get("/p?x=1")).await;
        assert_eq!(said(&refused).0, Refusal::Forbidden, "{value:?}");
    }
}

/// Spellings of `name` that some upstream reads as it.
fn spelling(name: &'static str) -> impl Strategy<Value = String> {
    let spelled = |character: char| {
        let code = character as u32;
        let mut ways = vec![format!("%{code:02x}"), format!("%{code:02X}")];
        match character {
            ' ' => ways.push("+".to_owned()),
            '%' | '&' | '=' | '#' => {}
            _ => ways.push(character.to_string()),
        }
        prop::sample::select(ways)
    };
    name.chars().map(spelled).collect::<Vec<_>>().prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_spelling_of_a_name_escapes(
        own in spelling("api key%&="),
        other in "[a-z%+]{0,12}",
        value in "(=[a-z0-9%+=]{0,6})?",
    ) {
        const NAME: &str = "api key%&=";
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let uri = format!("/?x=1&{own}{value}&{other}{value}");
        prop_assume!(uri.parse::<http::Uri>().is_ok());
        let remove = || TransformLayer::new().remove_query(NAME);
        let left = runtime.block_on(query(remove(), &uri)).unwrap();
        prop_assert_eq!(left, format!("x=1&{other}{value}"));
        let set = TransformLayer::new().set_query(query_name(NAME), "ours");
        let left = runtime.block_on(query(set, &uri)).unwrap();
        prop_assert_eq!(left, format!("x=1&api%20key%25%26%3D=ours&{other}{value}"));
    }
}

fn pair() -> impl Strategy<Value = String> {
    "(a|b|%61|%62|c|a%20|)(=[a-z0-9%+;/?:@-]{0,6})?"
}

proptest! {
    #[test]
    fn members_that_are_not_named_stay_byte_for_byte(pairs in prop::collection::vec(pair(), 1..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let uri = format!("/?{}", pairs.join("&"));
        prop_assume!(uri.parse::<http::Uri>().is_ok());
        let is_a = |pair: &&String| {
            let name = pair.split('=').next().unwrap();
            name == "a" || name == "%61"
        };
        let others: Vec<String> = pairs.iter().filter(|pair| !is_a(pair)).cloned().collect();

        let removed = runtime.block_on(query(TransformLayer::new().remove_query("a"), &uri));
        let expected = (!others.is_empty()).then(|| others.join("&"));
        prop_assert_eq!(&removed, &expected);

        let set = runtime.block_on(query(TransformLayer::new().set_query(query_name("a"), "v"), &uri)).unwrap();
        let mut kept: Vec<&str> = set.split('&').collect();
        let place = kept.iter().position(|pair| *pair == "a=v").unwrap();
        kept.remove(place);
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        let first = pairs.iter().position(|pair| is_a(&pair));
        prop_assert_eq!(place, first.unwrap_or(kept.len()));
        // A query that is one empty pair is no query.
        prop_assert!(kept == others || others == [""] && kept.is_empty());
    }
}
