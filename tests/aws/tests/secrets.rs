//! What a secret may be, and what the source requests.

use tower_inference::hf::{AwsSecret, TokenSource};

use crate::{
    endpoint::Endpoint,
    gateway::{Gateway, Upstream},
    moto::Moto,
    secret,
};

/// Returns the token that the upstream of a gateway receives.
async fn sent(secret: AwsSecret) -> Option<String> {
    let accepted = ["hf_text", "hf_lines", "hf_member", "hf_bytes", "hf_json_bytes", "hf_signed"];
    let upstream = Upstream::start(&accepted).await;
    let gateway = Gateway::start(TokenSource::aws_secret(secret), &upstream).await;
    gateway.chat().await;
    upstream.latest()
}

#[tokio::test]
async fn a_text_is_the_token_without_the_newline_at_its_end() {
    let Some(moto) = Moto::shared() else { return };
    let endpoint = Endpoint::before(moto.address).await;
    moto.secret("text", "hf_text").await;
    assert_eq!(sent(secret("text", &endpoint)).await.as_deref(), Some("hf_text"));
    moto.secret("lines", "hf_lines\r\n\n").await;
    assert_eq!(sent(secret("lines", &endpoint)).await.as_deref(), Some("hf_lines"));
}

#[tokio::test]
async fn a_member_of_a_json_object_is_the_token() {
    let Some(moto) = Moto::shared() else { return };
    let endpoint = Endpoint::before(moto.address).await;
    moto.secret("members", "{\"user\": \"x\", \"to\\u006ben\": \"hf_member\\n\", \"n\": 1}\n")
        .await;
    let secret = secret("members", &endpoint).json_member("token");
    assert_eq!(sent(secret).await.as_deref(), Some("hf_member"));
}

#[tokio::test]
async fn a_binary_secret_is_read_as_text() {
    let Some(moto) = Moto::shared() else { return };
    let endpoint = Endpoint::before(moto.address).await;
    moto.binary_secret("bytes", b"hf_bytes\n").await;
    assert_eq!(sent(secret("bytes", &endpoint)).await.as_deref(), Some("hf_bytes"));
    moto.binary_secret("json-bytes", br#"{"token": "hf_json_bytes"}"#).await;
    let secret = secret("json-bytes", &endpoint).json_member("token");
    assert_eq!(sent(secret).await.as_deref(), Some("hf_json_bytes"));
}

#[tokio::test]
async fn the_request_names_the_current_version_and_is_signed_for_the_region() {
    let Some(moto) = Moto::shared() else { return };
    let endpoint = Endpoint::before(moto.address).await;
    let owner = moto.secret("signed", "hf_signed").await;
    let arn = owner.arn().await;
    assert!(arn.starts_with("arn:aws:secretsmanager:eu-west-1:"), "{arn}");
    let at = |id: &str| AwsSecret::new(id).endpoint(endpoint.url().parse().unwrap());
    for (secret, region) in [
        (at("signed").region("ap-south-1"), "ap-south-1"),
        // `AWS_REGION`, as AWS's default chain reads it.
        (at("signed"), "eu-west-1"),
        (at(&arn.replace("eu-west-1", "us-west-2")), "us-west-2"),
        (at(&arn.replace("eu-west-1", "us-west-2")).region("eu-west-1"), "eu-west-1"),
    ] {
        let before = endpoint.fetches();
        sent(secret).await;
        assert_eq!(endpoint.fetches(), before + 1);
        let request = endpoint.seen().pop().unwrap();
        assert!(request.body.contains(r#""VersionStage":"AWSCURRENT""#), "{request:?}");
        let scope = format!("/{region}/secretsmanager/aws4_request");
        assert!(request.authorization.contains("Credential=AKIAINVENTED/"), "{request:?}");
        assert!(request.authorization.contains(&scope), "{request:?}");
    }
}
