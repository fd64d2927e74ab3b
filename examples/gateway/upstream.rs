//! The upstreams: their origins, tokens and client, and the choice among them.

use axum::http::HeaderValue;
use tower_inference::{
    client::HttpsClient,
    fallback::{FallbackLayer, RetryBudget, Target},
    hf::{HfTokenLayer, Origin, OriginError, Stage, TokenSource},
    model::Profile,
    payload::Payload,
    upstream::UpstreamLayer,
};

use crate::{
    Error,
    args::{self, TokenPlace},
    demo::Demo,
};

/// The layers and the client that send requests upstream.
pub(crate) struct Way {
    /// `None` where every request has one attempt at the one upstream.
    pub(crate) fallback: Option<FallbackLayer>,
    pub(crate) hf_token: HfTokenLayer,
    pub(crate) client: HttpsClient<Payload>,
}

/// The upstreams in their order. There is at least one.
pub(crate) struct Upstreams {
    stages: Vec<Stage>,
    /// The profile of the first one, by which clients write their requests.
    pub(crate) profile: Profile,
    /// All addresses.
    pub(crate) addresses: String,
}

impl Upstreams {
    /// Opens the upstreams that the flags name.
    pub(crate) fn open(upstreams: &[args::Upstream]) -> Result<Self, Error> {
        let stages = upstreams.iter().map(open).collect::<Result<_, _>>()?;
        let profile = upstreams.first().map(profile).unwrap_or_default();
        let addresses: Vec<_> = upstreams.iter().map(|upstream| &*upstream.url).collect();
        Ok(Self { stages, profile, addresses: addresses.join(" ") })
    }

    /// Opens the demo's upstream.
    pub(crate) fn of(demo: &Demo) -> Result<Self, Error> {
        let token = TokenSource::value(demo.upstream_token.clone())?;
        let stage = Stage::new("demo", Origin::new(&demo.upstream)?, token);
        let (profile, addresses) = (Profile::compatible(), demo.upstream.clone());
        Ok(Self { stages: vec![stage], profile, addresses })
    }

    /// Returns the token layers, one for each upstream.
    pub(crate) fn layers(&self) -> impl Iterator<Item = HfTokenLayer> {
        self.stages.iter().cloned().map(HfTokenLayer::stage)
    }

    /// Returns the layer that chooses among the targets of a model.
    pub(crate) fn fallback(&self, settings: &args::Fallback) -> Option<FallbackLayer> {
        if !settings.is_needed(self.stages.len()) {
            return None;
        }
        // A model without an alias is tried at every upstream.
        let mut layer = FallbackLayer::new(self.stages.iter().cloned().map(Target::new));
        for alias in &settings.aliases {
            let targets = alias.targets.iter().filter_map(|target| {
                let stage = self.stages.get(target.upstream)?.clone();
                Some(Target::new(stage).model(&*target.model))
            });
            layer = layer.model(&*alias.name, targets);
        }
        if let Some(retries) = settings.retries {
            layer = layer.retries(retries);
        }
        if let Some(attempts) = settings.max_attempts {
            layer = layer.max_attempts(attempts);
        }
        if let Some(percent) = settings.budget {
            layer = layer.retry_budget(RetryBudget::new().percent(percent));
        }
        if let Some(time) = settings.cool_down {
            layer = layer.cool_down(time);
        }
        if let Some(time) = settings.max_cool_down {
            layer = layer.max_cool_down(time);
        }
        if let Some(timeout) = settings.first_content_timeout {
            layer = layer.first_content_timeout(timeout);
        }
        if let Some(timeout) = settings.wait_for_model {
            layer = layer.wait_for_model(timeout);
        }
        Some(if settings.hide_target { layer.without_target_header() } else { layer })
    }
}

/// Opens the upstream that the flags name.
fn open(upstream: &args::Upstream) -> Result<Stage, Error> {
    let args::Upstream { name, url, token, bill_to, .. } = upstream;
    // An error names the upstream among several.
    let of = name.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
    let origin = Origin::new(url).map_err(|error| match error {
        OriginError::PlainHttp(host) => format!(
            "--upstream{of}: plain http to {host}; this program needs https, except to this machine"
        ),
        error => format!("--upstream{of}: {error}"),
    })?;
    let token = match token {
        TokenPlace::Env(name) => {
            TokenSource::env(name).map_err(|error| format!("--hf-token-env{of}: {error}"))?
        }
        // The error has the path unless the path may be the token itself.
        TokenPlace::File(file) => {
            TokenSource::file(file).map_err(|error| format!("--hf-token-file{of}: {error}"))?
        }
    };
    let stage = Stage::new(name.as_deref().unwrap_or("default"), origin, token)
        .profile(profile(upstream))
        .known_paths_only();
    let Some(account) = bill_to else { return Ok(stage) };
    let account = HeaderValue::try_from(account);
    let account =
        account.map_err(|_| format!("--bill-to{of}: expected the name of an organisation"))?;
    Ok(stage.bill_to(account))
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
