use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use tower::{Layer as _, ServiceExt as _};
use tower_inference::{
    context::RequestContext,
    identity::{Identity, Proof},
    payload::Payload,
    rejection::{Refusal, RejectionFormat},
    transform::{FieldName, InvalidFieldName, Source, TransformLayer},
};

use crate::{caller, context_of, said, sent, sent_as, support::Probe};

fn name(name: &str) -> FieldName {
    name.parse().unwrap()
}

fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn fields_are_set_appended_removed_and_renamed_in_the_order_written() {
    let edits = TransformLayer::new()
        .set_field(name("x-set"), "one")
        .append_field(name("x-set"), "two")
        .append_field(name("x-new"), "three")
        .remove_field(name("x-gone"))
        .rename_field(name("x-old"), name("x-renamed"))
        .rename_field(name("x-absent"), name("x-kept"))
        // Seen by the edits that follow.
        .set_field(name("x-temporary"), "four")
        .rename_field(name("x-temporary"), name("x-last"));
    let request = Request::get("/")
        .header("x-set", "caller")
        .header("x-set", "caller again")
        .header("x-gone", "1")
        .header("x-gone", "2")
        .header("x-old", "a")
        .header("x-old", "b")
        .header("x-renamed", "before")
        .header("x-kept", "as it was")
        .header("x-other", "untouched");
    let parts = sent(edits, request).await.unwrap();
    for (name, expected) in [
        ("x-set", &["one", "two"][..]),
        ("x-new", &["three"]),
        ("x-gone", &[]),
        ("x-old", &[]),
        ("x-renamed", &["a", "b"]),
        ("x-kept", &["as it was"]),
        ("x-temporary", &[]),
        ("x-last", &["four"]),
        ("x-other", &["untouched"]),
    ] {
        assert_eq!(values(&parts.headers, name), expected, "{name}");
    }
}

#[tokio::test]
async fn values_come_from_what_is_known_of_the_request() {
    for (source, expected) in [
        (Source::literal("text"), "text"),
        (Source::subject(), "user-7"),
        (Source::issuer(), "https://issuer.example"),
        (Source::tenant(), "acme"),
        (Source::claim("team"), "search"),
        (Source::claim("level"), "3"),
        (Source::claim("staff"), "true"),
        (Source::stage(), "prod"),
        (Source::route(), "chat"),
        (
            Source::literal("t-").then(Source::tenant()).then("-".into()).then(Source::stage()),
            "t-acme-prod",
        ),
    ] {
        let edits = TransformLayer::new().set_field(name("x-value"), source.clone());
        let parts = sent(edits, Request::get("/")).await.unwrap();
        assert_eq!(values(&parts.headers, "x-value"), [expected], "{source:?}");
    }
    let context = context_of(None);
    context.set_request_id("id-1".parse().unwrap());
    let edits = TransformLayer::new().set_field(name("x-value"), Source::request_id());
    let parts = sent_as(context, edits, Request::get("/")).await.unwrap();
    assert_eq!(values(&parts.headers, "x-value"), ["id-1"]);
}

#[tokio::test]
async fn what_is_missing_is_a_refusal_and_never_an_empty_field() {
    for (source, refusal) in [
        (Source::claim("absent"), Refusal::Forbidden),
        (Source::claim("nothing"), Refusal::Forbidden),
        (Source::claim("groups"), Refusal::Forbidden),
        (Source::claim("empty"), Refusal::Forbidden),
        (Source::literal("t-").then(Source::claim("empty")), Refusal::Forbidden),
        (Source::request_id(), Refusal::Forbidden),
        (Source::trace_id(), Refusal::Forbidden),
        (Source::literal(""), Refusal::Forbidden),
        (Source::literal("x").then(Source::claim("absent")), Refusal::Forbidden),
    ] {
        for edits in [
            TransformLayer::new().set_field(name("x-value"), source.clone()),
            TransformLayer::new().append_field(name("x-value"), source.clone()),
        ] {
            let request = Request::get("/").header("x-value", "caller");
            assert_eq!(said(&sent(edits, request).await).0, refusal, "{source:?}");
        }
    }
    for source in [Source::subject(), Source::issuer(), Source::tenant(), Source::claim("team")] {
        let edits = TransformLayer::new().set_field(name("x-value"), source);
        let refused = sent_as(context_of(None), edits, Request::get("/")).await;
        assert_eq!(said(&refused).0, Refusal::MissingCredentials);
    }
    let stranger = || Identity::new(Proof::Jwt, "", "");
    for (identity, source) in [
        (stranger(), Source::tenant()),
        (stranger().with_tenant(""), Source::tenant()),
        (stranger(), Source::subject()),
        (stranger(), Source::issuer()),
    ] {
        let edits =
            TransformLayer::new().set_field(name("x-value"), Source::literal("t-").then(source));
        let refused = sent_as(context_of(Some(identity)), edits, Request::get("/")).await;
        assert_eq!(said(&refused).0, Refusal::Forbidden);
    }
}

#[tokio::test]
async fn what_may_be_missing_is_left_out_and_the_callers_own_never_stands_in_for_it() {
    let nobody = || context_of(None);
    let request = || Request::get("/?v=caller&w").header("x-value", "caller");
    for source in [Source::tenant(), Source::claim("absent"), Source::claim("empty")] {
        let source = Source::literal("t-").then(source).optional();
        let set = TransformLayer::new()
            .set_field(name("x-value"), source.clone())
            .set_query("v", source.clone());
        let parts = sent_as(nobody(), set, request()).await.unwrap();
        assert_eq!(values(&parts.headers, "x-value"), [""; 0]);
        assert_eq!(parts.uri, "/?w");

        let append = TransformLayer::new()
            .append_field(name("x-value"), source.clone())
            .append_query("v", source);
        let parts = sent_as(nobody(), append, request()).await.unwrap();
        assert_eq!(values(&parts.headers, "x-value"), ["caller"]);
        assert_eq!(parts.uri, "/?v=caller&w");
    }
    // A list is not missing.
    let edits =
        TransformLayer::new().set_field(name("x-value"), Source::claim("groups").optional());
    assert_eq!(said(&sent(edits, request()).await).0, Refusal::Forbidden);
}

#[tokio::test]
async fn a_value_that_is_no_field_value_is_refused_and_not_repeated() {
    let long = "x".repeat(4_097);
    for value in
        ["a\r\nx-evil: 1", "a\nb", "a\0b", "a\tb", "\u{7f}", "caf\u{e9}", " a", "a ", "", &long]
    {
        let edits = TransformLayer::new().set_field(name("x-value"), Source::claim("evil"));
        let caller = caller().with_claim("evil", value);
        let refused = sent_as(context_of(Some(caller)), edits, Request::get("/")).await;
        let (refusal, detail) = said(&refused);
        assert_eq!(refusal, Refusal::Forbidden, "{value:?}");
        assert!(value.len() < 3 || !detail.contains(value), "{detail}");
    }
    let edits = TransformLayer::new().set_field(name("x-value"), Source::claim("long"));
    let caller = caller().with_claim("long", "x".repeat(4_096));
    let parts = sent_as(context_of(Some(caller)), edits, Request::get("/")).await.unwrap();
    assert_eq!(parts.headers["x-value"].len(), 4_096);
}

#[tokio::test]
async fn a_caller_cannot_have_a_field_end_at_this_hop() {
    let edits = TransformLayer::new()
        .set_field(name("x-tenant"), Source::tenant())
        .set_field(name("x-two"), "2");
    let request = Request::get("/")
        .header("connection", "X-Tenant, x-two, x-mine")
        .header("x-mine", "1")
        .header("x-tenant", "evil");
    let parts = sent(edits, request).await.unwrap();
    assert_eq!(values(&parts.headers, "x-tenant"), ["acme"]);
    assert_eq!(values(&parts.headers, "x-two"), ["2"]);
    assert!(!parts.headers.contains_key("x-mine"));
    assert!(!parts.headers.contains_key("connection"));
}

#[tokio::test]
async fn refusals_look_as_they_are_told_to_and_are_noted() {
    for (format, status, content_type) in [
        (RejectionFormat::Problem, 401, "application/problem+json"),
        (RejectionFormat::ApiGateway, 401, "application/json"),
    ] {
        let edits = TransformLayer::new().set_field(name("x-tenant"), Source::tenant());
        let gateway = edits.rejections(format).layer(Probe::new(|_: Request<Payload>| {
            panic!("a refused request went on");
            #[expect(unreachable_code, reason = "it says what the answer would be")]
            Response::new(Full::<Bytes>::default())
        }));
        let context = RequestContext::new();
        let request = Request::get("/").extension(context.clone()).body(Payload::default());
        let Ok(answer) = gateway.oneshot(request.unwrap()).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["content-type"], content_type);
        assert!(answer.headers().contains_key("www-authenticate"));
        assert_eq!(context.outcome().rejection, Some("missing-credentials"));
    }
}

#[test]
fn a_fixed_text_is_not_printed() {
    let source = Source::literal("hunter2").then(Source::claim("team"));
    let layer =
        TransformLayer::new().set_field(name("x-internal"), source).set_query("q", "hunter2");
    let printed = format!("{layer:?}");
    assert!(printed.contains("x-internal") && printed.contains("team"), "{printed}");
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[test]
fn reserved_fields_have_no_name_here() {
    for reserved in [
        "host",
        "te",
        "Trailer",
        "upgrade",
        "expect",
        "connection",
        "keep-alive",
        "proxy-authorization",
        "content-length",
        "content-encoding",
        "Transfer-Encoding",
        "AUTHORIZATION",
        "x-hf-bill-to",
        "x-forwarded-for",
        "x-amz-date",
        "x-request-id",
        "content-type",
        "cookie",
        "x-api-key",
        "x-auth-request-user",
        "remote-user",
        "openai-organization",
        "content_length",
    ] {
        let parsed = reserved.parse::<FieldName>();
        assert!(matches!(parsed, Err(InvalidFieldName::Reserved(_))), "{reserved}");
        let said = parsed.unwrap_err().to_string();
        assert!(said.contains(&reserved.to_lowercase()), "{said}");
    }
    for malformed in ["", "x team", "x:team", "x\r\n", ":path"] {
        assert_eq!(malformed.parse::<FieldName>(), Err(InvalidFieldName::Malformed), "{malformed}");
    }
}
