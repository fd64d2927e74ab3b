//! What was answered once is answered again.

use super::*;

#[tokio::test]
async fn the_same_request_is_answered_by_what_was_kept() {
    let ((layer, clock), upstream) = (layer(Scope::Identity), Upstream::numbers());
    let first = ask(&layer, &upstream, plain()).await;
    assert_eq!(first.headers()["cache-status"], "tower-inference; fwd=miss");
    let first = text(first).await;
    clock.advance(Duration::from_secs(20));

    let request = plain();
    let context = context(&request);
    let second = ask(&layer, &upstream, request).await;
    assert_eq!(second.status(), StatusCode::OK);
    assert_eq!(second.headers()["cache-status"], "tower-inference; hit; ttl=280");
    assert_eq!(second.headers()["age"], "20");
    assert_eq!(second.headers()["content-length"], first.len().to_string());
    assert_eq!(second.body().size_hint().exact(), Some(first.len() as u64));
    assert_eq!(text(second).await, first);
    assert_eq!((upstream.calls(), context.outcome().cache.unwrap().as_str()), (1, "hit"));

    clock.advance(Duration::from_secs(280));
    assert_eq!(told(&layer, &upstream, plain()).await, r#"{"call":1}"#);
}

#[tokio::test]
async fn fields_that_come_several_times_are_all_given_again() {
    let (layer, _) = layer(Scope::Identity);
    let upstream = Upstream::new(|_, _| {
        let mut response = json("[]");
        for link in ["<a>; rel=next", "<b>; rel=prev", "<c>; rel=up"] {
            response.headers_mut().append("link", link.parse().unwrap());
        }
        response
    });
    told(&layer, &upstream, plain()).await;
    let answer = ask(&layer, &upstream, plain()).await;
    let links: Vec<_> = answer.headers().get_all("link").iter().collect();
    assert_eq!(links, ["<a>; rel=next", "<b>; rel=prev", "<c>; rel=up"]);
    assert_eq!(upstream.calls(), 1);
}
