//! Hits.

use super::*;

#[tokio::test]
async fn a_repeated_request_is_a_hit() {
    let ((layer, clock), upstream) = (layer(Scope::Identity), Upstream::numbers());
    let first = send(&layer, &upstream, plain()).await;
    assert_eq!(first.headers()["cache-status"], "tower-inference; fwd=miss");
    let first = text(first).await;
    clock.advance(Duration::from_secs(20));

    let request = plain();
    let context = context(&request);
    let second = send(&layer, &upstream, request).await;
    assert_eq!(second.status(), StatusCode::OK);
    assert_eq!(second.headers()["cache-status"], "tower-inference; hit; ttl=280");
    assert_eq!(second.headers()["age"], "20");
    assert_eq!(second.headers()["content-length"], first.len().to_string());
    assert_eq!(second.body().size_hint().exact(), Some(first.len() as u64));
    assert_eq!(text(second).await, first);
    assert_eq!((upstream.calls(), context.outcome().cache.unwrap().as_str()), (1, "hit"));

    clock.advance(Duration::from_secs(280));
    assert_eq!(body_of(&layer, &upstream, plain()).await, completion(1));
}

#[tokio::test]
async fn a_hit_has_all_values_of_a_header() {
    let (layer, _) = layer(Scope::Identity);
    let upstream = Upstream::new(|_, _| {
        let mut response = json(&completion(0));
        for link in ["<a>; rel=next", "<b>; rel=prev", "<c>; rel=up"] {
            response.headers_mut().append("link", link.parse().unwrap());
        }
        response
    });
    body_of(&layer, &upstream, plain()).await;
    let response = send(&layer, &upstream, plain()).await;
    let links: Vec<_> = response.headers().get_all("link").iter().collect();
    assert_eq!(links, ["<a>; rel=next", "<b>; rel=prev", "<c>; rel=up"]);
    assert_eq!(upstream.calls(), 1);
}
