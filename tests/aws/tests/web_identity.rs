//! The identity of a workload of AWS, exchanged for an hourly token of Hugging Face.
//!
//! moto has no `GetWebIdentityToken`, so both endpoints respond as their documentation says.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::Full;
use tower_inference::{
    client::HttpsClient,
    hf::{AwsWebIdentity, SubjectToken, TokenExchange, TokenSource},
};
use tracing::Level;

use crate::{
    endpoint::{Conduct, Endpoint},
    gateway::{Gateway, Upstream},
    log::{listen, taken},
};

const ISSUED: &str = "<GetWebIdentityTokenResponse \
    xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetWebIdentityTokenResult>\
    <WebIdentityToken>eyJhbGciOiJSUzI1NiJ9.e30.workload</WebIdentityToken>\
    <Expiration>2027-01-15T08:05:00Z</Expiration></GetWebIdentityTokenResult>\
    <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetWebIdentityTokenResponse>";
const EXCHANGED: &str =
    r#"{"access_token":"hf_oauth_hourly","token_type":"bearer","expires_in":3600}"#;

/// Nothing listens here, so that an endpoint responds by its conduct alone.
const NOBODY: ([u8; 4], u16) = ([127, 0, 0, 1], 9);

fn source(
    sts: &Endpoint,
    hub: &Endpoint,
    change: fn(AwsWebIdentity) -> AwsWebIdentity,
) -> TokenSource {
    let identity = AwsWebIdentity::new("https://huggingface.co").region("eu-west-1");
    let identity = change(identity.endpoint(sts.url().parse().unwrap()));
    let client = HttpsClient::builder().build_for::<Full<Bytes>>().unwrap();
    let subject = SubjectToken::aws_web_identity(identity);
    let exchange = TokenExchange::new(client, subject, "acme");
    TokenSource::exchange(exchange.endpoint(&format!("{}/oauth/token", hub.url())).unwrap())
}

#[tokio::test]
async fn the_identity_of_the_workload_becomes_the_token() {
    let sts = Endpoint::before(NOBODY.into()).await;
    sts.conduct(Conduct::Respond(StatusCode::OK, ISSUED));
    let hub = Endpoint::before(NOBODY.into()).await;
    hub.conduct(Conduct::Respond(StatusCode::OK, EXCHANGED));
    let defaults: fn(AwsWebIdentity) -> AwsWebIdentity = |identity| identity;
    for (change, expected) in [
        (defaults, ["&DurationSeconds=300&", "&SigningAlgorithm=RS256"]),
        (
            |identity| identity.es384().duration(Duration::from_secs(900)),
            ["&DurationSeconds=900&", "&SigningAlgorithm=ES384"],
        ),
        (|identity| identity.duration(Duration::ZERO), ["&DurationSeconds=60&", "RS256"]),
        (|identity| identity.duration(Duration::MAX), ["&DurationSeconds=3600&", "RS256"]),
    ] {
        let upstream = Upstream::start(&["hf_oauth_hourly"]).await;
        let gateway = Gateway::start(source(&sts, &hub, change), &upstream).await;
        assert_eq!(gateway.chat().await.status, 200);
        assert_eq!(upstream.latest().as_deref(), Some("hf_oauth_hourly"));

        let request = sts.seen().pop().unwrap();
        assert!(request.body.starts_with("Action=GetWebIdentityToken&"), "{request:?}");
        assert!(request.body.contains("&Audience.member.1=https%3A%2F%2Fhuggingface.co&"));
        assert!(request.authorization.contains("/eu-west-1/sts/aws4_request"), "{request:?}");
        for part in expected {
            assert!(request.body.contains(part), "{part}: {request:?}");
        }
        let exchange = hub.seen().pop().unwrap();
        assert!(exchange.body.contains("eyJhbGciOiJSUzI1NiJ9.e30.workload"), "{exchange:?}");
    }
}

#[tokio::test]
async fn a_fault_of_sts_is_a_503_and_the_log_says_what_to_do() {
    listen(Level::TRACE);
    let hub = Endpoint::before(NOBODY.into()).await;
    hub.conduct(Conduct::Respond(StatusCode::OK, EXCHANGED));
    for (code, reason) in [
        (
            "<ErrorResponse><Error><Code>OutboundWebIdentityFederationDisabled</Code></Error></ErrorResponse>",
            "an administrator enables it with iam:EnableOutboundWebIdentityFederation",
        ),
        (
            "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>",
            "sts:GetWebIdentityToken",
        ),
        (
            "<ErrorResponse><Error><Code>SessionDurationEscalationException</Code></Error></ErrorResponse>",
            "set a shorter `duration`",
        ),
        (
            "<ErrorResponse><Error><Code>ExpiredToken</Code></Error></ErrorResponse>",
            "AWS rejects the credentials (ExpiredToken)",
        ),
    ] {
        let sts = Endpoint::before(NOBODY.into()).await;
        sts.conduct(Conduct::Respond(StatusCode::FORBIDDEN, code));
        let upstream = Upstream::start(&[]).await;
        let gateway = Gateway::start(source(&sts, &hub, |identity| identity), &upstream).await;
        taken();
        assert_eq!(gateway.chat().await.status, 503);
        assert_eq!((upstream.requests(), hub.seen().len()), (0, 0));
        let log = taken();
        assert!(log.contains(reason), "{reason}: {log}");
    }
}
