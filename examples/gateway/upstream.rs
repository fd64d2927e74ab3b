//! The upstream: its origin, its token and its client.

use tower_inference::{
    client::HttpsClient,
    hf::{HfTokenLayer, Origin, OriginError, TokenSource},
    model::Profile,
    payload::Payload,
    upstream::UpstreamLayer,
};

use crate::{
    Error,
    args::{self, TokenPlace},
    demo::Demo,
};

/// The layer and the client that send requests upstream.
pub(crate) struct Way {
    pub(crate) hf_token: HfTokenLayer,
    pub(crate) client: HttpsClient<Payload>,
}

/// Returns the token layer for the upstream that the flags name.
pub(crate) fn real(upstream: args::Upstream, profile: &Profile) -> Result<HfTokenLayer, Error> {
    let args::Upstream { url, token, .. } = upstream;
    let origin = Origin::new(&url).map_err(|error| match error {
        OriginError::PlainHttp(host) => format!(
            "--upstream: plain http to {host}; this program needs https, except to this machine"
        ),
        error => format!("--upstream: {error}"),
    })?;
    let token = match token {
        TokenPlace::Env(name) => {
            TokenSource::env(&name).map_err(|error| format!("--hf-token-env: {error}"))?
        }
        // The error has the path unless the path may be the token itself.
        TokenPlace::File(file) => {
            TokenSource::file(file).map_err(|error| format!("--hf-token-file: {error}"))?
        }
    };
    Ok(HfTokenLayer::new(origin, token).profile(profile.clone()))
}

/// Returns the profile of the upstream that the flags name.
pub(crate) fn profile(upstream: &args::Upstream) -> Profile {
    args::profile::of(upstream.profile, &upstream.url)
}

/// Returns the client for the upstream.
pub(crate) fn client(client: args::Client) -> Result<HttpsClient<Payload>, Error> {
    let args::Client { keep_alive, retry, connect_timeout, deadlines: _ } = client;
    let mut builder = HttpsClient::builder();
    if let Some(keep_alive) = keep_alive {
        builder = builder.pool_idle_timeout(keep_alive);
    }
    if let Some(timeout) = connect_timeout {
        builder = builder.connect_timeout(timeout);
    }
    if let Some(retry) = retry {
        builder = builder.retry_window(retry);
    }
    Ok(builder.build()?)
}

/// Returns the upstream layer with the timeouts of the flags.
pub(crate) fn layer(deadlines: args::Deadlines) -> UpstreamLayer {
    let args::Deadlines { head, first_byte, idle, total } = deadlines;
    let mut layer = UpstreamLayer::new();
    if let Some(timeout) = head {
        layer = layer.head_timeout(timeout);
    }
    if let Some(timeout) = first_byte {
        layer = layer.first_byte_timeout(timeout);
    }
    if let Some(timeout) = idle {
        layer = layer.idle_timeout(timeout);
    }
    if let Some(timeout) = total {
        layer = layer.total_timeout(timeout);
    }
    layer
}

/// Returns the token layer for the demo's upstream.
pub(crate) fn of(demo: &Demo) -> Result<HfTokenLayer, Error> {
    let origin = Origin::new(&demo.upstream)?;
    Ok(HfTokenLayer::new(origin, TokenSource::value(demo.upstream_token.clone())?))
}
