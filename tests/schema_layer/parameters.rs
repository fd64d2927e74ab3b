//! Headers and query parameters.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use serde_json::json;
use tower_inference::{
    payload::PayloadLayer,
    rejection::{Refusal, Rejection, RejectionFormat},
    schema::{Parameter, SchemaLayer},
};

use crate::{Received, respond};

const TEAM: HeaderName = HeaderName::from_static("x-team");

fn get(query: &str) -> Request<Full<Bytes>> {
    Request::get(format!("/v1/models{query}")).body(Full::default()).unwrap()
}

async fn ask(parameter: Parameter, request: Request<Full<Bytes>>) -> Received {
    respond((PayloadLayer::streamed(), SchemaLayer::any_body().parameter(parameter)), request).await
}

/// The keyword that the query breaks; `None` when it passes.
async fn broken_by(parameter: Parameter, query: &str) -> Option<String> {
    let response = ask(parameter, get(query)).await;
    if response.passed() {
        return None;
    }
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let rejection = response.head.extensions.get::<Rejection>().unwrap();
    assert_eq!(rejection.refusal(), Refusal::InvalidParameters);
    let (pointer, keyword) = response.errors().pop().unwrap();
    assert_eq!(pointer, "/query/limit");
    Some(keyword)
}

#[tokio::test]
async fn query_parameters_are_present_and_not_blank() {
    let optional = || Parameter::query("limit");
    for (query, if_optional, if_required) in [
        ("", None, Some("required")),
        ("?", None, Some("required")),
        ("?other=1&&limits=1", None, Some("required")),
        ("?Limit=1", None, Some("required")),
        ("?limit=1", None, None),
        ("?other&limit=1", None, None),
        ("?l%69mit=1", None, None),
        ("?limit", Some("allowEmptyValue"), Some("required")),
        ("?limit=", Some("allowEmptyValue"), Some("required")),
        ("?limit=%20+%09", Some("allowEmptyValue"), Some("required")),
        ("?limit=1&limit=", Some("allowEmptyValue"), Some("required")),
        ("?limit=%ff", Some("type"), Some("type")),
        ("?limit=1;limit=", None, None),
    ] {
        assert_eq!(broken_by(optional(), query).await.as_deref(), if_optional, "{query}");
        assert_eq!(
            broken_by(optional().required(), query).await.as_deref(),
            if_required,
            "{query}"
        );
    }
    let blank = || Parameter::query("limit").required().allow_blank();
    assert_eq!(broken_by(blank(), "?limit").await, None);
    assert_eq!(broken_by(blank(), "?").await.as_deref(), Some("required"));
}

#[tokio::test]
async fn pattern_matches_the_whole_value() {
    for (pattern, holding, breaking) in [
        ("[0-9]{1,3}", &["1", "999"][..], &["1000", "x1", "1x", "1%0a", "%0a1", "+1"][..]),
        ("^[0-9]{1,3}$", &["1", "999"], &["1000", "x1", "1x", "1%0a"]),
        ("a|ab", &["a", "ab"], &["abb", "b", "a%0aab"]),
        // ECMA-262 has ASCII digits there.
        (r"\d", &["7"], &["%D9%A7", "77"]),
        ("a.c", &["abc", "a+c", "a%C3%A9c"], &["ac"]),
        ("(?:a b|c)+", &["a+b", "a%20bc"], &["a%2Bb"]),
    ] {
        let parameter = || Parameter::query("limit").pattern(pattern).unwrap();
        for value in holding {
            let broken = broken_by(parameter(), &format!("?limit={value}")).await;
            assert_eq!(broken, None, "{pattern} {value}");
        }
        for value in breaking {
            let broken = broken_by(parameter(), &format!("?limit={value}")).await;
            assert_eq!(broken.as_deref(), Some("pattern"), "{pattern} {value}");
        }
    }
}

#[test]
fn invalid_or_non_linear_pattern_is_an_error() {
    for pattern in ["(", "a)|(?:b", "[", "(?=a)", r"(a)\1", "a{2,1}"] {
        assert!(Parameter::query("limit").pattern(pattern).is_err(), "{pattern}");
    }
}

#[tokio::test]
async fn value_is_one_of_the_list() {
    let order = || Parameter::query("limit").one_of(["asc", "by name"]);
    for (query, broken) in [
        ("?limit=asc", None),
        ("?limit=by+name", None),
        ("?limit=by%20name", None),
        ("", None),
        ("?limit=ASC", Some("enum")),
        ("?limit=asc%00", Some("enum")),
        ("?limit=asc&limit=desc", Some("enum")),
        ("?limit=desc&limit=asc", Some("enum")),
    ] {
        assert_eq!(broken_by(order(), query).await.as_deref(), broken, "{query}");
    }
    assert_eq!(
        broken_by(Parameter::query("limit").one_of([""; 0]), "?limit=1").await.unwrap(),
        "enum"
    );
}

#[tokio::test]
async fn header_lines_are_checked_one_by_one() {
    let team = || Parameter::header(TEAM).required().pattern("[a-z]+").unwrap();
    let with = |values: &[&[u8]]| {
        let mut request = get("");
        for value in values {
            request.headers_mut().append(TEAM, HeaderValue::from_bytes(value).unwrap());
        }
        request
    };
    for (values, broken) in [
        (&[&b"search"[..]][..], None),
        (&[b"search", b"ads"], None),
        (&[], Some("required")),
        (&[b"  "], Some("required")),
        (&[b"search", b""], Some("required")),
        (&[b"search", b"Ads"], Some("pattern")),
        (&[b"search, ads"], Some("pattern")),
        (&[b"\xff"], Some("type")),
        (&[b"%73"], Some("pattern")),
    ] {
        let response = ask(team(), with(values)).await;
        let keyword = (!response.passed()).then(|| response.errors().pop().unwrap());
        let expected = broken.map(|keyword| ("/header/x-team".to_owned(), keyword.to_owned()));
        assert_eq!(keyword, expected, "{values:?}");
    }
}

#[tokio::test]
async fn every_violated_parameter_is_named_once() {
    let layer = || {
        SchemaLayer::any_body()
            .parameter(Parameter::query("q1").required())
            .parameter(Parameter::query("a/b~c").required())
            .parameter(Parameter::query("fine").required())
            .parameter(Parameter::query("limit").pattern("[0-9]+").unwrap())
            .parameter(Parameter::header(TEAM).required())
    };
    let request = || get("?limit=x&limit=y&fine=1&q1=");
    let rejected = respond((PayloadLayer::new(), layer()), request()).await;
    let errors = [
        ("/query/q1", "required", "is blank"),
        ("/query/a~1b~0c", "required", "is missing"),
        ("/query/limit", "pattern", "does not match its pattern"),
        ("/header/x-team", "required", "is missing"),
    ]
    .map(|(at, by, detail)| json!({ "pointer": at, "keyword": by, "detail": detail }));
    assert_eq!(rejected.json()["errors"], json!(errors));
    assert_eq!(rejected.json()["error"]["message"], "/query/q1: is blank");
    assert_eq!(rejected.json()["error"]["code"], "invalid_parameters");

    let layer = layer().rejections(RejectionFormat::ApiGateway);
    let rejected = respond((PayloadLayer::new(), layer), request()).await;
    assert_eq!(rejected.status(), StatusCode::BAD_REQUEST);
    let message = "Missing required request parameters: [q1, a/b~c, x-team]";
    assert_eq!(rejected.json(), json!({ "message": message }));
}
