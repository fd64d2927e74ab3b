//! A minimal OIDC issuer: discovery, keys, and tokens for clients with a secret.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use axum::{
    Form, Json, Router,
    extract::State,
    http::{StatusCode, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tower_inference::clock::SharedClock;

use super::random_hex;
use crate::Error;

const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
const KEY_ID: &str = "demo";

/// A client of the issuer and the claims of its token.
pub(super) struct Client {
    pub(super) id: &'static str,
    pub(super) secret: String,
    pub(super) scope: Option<&'static str>,
    pub(super) tenant: &'static str,
}

pub(super) struct Issuer {
    url: String,
    audience: &'static str,
    clients: [Client; 2],
    key: EcdsaKeyPair,
    clock: SharedClock,
}

impl Issuer {
    /// Creates an issuer with a new key.
    pub(super) fn new(
        url: String,
        audience: &'static str,
        clients: [Client; 2],
    ) -> Result<Arc<Self>, Error> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        Ok(Arc::new(Self { url, audience, clients, key, clock: SharedClock::default() }))
    }

    /// Returns a token of each client.
    pub(super) fn tokens(&self) -> Result<(String, String), Error> {
        let [first, second] = &self.clients;
        Ok((self.token(first)?, self.token(second)?))
    }

    pub(super) fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/token", post(token))
            .with_state(self)
    }

    /// Signs an access token (RFC 9068).
    fn token(&self, client: &Client) -> Result<String, Error> {
        let now = self.clock.unix_seconds();
        let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": KEY_ID });
        let mut claims = json!({
            "iss": self.url,
            "aud": self.audience,
            "sub": client.id,
            "client_id": client.id,
            "iat": now,
            "exp": now + TOKEN_LIFETIME.as_secs(),
            "jti": random_hex()?,
            "tenant": client.tenant,
        });
        if let Some(scope) = client.scope {
            claims["scope"] = scope.into();
        }
        let encode = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes())?;
        Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

async fn discovery(State(issuer): State<Arc<Issuer>>) -> Json<Value> {
    let url = &issuer.url;
    Json(json!({
        "issuer": url,
        "jwks_uri": format!("{url}/jwks"),
        "token_endpoint": format!("{url}/token"),
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
    }))
}

async fn jwks(State(issuer): State<Arc<Issuer>>) -> Json<Value> {
    // SEC 1 section 2.3.3: 04, x, y.
    let point = issuer.key.public_key().as_ref();
    let (x, y) = point[1..].split_at(32);
    Json(json!({ "keys": [{
        "kty": "EC",
        "crv": "P-256",
        "alg": "ES256",
        "use": "sig",
        "kid": KEY_ID,
        "x": BASE64_URL_SAFE_NO_PAD.encode(x),
        "y": BASE64_URL_SAFE_NO_PAD.encode(y),
    }] }))
}

/// The client credentials grant (RFC 6749 section 4.4) with the client's secret in the form.
async fn token(
    State(issuer): State<Arc<Issuer>>,
    Form(form): Form<Vec<(String, String)>>,
) -> Response {
    let field =
        |name: &str| form.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
    if field("grant_type") != Some("client_credentials") {
        return refusal(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    let client = issuer.clients.iter().find(|client| {
        field("client_id") == Some(client.id) && field("client_secret") == Some(&client.secret)
    });
    let Some(client) = client else {
        return refusal(StatusCode::UNAUTHORIZED, "invalid_client");
    };
    if field("scope").is_some_and(|scope| Some(scope) != client.scope) {
        return refusal(StatusCode::BAD_REQUEST, "invalid_scope");
    }
    let Ok(token) = issuer.token(client) else {
        return refusal(StatusCode::INTERNAL_SERVER_ERROR, "server_error");
    };
    let response = json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": TOKEN_LIFETIME.as_secs(),
    });
    ([(CACHE_CONTROL, "no-store")], Json(response)).into_response()
}

fn refusal(status: StatusCode, error: &str) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], Json(json!({ "error": error }))).into_response()
}
