//! The upstream: where it is, and the token that it takes.

use tower_inference::hf::{HfTokenLayer, Origin, TokenSource};

use crate::{
    Error,
    args::{self, TokenPlace},
    demo::Demo,
};

/// Sends requests to the upstream that the flags name.
pub(crate) fn real(upstream: args::Upstream) -> Result<HfTokenLayer, Error> {
    let args::Upstream { url, token } = upstream;
    let origin = Origin::new(&url).map_err(|error| format!("--upstream: {error}"))?;
    let token = match token {
        TokenPlace::Env(name) => {
            TokenSource::env(&name).map_err(|error| format!("--hf-token-env: {error}"))?
        }
        TokenPlace::File(file) => TokenSource::file(&file)
            .map_err(|error| format!("--hf-token-file {}: {error}", file.display()))?,
    };
    Ok(HfTokenLayer::new(origin, token))
}

/// Sends requests to the demo's.
pub(crate) fn of(demo: &Demo) -> Result<HfTokenLayer, Error> {
    let origin = Origin::new(&demo.upstream)?;
    Ok(HfTokenLayer::new(origin, TokenSource::value(demo.upstream_token.clone())?))
}
