use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use tower::{Layer as _, ServiceExt as _};
use tower_inference::{
    context::RequestContext,
    identity::{Identity, Proof},
    payload::Payload,
    rejection::{Refusal, RejectionFormat},
    transform::{EditableHeader, EditableHeaderError, TransformLayer, ValueSource},
};

use crate::{caller, context_of, query_name, said, sent, sent_as, support::Probe};

fn name(name: &str) -> EditableHeader {
    name.parse().unwrap()
}

fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn headers_are_set_appended_removed_and_renamed_in_order() {
    let edits = TransformLayer::new()
        .set_header(name("x-set"), "one")
        .append_header(name("x-set"), "two")
        .append_header(name("x-new"), "three")
        .remove_header(name("x-gone"))
        .rename_header(name("x-old"), name("x-renamed"))
        .rename_header(name("x-absent"), name("x-kept"))
        // Seen by the edits that follow.
        .set_header(name("x-temporary"), "four")
        .rename_header(name("x-temporary"), name("x-last"));
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
async fn values_come_from_the_request_context() {
    for (source, expected) in [
        (ValueSource::literal("text"), "text"),
        (ValueSource::subject(), "user-7"),
        (ValueSource::issuer(), "https://issuer.example"),
        (ValueSource::tenant(), "acme"),
        (ValueSource::claim("team"), "search"),
        (ValueSource::claim("level"), "3"),
        (ValueSource::claim("staff"), "true"),
        (ValueSource::stage(), "prod"),
        (ValueSource::route(), "chat"),
        (
            ValueSource::literal("t-")
                .then(ValueSource::tenant())
                .then("-".into())
                .then(ValueSource::stage()),
            "t-acme-prod",
        ),
    ] {
        let edits = TransformLayer::new().set_header(name("x-value"), source.clone());
        let parts = sent(edits, Request::get("/")).await.unwrap();
        assert_eq!(values(&parts.headers, "x-value"), [expected], "{source:?}");
    }
    let context = context_of(None);
    context.set_request_id("id-1".parse().unwrap());
    let edits = TransformLayer::new().set_header(name("x-value"), ValueSource::request_id());
    let parts = sent_as(context, edits, Request::get("/")).await.unwrap();
    assert_eq!(values(&parts.headers, "x-value"), ["id-1"]);
}

#[tokio::test]
async fn a_missing_value_is_rejected() {
    for (source, refusal) in [
        (ValueSource::claim("absent"), Refusal::Forbidden),
        (ValueSource::claim("nothing"), Refusal::Forbidden),
        (ValueSource::claim("groups"), Refusal::Forbidden),
        (ValueSource::claim("empty"), Refusal::Forbidden),
        (ValueSource::literal("t-").then(ValueSource::claim("empty")), Refusal::Forbidden),
        (ValueSource::request_id(), Refusal::Forbidden),
        (ValueSource::trace_id(), Refusal::Forbidden),
        (ValueSource::literal(""), Refusal::Forbidden),
        (ValueSource::literal("x").then(ValueSource::claim("absent")), Refusal::Forbidden),
    ] {
        for edits in [
            TransformLayer::new().set_header(name("x-value"), source.clone()),
            TransformLayer::new().append_header(name("x-value"), source.clone()),
        ] {
            let request = Request::get("/").header("x-value", "caller");
            assert_eq!(said(&sent(edits, request).await).0, refusal, "{source:?}");
        }
    }
    for source in [
        ValueSource::subject(),
        ValueSource::issuer(),
        ValueSource::tenant(),
        ValueSource::claim("team"),
    ] {
        let edits = TransformLayer::new().set_header(name("x-value"), source);
        let refused = sent_as(context_of(None), edits, Request::get("/")).await;
        assert_eq!(said(&refused).0, Refusal::MissingCredentials);
    }
    let stranger = || Identity::new(Proof::Jwt, "", "");
    for (identity, source) in [
        (stranger(), ValueSource::tenant()),
        (stranger().with_tenant(""), ValueSource::tenant()),
        (stranger(), ValueSource::subject()),
        (stranger(), ValueSource::issuer()),
    ] {
        let edits = TransformLayer::new()
            .set_header(name("x-value"), ValueSource::literal("t-").then(source));
        let refused = sent_as(context_of(Some(identity)), edits, Request::get("/")).await;
        assert_eq!(said(&refused).0, Refusal::Forbidden);
    }
}

#[tokio::test]
async fn a_missing_optional_value_removes_the_clients_own() {
    let nobody = || context_of(None);
    let request = || Request::get("/?v=caller&w").header("x-value", "caller");
    for source in [ValueSource::tenant(), ValueSource::claim("absent"), ValueSource::claim("empty")]
    {
        let source = ValueSource::literal("t-").then(source).optional();
        let set = TransformLayer::new()
            .set_header(name("x-value"), source.clone())
            .set_query(query_name("v"), source.clone());
        let parts = sent_as(nobody(), set, request()).await.unwrap();
        assert_eq!(values(&parts.headers, "x-value"), [""; 0]);
        assert_eq!(parts.uri, "/?w");

        let append = TransformLayer::new()
            .append_header(name("x-value"), source.clone())
            .append_query(query_name("v"), source);
        let parts = sent_as(nobody(), append, request()).await.unwrap();
        assert_eq!(values(&parts.headers, "x-value"), ["caller"]);
        assert_eq!(parts.uri, "/?v=caller&w");
    }
    // A list is not missing.
    let edits =
        TransformLayer::new().set_header(name("x-value"), ValueSource::claim("groups").optional());
    assert_eq!(said(&sent(edits, request()).await).0, Refusal::Forbidden);
}

#[tokio::test]
async fn an_invalid_header_value_is_rejected_and_not_repeated() {
    let long = "x".repeat(4_097);
    for value in
        ["a\r\nx-evil: 1", "a\nb", "a\0b", "a\tb", "\u{7f}", "caf\u{e9}", " a", "a ", "", &long]
    {
        let edits = TransformLayer::new().set_header(name("x-value"), ValueSource::claim("evil"));
        let caller = caller().with_claim("evil", value);
        let refused = sent_as(context_of(Some(caller)), edits, Request::get("/")).await;
        let (refusal, detail) = said(&refused);
        assert_eq!(refusal, Refusal::Forbidden, "{value:?}");
        assert!(value.len() < 3 || !detail.contains(value), "{detail}");
    }
    let edits = TransformLayer::new().set_header(name("x-value"), ValueSource::claim("long"));
    let caller = caller().with_claim("long", "x".repeat(4_096));
    let parts = sent_as(context_of(Some(caller)), edits, Request::get("/")).await.unwrap();
    assert_eq!(parts.headers["x-value"].len(), 4_096);
}

#[tokio::test]
async fn a_client_cannot_make_an_edited_header_hop_by_hop() {
    let edits = TransformLayer::new()
        .set_header(name("x-tenant"), ValueSource::tenant())
        .set_header(name("x-two"), "2");
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
async fn rejections_have_the_chosen_format_and_are_recorded() {
    for (format, status, content_type) in [
        (RejectionFormat::Problem, 401, "application/problem+json"),
        (RejectionFormat::ApiGateway, 401, "application/json"),
    ] {
        let edits = TransformLayer::new().set_header(name("x-tenant"), ValueSource::tenant());
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
fn debug_output_does_not_contain_a_fixed_text() {
    let source = ValueSource::literal("hunter2").then(ValueSource::claim("team"));
    let layer = TransformLayer::new()
        .set_header(name("x-internal"), source)
        .set_query(query_name("q"), "hunter2");
    let printed = format!("{layer:?}");
    assert!(printed.contains("x-internal") && printed.contains("team"), "{printed}");
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[test]
fn reserved_headers_are_not_editable() {
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
        let parsed = reserved.parse::<EditableHeader>();
        assert!(matches!(parsed, Err(EditableHeaderError::Reserved(_))), "{reserved}");
        let error = parsed.unwrap_err().to_string();
        assert!(error.contains(&reserved.to_lowercase()), "{error}");
    }
    for malformed in ["", "x team", "x:team", "x\r\n", ":path"] {
        assert_eq!(
            malformed.parse::<EditableHeader>(),
            Err(EditableHeaderError::Malformed),
            "{malformed}"
        );
    }
}
