//! No log line of any crate and no `Debug` has a secret of AWS. `tests/token_search` searches the rest.

use http::StatusCode;
use tower_inference::hf::{AwsWebIdentity, SubjectToken, TokenSource};
use tracing::Level;

use crate::{
    endpoint::{Conduct, Endpoint},
    gateway::{Gateway, Upstream},
    leak::leak,
    log::{listen, taken},
    moto::Moto,
    secret,
};

const TOKENS: [&str; 2] =
    ["hf_Ab3xYz09QwErTyUiOpAsDfGhJkLzXcVbNm", "hf_Q\"u/o+t\\e~9%zA=&b?c<d>#e"];

#[tokio::test]
async fn no_log_line_of_the_sdk_has_the_secret() {
    let Some(moto) = Moto::shared() else { return };
    let endpoint = Endpoint::before(moto.address).await;
    for (nth, token) in TOKENS.into_iter().enumerate() {
        let ids = ["text", "json", "bytes"].map(|kind| format!("searched-{kind}-{nth}"));
        moto.secret(&ids[0], token).await;
        moto.secret(&ids[1], &serde_json::json!({ "token": token, "n": 1 }).to_string()).await;
        moto.binary_secret(&ids[2], token.as_bytes()).await;
        // From here on, because the owner of the secrets also uses the SDK.
        listen(Level::TRACE);
        for (id, member) in
            [(&ids[0], None), (&ids[1], Some("token")), (&ids[2], None), (&ids[1], Some("n"))]
        {
            let secret = secret(id, &endpoint);
            let secret = member.map_or(secret.clone(), |name| secret.json_member(name));
            let source = TokenSource::aws_secret(secret);
            let upstream = Upstream::start(&[token]).await;
            let gateway = Gateway::start(source.clone(), &upstream).await;
            gateway.chat().await;
            let expected = (member != Some("n")).then_some(token);
            assert_eq!(upstream.latest().as_deref(), expected);
            assert_eq!(leak(&format!("{source:?} {source:#?}"), token), None);
        }
        let log = taken();
        assert!(log.contains("aws_smithy_runtime"), "the SDK logs");
        let lines: Vec<_> = log.lines().filter(|line| leak(line, token).is_some()).collect();
        assert_eq!(leak(&log, token), None, "{lines:#?}");
    }
}

#[tokio::test]
async fn no_debug_has_more_than_names() {
    let endpoint = Endpoint::before(([127, 0, 0, 1], 9).into()).await;
    endpoint.conduct(Conduct::Respond(StatusCode::OK, "{}"));
    let secret = secret("a-name", &endpoint).json_member("token");
    assert!(format!("{secret:?}").contains("a-name"));
    let identity = AwsWebIdentity::new("https://huggingface.co");
    assert!(format!("{identity:?}").contains("https://huggingface.co"));
    for printed in [
        format!("{:?}", TokenSource::aws_secret(secret)),
        format!("{:?}", SubjectToken::aws_web_identity(identity)),
    ] {
        assert!(!printed.contains("AKIAINVENTED") && !printed.contains("invented"), "{printed}");
    }
}
