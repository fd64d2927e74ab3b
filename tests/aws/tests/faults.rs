//! Faults of the secret and of AWS.

use http::StatusCode;
use tower_inference::hf::{AwsSecret, TokenSource};
use tracing::Level;

use crate::{
    endpoint::{Conduct, Endpoint},
    gateway::{Gateway, Reply, Upstream},
    log::{listen, taken},
    moto::Moto,
    secret,
};

/// Returns the reply of a gateway without a token, and its WARN event.
pub async fn refused(secret: AwsSecret) -> (Reply, String) {
    listen(Level::TRACE);
    let upstream = Upstream::start(&[]).await;
    let gateway = Gateway::start(TokenSource::aws_secret(secret), &upstream).await;
    let reply = gateway.chat().await;
    assert_eq!(upstream.requests(), 0, "no request without a token");
    let log = taken();
    let warnings: Vec<_> =
        log.lines().filter(|line| line.contains("WARN") && line.contains("token")).collect();
    let [warning] = warnings[..] else { panic!("not one event: {warnings:#?}") };
    (reply, warning.to_owned())
}

#[track_caller]
pub fn assert_refused((reply, warning): &(Reply, String), reason: &str) {
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{reply:?}");
    assert!(reply.retry_after.is_some(), "{reply:?}");
    assert!(reply.body.contains("upstream-token-unavailable"), "{reply:?}");
    assert!(warning.contains(reason), "{reason}: {warning}");
}

#[tokio::test]
async fn a_secret_without_a_token_is_a_503_and_the_log_says_what_to_do() {
    let Some(moto) = Moto::shared() else { return };
    let endpoint = Endpoint::before(moto.address).await;
    moto.secret("whole", r#"{"token": "hf_whole", "number": 1, "blank": " \n"}"#).await;
    moto.secret("blank", " \n").await;
    moto.secret("words", "hf one\n").await;
    moto.secret("twice", r#"{"token": "hf_one", "token": "hf_two"}"#).await;
    moto.binary_secret("image", b"\xff\xfe\0").await;
    let at = |id| secret(id, &endpoint);
    for (secret, reason) in [
        (at("nobody"), "does not exist; check the name, the account and the region"),
        (at("whole").region("us-east-1").json_member("token"), "does not exist"),
        (at("whole"), "name the member that holds the token with `json_member`"),
        (at("whole").json_member("tokens"), "has no member `tokens`; check the name"),
        (at("whole").json_member("number"), "`number` of the secret is not a string"),
        (at("whole").json_member("blank"), "the secret is empty"),
        (at("blank"), "the secret is empty"),
        (at("words"), "the token has a space or a tab"),
        (at("words").json_member("token"), "not a JSON object"),
        (at("twice").json_member("token"), "not a JSON object of unique members"),
        (at("image"), "binary and not UTF-8"),
    ] {
        assert_refused(&refused(secret).await, reason);
    }
}

#[tokio::test]
async fn a_fault_of_aws_is_a_503_and_the_log_says_what_to_do() {
    listen(Level::TRACE);
    // Nothing listens on this port.
    let endpoint = Endpoint::before("127.0.0.1:9".parse().unwrap()).await;
    for (conduct, reason) in [
        (
            Conduct::Respond(
                StatusCode::BAD_REQUEST,
                r#"{"__type":"AccessDeniedException","Message":"User hf_secret is not authorized"}"#,
            ),
            "the IAM policy must allow the action",
        ),
        (
            Conduct::Respond(
                StatusCode::BAD_REQUEST,
                r#"{"__type":"UnrecognizedClientException","message":"hf_secret"}"#,
            ),
            "AWS rejects the credentials (UnrecognizedClientException)",
        ),
        (
            Conduct::Respond(StatusCode::BAD_REQUEST, r#"{"__type":"DecryptionFailure"}"#),
            "check that its KMS key is enabled",
        ),
        (
            Conduct::Respond(StatusCode::BAD_REQUEST, r#"{"__type":"ThrottlingException"}"#),
            "AWS throttles the requests",
        ),
        (
            Conduct::Respond(
                StatusCode::INTERNAL_SERVER_ERROR,
                r#"{"__type":"InternalServiceError"}"#,
            ),
            "AWS failed (InternalServiceError)",
        ),
        (
            Conduct::Respond(StatusCode::BAD_REQUEST, r#"{"__type":"InvalidRequestException"}"#),
            "it may be scheduled for deletion",
        ),
        (
            Conduct::Respond(StatusCode::BAD_REQUEST, r#"{"__type":"InvalidParameterException"}"#),
            "does not accept the request (InvalidParameterException)",
        ),
        // A code may hold anything.
        (
            Conduct::Respond(StatusCode::BAD_REQUEST, r#"{"__type":"Bad hf_secret"}"#),
            "AWS failed; look at its service health",
        ),
        (Conduct::Respond(StatusCode::OK, "<html>hf_secret</html>"), "is not one of AWS"),
        (Conduct::Close, "AWS cannot be reached"),
        (Conduct::Hang, "does not respond in time"),
    ] {
        endpoint.conduct(conduct.clone());
        let refused = refused(secret("any", &endpoint)).await;
        assert_refused(&refused, reason);
        assert!(!refused.1.contains("hf_secret"), "{}", refused.1);
    }
    let gone = AwsSecret::new("any").region("eu-west-1");
    let gone = gone.endpoint("http://127.0.0.1:9".parse().unwrap());
    assert_refused(&refused(gone).await, "AWS cannot be reached");
}
