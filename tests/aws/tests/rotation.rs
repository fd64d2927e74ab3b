//! Rotations while the gateway serves.

use std::{collections::HashMap, time::Duration};

use tokio::task::JoinSet;
use tower_inference::{clock::FakeClock, hf::TokenSource};
use tracing::Level;

use crate::{
    endpoint::{Conduct, Endpoint},
    gateway::{Gateway, Upstream, until, until_token},
    log::{listen, taken},
    moto::Moto,
    secret,
};

/// The time after which a token is fetched again.
const INTERVAL: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_new_version_and_a_moved_stage_are_sent_after_the_interval() {
    let Some(moto) = Moto::shared() else { return };
    let endpoint = Endpoint::before(moto.address).await;
    let owner = moto.secret("moved", "hf_first").await;
    let first = owner.current().await;
    let clock = FakeClock::default();
    let source = TokenSource::aws_secret(secret("moved", &endpoint)).clock(clock.shared());
    let upstream = Upstream::start(&["hf_first", "hf_second", "hf_third"]).await;
    let gateway = Gateway::start(source, &upstream).await;
    until_token(&gateway, &upstream, "hf_first").await;

    let second = owner.put("hf_second").await;
    assert_eq!(gateway.chat().await.status, 200);
    assert_eq!(upstream.latest().as_deref(), Some("hf_first"), "not due yet");
    clock.advance(INTERVAL);
    until_token(&gateway, &upstream, "hf_second").await;

    // A pending version is not the current one.
    let third = owner.put_pending("hf_third").await;
    let fetches = endpoint.fetches();
    clock.advance(INTERVAL);
    until("the next fetch", async || {
        assert_eq!(gateway.chat().await.status, 200);
        endpoint.fetches() > fetches
    })
    .await;
    assert_eq!(upstream.latest().as_deref(), Some("hf_second"));

    owner.move_current(&second, &third).await;
    clock.advance(INTERVAL);
    until_token(&gateway, &upstream, "hf_third").await;

    // A rotation that is rolled back.
    owner.move_current(&third, &first).await;
    clock.advance(INTERVAL);
    until_token(&gateway, &upstream, "hf_first").await;
}

#[tokio::test]
async fn the_last_good_token_serves_while_aws_is_away_and_each_change_is_one_event() {
    let Some(moto) = Moto::shared() else { return };
    listen(Level::TRACE);
    let endpoint = Endpoint::before(moto.address).await;
    let owner = moto.secret("outage", "hf_before").await;
    let clock = FakeClock::default();
    let source = TokenSource::aws_secret(secret("outage", &endpoint)).clock(clock.shared());
    let upstream = Upstream::start(&["hf_before", "hf_after"]).await;
    let gateway = Gateway::start(source, &upstream).await;
    until_token(&gateway, &upstream, "hf_before").await;
    taken();

    let denied = r#"{"__type":"AccessDeniedException"}"#;
    for conduct in [
        Conduct::Close,
        Conduct::Respond(http::StatusCode::BAD_REQUEST, denied),
        Conduct::Respond(http::StatusCode::OK, "garbage"),
    ] {
        endpoint.conduct(conduct);
        let fetches = endpoint.fetches();
        until("a failed fetch", async || {
            // Step by step, because a fetch that still runs sets the time of the next one.
            clock.advance(STEP);
            assert_eq!(gateway.chat().await.status, 200);
            endpoint.fetches() > fetches
        })
        .await;
        assert_eq!(upstream.latest().as_deref(), Some("hf_before"));
    }
    // Only the first failure is an event.
    let mut log = String::new();
    until("the event", async || {
        log += &taken();
        log.contains("cannot be fetched")
    })
    .await;

    endpoint.conduct(Conduct::Pass);
    owner.put("hf_after").await;
    until("the token after the outage", async || {
        clock.advance(STEP);
        assert_eq!(gateway.chat().await.status, 200);
        upstream.latest().as_deref() == Some("hf_after")
    })
    .await;
    log += &taken();
    let count = |level: &str| {
        let of_level = log.lines().filter(|line| line.trim_start().starts_with(level));
        of_level.filter(|line| line.contains("tower_inference::stages")).collect::<Vec<_>>()
    };
    let [warning] = count("WARN")[..] else { panic!("{:#?}", count("WARN")) };
    assert!(warning.contains("last_token_serves=true"), "{warning}");
    let [info] = count("INFO")[..] else { panic!("{:#?}", count("INFO")) };
    assert!(info.contains("can be fetched again"), "{info}");
}

#[tokio::test]
async fn no_connection_to_aws_outlives_a_fetch() {
    let Some(moto) = Moto::shared() else { return };
    let endpoint = Endpoint::before(moto.address).await;
    moto.secret("closed", "hf_closed").await;
    let source = TokenSource::aws_secret(secret("closed", &endpoint));
    let upstream = Upstream::start(&["hf_closed"]).await;
    let gateway = Gateway::start(source, &upstream).await;
    until_token(&gateway, &upstream, "hf_closed").await;
    until("the close of the connection", async || endpoint.open() == 0).await;
}

#[tokio::test]
async fn a_fetch_ends_with_its_source() {
    let endpoint = Endpoint::before("127.0.0.1:9".parse().unwrap()).await;
    endpoint.conduct(Conduct::Hang);
    let upstream = Upstream::start(&[]).await;
    let source = TokenSource::aws_secret(secret("any", &endpoint));
    let layer = tower_inference::hf::HfTokenLayer::new(
        format!("http://{}", upstream.address).parse().unwrap(),
        source,
    );
    let client = tower_inference::client::HttpsClient::builder().build().unwrap();
    let service = tower::Layer::layer(&layer, client);
    let request = http::Request::new(tower_inference::payload::Payload::buffered("{}"));
    let request = tokio::spawn(tower::ServiceExt::oneshot(service, request));
    until("the fetch", async || endpoint.open() == 1).await;
    drop(layer);
    request.abort();
    until("the end of the fetch", async || endpoint.open() == 0).await;
}

/// The length of the test under load: 50 requests per second.
const REQUESTS: usize = 250;
const SPACING: Duration = Duration::from_millis(20);

/// A rotation of the secret in the middle of the requests.
#[derive(Clone, Copy, Debug)]
enum Overlap {
    /// The upstream accepts the token before the current one.
    Previous,
    /// The upstream accepts the current token alone.
    None,
}

/// Serves requests through new versions and moved stages. Returns the tokens that the upstream rejected
/// and the number of fetches.
async fn under_load(moto: &Moto, id: &str, overlap: Overlap) -> (Vec<String>, usize) {
    let endpoint = Endpoint::before(moto.address).await;
    let owner = moto.secret(id, "hf_0").await;
    let mut versions = vec![owner.current().await];
    let source = TokenSource::aws_secret(secret(id, &endpoint));
    // With no overlap only the 401 tells that a token is gone.
    let source = match overlap {
        Overlap::Previous => source.refresh_interval(Duration::from_secs(1)),
        Overlap::None => source.refresh_interval(Duration::from_secs(3_600)),
    };
    let upstream = Upstream::start(&["hf_0"]).await;
    let gateway = std::sync::Arc::new(Gateway::start(source, &upstream).await);

    let mut requests = JoinSet::new();
    let mut pace = tokio::time::interval(SPACING);
    let mut accepted = vec!["hf_0".to_owned()];
    for nth in 0..REQUESTS {
        pace.tick().await;
        let of = gateway.clone();
        requests.spawn(async move { of.chat().await });
        if nth % 50 != 25 {
            continue;
        }
        // New versions, then a stage that is moved on and back, as AWS's rotation and its operator do. In
        // this order, because moto keeps two current versions when a new one follows a move.
        let current = versions.len() - 1;
        let token = match nth / 50 {
            0..=2 => {
                versions.push(owner.put(&format!("hf_{}", current + 1)).await);
                format!("hf_{}", current + 1)
            }
            3 => {
                versions.push(owner.put_pending("hf_4").await);
                owner.move_current(&versions[current], &versions[current + 1]).await;
                "hf_4".to_owned()
            }
            _ => {
                owner.move_current(&versions[current], &versions[0]).await;
                "hf_0".to_owned()
            }
        };
        accepted.push(token);
        let kept = match overlap {
            Overlap::Previous => 2,
            Overlap::None => 1,
        };
        let from = accepted.len() - kept.min(accepted.len());
        upstream.accept(&accepted[from..].iter().map(String::as_str).collect::<Vec<_>>());
    }
    let replies = requests.join_all().await;
    assert_eq!(replies.len(), REQUESTS);
    let failed: Vec<_> = replies.iter().filter(|reply| reply.status != 200).collect();
    assert!(failed.is_empty(), "{} failed, as {:?}", failed.len(), failed[0]);
    (upstream.rejected(), endpoint.fetches())
}

#[tokio::test]
async fn no_request_fails_under_load_when_the_previous_token_stays_valid() {
    let Some(moto) = Moto::shared() else { return };
    let (_, fetches) = under_load(&moto, "overlap", Overlap::Previous).await;
    assert!(fetches > 1, "{fetches}");
}

#[tokio::test]
async fn no_request_fails_under_load_when_the_previous_token_ends_at_once() {
    let Some(moto) = Moto::shared() else { return };
    let (rejected, fetches) = under_load(&moto, "sudden", Overlap::None).await;
    let mut tokens = HashMap::<_, usize>::new();
    for token in &rejected {
        *tokens.entry(token.as_str()).or_default() += 1;
    }
    // The first fetch, and one for each of the five tokens that were replaced.
    assert_eq!(fetches, 6, "{tokens:?}");
    let mut names: Vec<_> = tokens.into_keys().collect();
    names.sort_unstable();
    assert_eq!(names, ["hf_0", "hf_1", "hf_2", "hf_3", "hf_4"]);
}
