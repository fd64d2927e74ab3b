//! Authentication of callers.

use tower_inference::{
    auth::{AuthLayer, Jwt, KeySource, RemoteKeys},
    client::HttpsClient,
};

use crate::{
    Error,
    args::{Callers, Keys},
};

/// Returns the issuer's keys from a file, an address or discovery.
pub(crate) fn keys(callers: &Callers) -> Result<KeySource, Error> {
    let client = HttpsClient::builder().build()?;
    let remote = match &callers.keys {
        Keys::File(file) => {
            let keys = KeySource::file(file);
            return keys.map_err(|error| format!("--jwks: {error}").into());
        }
        Keys::Url(url) => RemoteKeys::jwks(url.as_str(), client),
        Keys::Discovered => RemoteKeys::discovery(callers.issuer.as_str(), client),
    };
    let keys = remote.cool_down(callers.keys_cooldown).build();
    keys.map_err(|error| format!("--issuer or --jwks: {error}").into())
}

/// Accepts tokens of the issuer with an accepted audience and all required scopes.
pub(crate) fn auth(callers: Callers, keys: KeySource) -> Result<AuthLayer, Error> {
    let Callers { issuer, audiences, scopes, tenant_claim, .. } = callers;
    let mut audiences = audiences.into_iter();
    let first = audiences.next().ok_or("--audience is missing")?;
    let jwt = Jwt::new(keys, issuer, first)
        .additional_audiences(audiences)
        .tenant_claim(tenant_claim)
        .required_scopes(scopes)?;
    Ok(AuthLayer::new(jwt))
}
