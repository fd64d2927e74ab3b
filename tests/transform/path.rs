use http::Request;
use proptest::prelude::*;
use tower_inference::{
    rejection::Refusal,
    transform::{InvalidPath, Path, Source, TransformLayer},
};

use crate::{caller, context_of, said, sent, sent_as};

fn path(text: &str) -> Path {
    Path::new(text, []).unwrap()
}

async fn target(edits: TransformLayer, uri: &str) -> String {
    sent(edits, Request::get(uri)).await.unwrap().uri.to_string()
}

#[tokio::test]
async fn a_path_is_set_stripped_and_prefixed_and_the_query_stays() {
    let of_tenant = || Path::new("/tenants/{}/v{}", [Source::tenant(), "1".into()]).unwrap();
    for (edits, uri, expected) in [
        (TransformLayer::new().set_path(path("/v1/models")), "/x?a=%2f", "/v1/models?a=%2f"),
        (TransformLayer::new().set_path(of_tenant()), "/x", "/tenants/acme/v1"),
        (TransformLayer::new().set_path(path("/")), "/x", "/"),
        (TransformLayer::new().strip_path_prefix("/hf"), "/hf/v1/models?a", "/v1/models?a"),
        (TransformLayer::new().strip_path_prefix("/hf/"), "/hf", "/"),
        (TransformLayer::new().add_path_prefix(path("/api/")), "/v1?a", "/api/v1?a"),
        (TransformLayer::new().add_path_prefix(of_tenant()), "/", "/tenants/acme/v1/"),
        (
            TransformLayer::new().strip_path_prefix("/a").add_path_prefix(path("/b")),
            "/a/%2e%2e/x",
            "/b/%2e%2e/x",
        ),
        // Scheme and authority are not the path's.
        (
            TransformLayer::new().set_path(path("/v1")),
            "http://upstream.example:8080/x",
            "http://upstream.example:8080/v1",
        ),
    ] {
        assert_eq!(target(edits.clone(), uri).await, expected, "{edits:?} {uri}");
    }
}

#[tokio::test]
async fn a_prefix_ends_where_a_segment_does() {
    for uri in ["/hfx/v1", "/", "/other", "/hf//evil.example/x", "/HF/v1"] {
        let refused = sent(TransformLayer::new().strip_path_prefix("/hf"), Request::get(uri)).await;
        assert_eq!(said(&refused).0, Refusal::NotFound, "{uri}");
    }
    let asterisk = Request::options("*");
    let refused = sent(TransformLayer::new().add_path_prefix(path("/a")), asterisk).await;
    assert_eq!(said(&refused).0, Refusal::NotFound);
}

#[test]
fn a_path_is_checked_when_it_is_written() {
    for (text, why) in [
        ("", InvalidPath::Relative),
        ("v1", InvalidPath::Relative),
        ("/a b", InvalidPath::Character),
        ("/a?b", InvalidPath::Character),
        ("/a#b", InvalidPath::Character),
        ("/%2e", InvalidPath::Character),
        ("/é", InvalidPath::Character),
        ("/{", InvalidPath::Character),
        ("/a/../b", InvalidPath::Segment),
        ("/.", InvalidPath::Segment),
        ("//a", InvalidPath::Segment),
        ("/a//b", InvalidPath::Segment),
        ("/{}", InvalidPath::Values),
    ] {
        assert_eq!(Path::new(text, []), Err(why), "{text}");
    }
    assert_eq!(Path::new("/", [Source::tenant()]), Err(InvalidPath::Values));
    assert_eq!(Path::new("/{}", [Source::tenant().optional()]), Err(InvalidPath::Values));
}

/// The path that a value makes, or nothing when it is refused.
async fn with_value(template: &str, value: &str) -> Option<String> {
    let path = Path::new(template, [Source::claim("value")]).unwrap();
    let context = context_of(Some(caller().with_claim("value", value)));
    let edits = TransformLayer::new().set_path(path);
    match sent_as(context, edits, Request::get("/x?q")).await {
        Ok(parts) => {
            assert_eq!(parts.uri.query(), Some("q"));
            assert!(parts.uri.authority().is_none());
            Some(parts.uri.path().to_owned())
        }
        Err(rejection) => {
            assert_eq!(rejection.refusal(), Refusal::Forbidden);
            assert!(value.is_empty() || !rejection.detail().contains(value));
            None
        }
    }
}

#[tokio::test]
async fn a_value_is_one_segment_or_refused() {
    for (value, expected) in [
        ("acme", Some("/t/acme/v1")),
        ("a/b", Some("/t/a%2Fb/v1")),
        ("/../", Some("/t/%2F..%2F/v1")),
        ("//evil", Some("/t/%2F%2Fevil/v1")),
        ("a?b#c", Some("/t/a%3Fb%23c/v1")),
        ("é", Some("/t/%C3%A9/v1")),
        ("100%", Some("/t/100%25/v1")),
        ("...", Some("/t/.../v1")),
        ("a b", Some("/t/a%20b/v1")),
        ("", None),
        (".", None),
        ("..", None),
        ("%2e%2e", None),
        ("%2E.", None),
        ("a\r\nb", None),
        ("a\0", None),
    ] {
        assert_eq!(with_value("/t/{}/v1", value).await.as_deref(), expected, "{value:?}");
    }
    assert_eq!(with_value("/t/{}/v1", &"x".repeat(5_000)).await, None);
    // Beside fixed text.
    assert_eq!(with_value("/t/.{}", ".").await, None);
    assert_eq!(with_value("/t/v{}", ".1").await.as_deref(), Some("/t/v.1"));
}

proptest! {
    #[test]
    fn no_value_changes_the_number_of_segments(value in any::<String>(), raw in "[./%2eE\\\\?#:@a]{0,8}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for value in [value, raw] {
            if let Some(path) = runtime.block_on(with_value("/t/{}/v1", &value)) {
                let segments: Vec<&str> = path.split('/').collect();
                prop_assert_eq!(segments.len(), 4);
                prop_assert_eq!((segments[1], segments[3]), ("t", "v1"));
                prop_assert!(!matches!(segments[2], "" | "." | ".."));
                prop_assert!(!path.to_lowercase().contains("/%2e%2e/"));
            }
        }
    }
}
