//! Keys, issuers and discovery.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use serde_json::{Value, json};
use tower::service_fn;
use tower_inference::{
    auth::{AuthLayer, Jwt, KeySource, Keys, KeysError, RemoteKeys},
    client::HttpsClient,
};

use crate::{TestFile, leads_right, listen, logged, signer::Signer};

/// One key of a set.
fn key() -> Value {
    serde_json::from_str::<Value>(&Signer::es256().jwks()).unwrap()["keys"][0].take()
}

fn set_error(content: impl AsRef<[u8]>) -> KeysError {
    Keys::from_jwks(content).unwrap_err()
}

/// Fetches from an identity provider that responds to everything in this way.
async fn fetch(issuer: &str, status: u16, content: String) -> KeysError {
    let client = service_fn(move |_: Request<Empty<Bytes>>| {
        let mut response = Response::new(Full::new(Bytes::from(content.clone())));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        async { Ok::<_, Infallible>(response) }
    });
    RemoteKeys::discovery(issuer, client).build().unwrap().refresh().await.unwrap_err()
}

#[test]
fn the_key_file_is_in_another_folder() {
    let error = KeySource::file("keys/jwks.json").unwrap_err();
    leads_right(error, &["keys/jwks.json: ", "no such file", "working directory"]);
    let folder = KeySource::file(env!("CARGO_MANIFEST_DIR")).unwrap_err();
    leads_right(folder, &[env!("CARGO_MANIFEST_DIR"), "not a regular file"]);
}

#[test]
fn one_key_is_given_as_a_set() {
    let file = TestFile::new("key.json", key().to_string());
    let error = KeySource::file(&file.0).unwrap_err();
    let path = file.0.display().to_string();
    leads_right(error, &[&path, "single JWK", r#"wrap it in {"keys": ["#]);
    leads_right(set_error(json!([key()]).to_string()), &["array of keys", r#"{"keys": "#]);
    let document = json!({ "issuer": "https://a.example", "jwks_uri": "https://a.example/k" });
    leads_right(set_error(document.to_string()), &["discovery document", "RemoteKeys::discovery"]);
}

#[test]
fn another_form_is_given_as_a_set() {
    let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    for (content, words) in [
        (certificate, ["it is PEM: a certificate", "a JWK Set"]),
        ("-----BEGIN PUBLIC KEY-----\nMIIB", ["it is PEM: a public key", "to a JWK"]),
        ("tests/data/jwks.json", ["it is the path of a file", "KeySource::file"]),
        ("https://issuer.example/jwks", ["it is a URL", "RemoteKeys::jwks"]),
        ("<!doctype html><title>Sign in</title>", ["it is HTML"; 2]),
        ("", ["it is empty"; 2]),
        (&json!({ "a1": certificate }).to_string(), ["list of certificates"; 2]),
        ("{\"keys\": [}", ["expected a value at byte 10"; 2]),
    ] {
        leads_right(set_error(content), &words);
    }
}

#[test]
fn a_byte_order_mark_is_accepted() {
    let file = TestFile::new("marked.json", format!("\u{feff}{}", Signer::es256().jwks()));
    assert!(KeySource::file(&file.0).is_ok());
}

#[test]
fn a_shared_secret_is_given_as_a_key() {
    let secret = json!({ "keys": [{ "kty": "oct", "alg": "HS256", "k": "c2VjcmV0" }] }).to_string();
    leads_right(set_error(secret), &["no usable key", "#1: "]);
    leads_right(set_error(r#"{"keys": []}"#), &["no usable key", "`keys` is empty"]);
}

#[test]
fn the_issuer_has_no_scheme() {
    let client = HttpsClient::builder().build_for::<Empty<Bytes>>().unwrap();
    for (issuer, scheme) in
        [("issuer.example/t", "write https://"), ("localhost:8080/realms/t", "write http://")]
    {
        let error = RemoteKeys::discovery(issuer, client.clone()).build().unwrap_err();
        leads_right(error, &["no scheme", scheme]);
    }
}

#[test]
fn the_discovery_document_is_given_as_the_issuer() {
    let client = HttpsClient::builder().build_for::<Empty<Bytes>>().unwrap();
    let document = "https://issuer.example/.well-known/openid-configuration";
    let error = RemoteKeys::discovery(document, client).build().unwrap_err();
    leads_right(error, &["address of the discovery document", "before /.well-known"]);
}

#[tokio::test]
async fn the_issuer_is_reached_without_tls() {
    let client = HttpsClient::builder().build_for::<Empty<Bytes>>().unwrap();
    let remote = RemoteKeys::discovery("http://10.255.255.1:8080/realms/a", client);
    let error = remote.build().unwrap_err();
    leads_right(
        error,
        &[
            "http://10.255.255.1:8080/realms/a",
            "plain http to 10.255.255.1",
            "use https",
            "RemoteKeys::dangerous_plain_http",
        ],
    );
    // The switch that is named is the only one. Nothing listens on the port.
    let client = HttpsClient::builder().build_for::<Empty<Bytes>>().unwrap();
    let remote = RemoteKeys::jwks("http://0.0.0.0:9/k", client).dangerous_plain_http();
    let error = remote.build().unwrap().refresh().await.unwrap_err();
    leads_right(error, &["http://0.0.0.0:9/k", "connection refused"]);
}

#[tokio::test]
async fn discovery_names_another_issuer() {
    listen();
    let document =
        json!({ "issuer": "https://issuer.example/", "jwks_uri": "https://issuer.example/k" });
    let error = fetch("https://issuer.example", 200, document.to_string()).await;
    let words = [
        "https://issuer.example/.well-known/openid-configuration",
        "expected `https://issuer.example`, received `https://issuer.example/`",
        "RemoteKeys::discovery",
        "Jwt::new",
    ];
    leads_right(error, &words);
    // A program that does not call `refresh` finds the same in its log.
    crate::warned_once(&words);
}

#[tokio::test]
async fn the_identity_provider_is_not_running() {
    let client = HttpsClient::builder().build_for::<Empty<Bytes>>().unwrap();
    let keys = RemoteKeys::discovery("http://127.0.0.1:9", client).build().unwrap();
    let error = keys.refresh().await.unwrap_err();
    leads_right(error, &["http://127.0.0.1:9/.well-known", "cannot reach", "connection refused"]);
}

#[tokio::test]
async fn the_identity_provider_responds_with_an_error() {
    let error = |status| fetch("https://issuer.example/t", status, String::new());
    let address = "https://issuer.example/t/.well-known/openid-configuration";
    leads_right(error(404).await, &[address, "received 404", "check the issuer"]);
    leads_right(error(302).await, &[address, "received 302", "final address"]);
    let page = fetch("https://issuer.example", 200, "<html>".to_owned()).await;
    leads_right(page, &["it is HTML", "login"]);
    let document = json!({ "issuer": "https://issuer.example" }).to_string();
    leads_right(fetch("https://issuer.example", 200, document).await, &["no text `jwks_uri`"]);
}

#[test]
fn keys_are_never_printed() {
    listen();
    let secret = json!({ "keys": [{ "kty": "oct", "k": "hunter2" }] }).to_string();
    let error = set_error(secret);
    let source = KeySource::from(Keys::from_jwks(Signer::es256().jwks()).unwrap());
    let layer = AuthLayer::new(Jwt::new(source, "https://issuer.example", "a"));
    let printed = format!("{error} {error:?} {layer:?} {}", logged());
    assert!(!printed.contains("hunter2"), "{printed}");
}
