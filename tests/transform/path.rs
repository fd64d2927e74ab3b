use http::Request;
use proptest::prelude::*;
use tower_inference::{
    rejection::Refusal,
    transform::{PathError, PathTemplate, TransformLayer, ValueSource},
};

use crate::{caller, context_of, percent_decoded, query_name, said, sent, sent_as};

fn path(text: &str) -> PathTemplate {
    PathTemplate::new(text, []).unwrap()
}

async fn target(edits: TransformLayer, uri: &str) -> String {
    sent(edits, Request::get(uri)).await.unwrap().uri.to_string()
}

#[tokio::test]
async fn a_path_is_set_stripped_and_prefixed_and_the_query_stays() {
    let of_tenant =
        || PathTemplate::new("/tenants/{}/v{}", [ValueSource::tenant(), "1".into()]).unwrap();
    for (edits, uri, expected) in [
        (TransformLayer::new().set_path(path("/v1/models")), "/x?a=%2f", "/v1/models?a=%2f"),
        (TransformLayer::new().set_path(of_tenant()), "/x", "/tenants/acme/v1"),
        (TransformLayer::new().set_path(path("/")), "/x", "/"),
        (TransformLayer::new().strip_path_prefix(path("/hf")), "/hf/v1/models?a", "/v1/models?a"),
        (TransformLayer::new().strip_path_prefix(path("/hf/")), "/hf", "/"),
        (TransformLayer::new().add_path_prefix(path("/api/")), "/v1?a", "/api/v1?a"),
        (TransformLayer::new().add_path_prefix(of_tenant()), "/", "/tenants/acme/v1/"),
        (
            TransformLayer::new().strip_path_prefix(path("/a")).add_path_prefix(path("/b")),
            "/a/%2Fx/a..b/%41//%252541",
            "/b/%2Fx/a..b/%41//%252541",
        ),
        (TransformLayer::new().strip_path_prefix(of_tenant()), "/tenants/acme/v1/x", "/x"),
        (TransformLayer::new().set_path(path("/v1")), "/../%2e%2e/x", "/v1"),
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
async fn a_prefix_ends_at_a_segment() {
    for uri in ["/hfx/v1", "/", "/other", "/hf//evil.example/x", "/HF/v1"] {
        let refused =
            sent(TransformLayer::new().strip_path_prefix(path("/hf")), Request::get(uri)).await;
        assert_eq!(said(&refused).0, Refusal::NotFound, "{uri}");
    }
    let of_tenant = || PathTemplate::new("/tenants/{}", [ValueSource::tenant()]).unwrap();
    for uri in ["/tenants/other/x", "/tenants/acme2/x", "/tenants/%61cme/x", "/tenants"] {
        let refused =
            sent(TransformLayer::new().strip_path_prefix(of_tenant()), Request::get(uri)).await;
        assert_eq!(said(&refused).0, Refusal::NotFound, "{uri}");
    }
}

#[tokio::test]
async fn a_target_without_a_path_is_not_edited() {
    let edits = || {
        [
            TransformLayer::new().set_path(path("/a")),
            TransformLayer::new().add_path_prefix(path("/a")),
            TransformLayer::new().strip_path_prefix(path("/a")),
            TransformLayer::new().set_query(query_name("a"), "1"),
        ]
    };
    for edits in edits() {
        let refused = sent(edits, Request::options("*")).await;
        assert_eq!(said(&refused).0, Refusal::NotFound);
    }
    for edits in edits() {
        let refused = sent(edits, Request::connect("upstream.example:443")).await;
        assert_eq!(said(&refused).0, Refusal::NotFound);
    }
    let asterisk = sent(TransformLayer::new().remove_query("a"), Request::options("*")).await;
    assert_eq!(asterisk.unwrap().uri, "*");
}

#[tokio::test]
async fn no_client_path_leaves_a_prefix() {
    let of_tenant = || PathTemplate::new("/tenants/{}", [ValueSource::tenant()]).unwrap();
    for rest in [
        "/../other",
        "/x/..",
        "/./x",
        "/%2e%2e/other",
        "/.%2E/other",
        "/%2e./other",
        "/%252e%252e/other",
        "/%25252e%25252e/other",
        "/x%2f..%2f..%2fother",
        "/x%252f..%252fother",
        "/..%5cother",
        "/%25252525252e/x",
    ] {
        let add = TransformLayer::new().add_path_prefix(of_tenant());
        assert_eq!(said(&sent(add, Request::get(rest)).await).0, Refusal::Forbidden, "{rest}");
        let strip = TransformLayer::new().strip_path_prefix(of_tenant());
        let refused = sent(strip, Request::get(format!("/tenants/acme{rest}"))).await;
        assert_eq!(said(&refused).0, Refusal::Forbidden, "{rest}");
    }
}

#[tokio::test]
async fn an_edited_target_that_is_too_long_is_rejected() {
    let edits = TransformLayer::new().add_path_prefix(path("/a")).set_query(query_name("a"), "b");
    let long = format!("/{}", "x".repeat(65_530));
    assert_eq!(said(&sent(edits, Request::get(long)).await).0, Refusal::Forbidden);
}

#[test]
fn a_template_is_checked_when_it_is_created() {
    for (text, why) in [
        ("", PathError::Relative),
        ("v1", PathError::Relative),
        ("/a b", PathError::Character(' ')),
        ("/a?b", PathError::Character('?')),
        ("/a#b", PathError::Character('#')),
        ("/%2e", PathError::Character('%')),
        ("/é", PathError::Character('é')),
        ("/{", PathError::Character('{')),
        ("/a/../b", PathError::Segment),
        ("/.", PathError::Segment),
        ("//a", PathError::Segment),
        ("/a//b", PathError::Segment),
        ("/{}", PathError::Values),
    ] {
        assert_eq!(PathTemplate::new(text, []), Err(why), "{text}");
    }
    assert_eq!(PathTemplate::new("/", [ValueSource::tenant()]), Err(PathError::Values));
    assert_eq!(
        PathTemplate::new("/{}", [ValueSource::tenant().optional()]),
        Err(PathError::Values)
    );
}

/// The path that a value makes, or nothing when it is refused.
async fn with_value(template: &str, value: &str) -> Option<String> {
    let path = PathTemplate::new(template, [ValueSource::claim("value")]).unwrap();
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
async fn a_value_stays_within_one_segment_or_is_rejected() {
    for (value, expected) in [
        ("acme", Some("/t/acme/v1")),
        ("org/model", Some("/t/org%2Fmodel/v1")),
        ("a?b#c", Some("/t/a%3Fb%23c/v1")),
        ("a;b=c&d", Some("/t/a%3Bb%3Dc%26d/v1")),
        ("é", Some("/t/%C3%A9/v1")),
        ("100%", Some("/t/100%25/v1")),
        ("...", Some("/t/.../v1")),
        ("a b", Some("/t/a%20b/v1")),
        ("@host:80", Some("/t/%40host%3A80/v1")),
        ("", None),
        (".", None),
        ("..", None),
        ("%2e%2e", None),
        ("%2E.", None),
        ("%252e%252e", None),
        ("%25252e.", None),
        ("/../", None),
        ("a/../b", None),
        ("a/..", None),
        ("a%2f..", None),
        ("a%2f%2e%2e%2fb", None),
        ("..\\b", None),
        ("a%5c..", None),
        ("/a", None),
        ("a/", None),
        ("a//b", None),
        ("a%2f", None),
        ("//evil", None),
        ("https://evil.example/x", None),
        ("\\\\evil", None),
        ("a\r\nb", None),
        ("a\0", None),
        ("\u{85}", None),
        ("%25252525252525", None),
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
    fn no_value_is_read_as_another_path(value in any::<String>(), raw in "[./%2eE5cF\\\\?#:@a]{0,9}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for value in [value, raw] {
            let Some(path) = runtime.block_on(with_value("/t/{}/v1", &value)) else { continue };
            let segments: Vec<&str> = path.split('/').collect();
            prop_assert_eq!(segments.len(), 4);
            prop_assert_eq!((segments[1], segments[3]), ("t", "v1"));
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~%".contains(&b);
            prop_assert!(segments[2].bytes().all(plain));
            // Once, as written; and to servers that decode, once or more, before they resolve.
            let mut read = path.into_bytes();
            for _ in 0..6 {
                let wrong = |segment: &[u8]| matches!(segment, b"" | b"." | b"..");
                let mut segments = read.split(|byte| matches!(byte, b'/' | b'\\')).skip(1);
                prop_assert!(!segments.any(wrong), "{value:?}");
                read = percent_decoded(&read);
            }
        }
    }
}
