//! Authentication of callers.

use std::collections::BTreeSet;

use axum::http::Uri;
use tower_inference::{
    auth::{
        ApiKeys, AuthLayer, ClaimMapping, Credential, Jwt, KeySource, RemoteKeys, ResourceMetadata,
        aws_iam::{SigV4, SigningCredentials, StsIdentity},
    },
    client::HttpsClient,
    peer::PeerAddress,
};

use crate::{
    Error,
    args::{
        Callers,
        callers::{Iam, Issuer, Keys, Sts},
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
    keys.map_err(|error| format!("--issuer {}: {error}", issuer.url).into())
}

/// Returns the document that tells clients where tokens come from.
pub(crate) fn metadata(callers: &Callers) -> Result<Option<ResourceMetadata>, Error> {
    let Some(url) = &callers.public_url else { return Ok(None) };
    let metadata = ResourceMetadata::new(url).map_err(|error| format!("--public-url: {error}"))?;
    let issuers = callers.issuers.iter().map(|issuer| issuer.url.as_str());
    let scopes: BTreeSet<_> = callers.issuers.iter().flat_map(|issuer| &issuer.scopes).collect();
    Ok(Some(metadata.authorization_servers(issuers).scopes(scopes.into_iter().map(String::as_str))))
}

/// Accepts the credentials that the flags name. `peer` finds the addresses that calls of STS are counted
/// by.
pub(crate) fn auth(
    callers: Callers,
    keys: Vec<KeySource>,
    metadata: Option<&ResourceMetadata>,
    peer: PeerAddress,
) -> Result<AuthLayer, Error> {
    let mut credentials = Vec::new();
    for (issuer, keys) in callers.issuers.into_iter().zip(keys) {
        credentials.push(jwt(issuer, keys)?.into());
    }
    if let Some(file) = &callers.api_keys {
        let keys = ApiKeys::file(file.as_path());
        credentials.push(keys.map_err(|error| format!("--api-keys: {error}"))?.into());
    }
    if let Some(iam) = callers.iam {
        credentials.push(sigv4(iam, callers.public_url.as_deref())?.into());
    }
    if let Some(sts) = &callers.sts {
        credentials.push(sts_identity(sts)?.peer_address(peer).into());
    }
    let layer = credentials.into_iter().fold(None, |layer: Option<AuthLayer>, one: Credential| {
        Some(match layer {
            None => AuthLayer::new(one),
            Some(layer) => layer.or(one),
        })
    });
    let layer = layer.ok_or(
        "no way for callers to authenticate: give --issuer, --api-keys, --iam-credentials or \
         --sts-server-id",
    )?;
    Ok(match metadata {
        None => layer,
        Some(metadata) => layer.resource_metadata(metadata),
    })
}

/// Accepts signatures for the public address, or for each host without one.
fn sigv4(flags: Iam, public_url: Option<&str>) -> Result<SigV4, Error> {
    let Iam { credentials, region } = flags;
    let named = |error| format!("--iam-credentials {}: {error}", credentials.display());
    let sigv4 = SigV4::new(region, SigningCredentials::file(credentials.as_path()));
    let sigv4 = sigv4.map_err(named)?;
    let url = public_url.map(str::parse::<Uri>).transpose()?;
    Ok(match url.as_ref().and_then(Uri::authority) {
        None => sigv4,
        Some(host) => sigv4.hosts([host.as_str()]),
    })
}

/// Accepts roles of AWS accounts that AWS STS confirms.
fn sts_identity(flags: &Sts) -> Result<StsIdentity, Error> {
    let client = HttpsClient::builder().build()?;
    let sts = StsIdentity::new(&flags.server_id, &flags.accounts, client);
    let sts = sts.map_err(|error| format!("--sts-server-id or --sts-accounts: {error}"))?;
    match &flags.endpoint {
        None => Ok(sts),
        Some(url) => {
            sts.sts_endpoint(url).map_err(|error| format!("--sts-endpoint: {error}").into())
        }
    }
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
