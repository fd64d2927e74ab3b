//! Authentication of callers.

use tower_inference::{
    auth::{ApiKeys, AuthLayer, ClaimMapping, Credential, Jwt, KeySource, RemoteKeys},
    client::HttpsClient,
};

use crate::{
    Error,
    args::{
        Callers,
        callers::{Issuer, Keys},
    },
};

/// Returns the keys of each issuer from a file, an address or discovery.
pub(crate) fn keys(callers: &Callers) -> Result<Vec<KeySource>, Error> {
    let client = HttpsClient::builder().build()?;
    callers.issuers.iter().map(|issuer| keys_of(issuer, &client)).collect()
}

fn keys_of(issuer: &Issuer, client: &HttpsClient) -> Result<KeySource, Error> {
    let remote = match &issuer.keys {
        Keys::File(file) => {
            let keys = KeySource::file(file);
            return keys.map_err(|error| format!("--jwks: {error}").into());
        }
        Keys::Url(url) => RemoteKeys::jwks(url.as_str(), client.clone()),
        Keys::Discovered => RemoteKeys::discovery(issuer.url.as_str(), client.clone()),
    };
    let keys = remote.cool_down(issuer.keys_cooldown).build();
    keys.map_err(|error| format!("--issuer or --jwks: {error}").into())
}

/// Accepts the credentials that the flags name.
pub(crate) fn auth(callers: Callers, keys: Vec<KeySource>) -> Result<AuthLayer, Error> {
    let mut credentials = Vec::new();
    for (issuer, keys) in callers.issuers.into_iter().zip(keys) {
        credentials.push(jwt(issuer, keys)?.into());
    }
    if let Some(file) = &callers.api_keys {
        let keys = ApiKeys::file(file.as_path());
        credentials.push(keys.map_err(|error| format!("--api-keys: {error}"))?.into());
    }
    let layer = credentials.into_iter().fold(None, |layer: Option<AuthLayer>, one: Credential| {
        Some(match layer {
            None => AuthLayer::new(one),
            Some(layer) => layer.or(one),
        })
    });
    layer.ok_or_else(|| "no way for callers to authenticate".into())
}

/// Accepts tokens of an issuer with an accepted audience and all required scopes.
fn jwt(issuer: Issuer, keys: KeySource) -> Result<Jwt, Error> {
    let Issuer { url, preset, audiences, scopes, tenant_claim, leeway, .. } = issuer;
    let mut audiences = audiences.into_iter();
    let first = audiences.next().ok_or("--audience is missing")?;
    let mut jwt =
        Jwt::new(keys, url, first).additional_audiences(audiences).required_scopes(scopes)?;
    if let Some(preset) = preset {
        jwt = jwt.provider(preset).map_err(|error| format!("--preset: {error}"))?;
    }
    if let Some(claim) = tenant_claim {
        jwt = jwt.claims(ClaimMapping::new().tenant(claim));
    }
    Ok(match leeway {
        Some(leeway) => jwt.leeway(leeway),
        None => jwt,
    })
}
