//! Metrics for Prometheus, on a listener of their own.

use std::{convert::Infallible, fmt, future::pending, sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    http::{Request, Response, StatusCode},
};
use http_body_util::Full;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::{net::TcpListener, time::interval};
use tower_inference::{access_log::Sink, audit::AuditLog, metrics::Metrics, stack::Snapshot};

use crate::{
    Error,
    args::{Admin, Serve},
    http::RequestBody,
    output::Output,
    probes::OpenRoutes,
    serve::Server,
};

/// How often the exporter moves the values of histograms into their buckets. It keeps each of them
/// until then.
const UPKEEP: Duration = Duration::from_secs(5);

/// The recorder of the process. There is one, because the facade is global.
#[derive(Clone)]
pub(crate) struct Monitor {
    pub(crate) metrics: Metrics,
    page: PrometheusHandle,
}

impl Monitor {
    /// Installs the recorder. Call it once, before the first request.
    pub(crate) fn install() -> Result<Self, Error> {
        let metrics = Metrics::new();
        // Without buckets a histogram would be a summary, which cannot be summed over replicas.
        let builder =
            metrics.buckets().try_fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
                builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
            })?;
        let recorder = builder.build_recorder();
        let page = recorder.handle();
        metrics::set_global_recorder(recorder)?;
        Ok(Self { metrics, page })
    }

    /// Runs the upkeep of the exporter for ever.
    pub(crate) async fn upkeep(self) {
        let mut ticks = interval(UPKEEP);
        loop {
            ticks.tick().await;
            self.page.run_upkeep();
        }
    }
}

/// What is read before each scrape.
#[derive(Clone)]
pub(crate) struct Page {
    monitor: Monitor,
    state: Arc<dyn Fn() -> Vec<Snapshot> + Send + Sync>,
    logs: Vec<(&'static str, Sink)>,
    audit: Option<AuditLog>,
}

impl Page {
    pub(crate) fn new(
        monitor: Monitor,
        state: impl Fn() -> Vec<Snapshot> + Send + Sync + 'static,
        logs: Vec<(&'static str, Sink)>,
        audit: Option<AuditLog>,
    ) -> Self {
        Self { monitor, state: Arc::new(state), logs, audit }
    }

    /// Returns the exposition of this moment.
    pub(crate) fn render(&self) -> String {
        let Monitor { metrics, page } = &self.monitor;
        (self.state)().iter().for_each(|snapshot| snapshot.publish(metrics));
        for (name, log) in &self.logs {
            metrics.dropped_lines(name, log.dropped_lines());
        }
        if let Some(audit) = &self.audit {
            metrics.audit_lag(audit.lag().try_into().unwrap_or(u64::MAX));
            metrics.audit_lost(audit.lost_records());
        }
        page.render()
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").finish_non_exhaustive()
    }
}

/// Binds the address. One that other machines can reach needs to be asked for, because anybody who
/// reaches it reads the metrics.
pub(crate) async fn bind(admin: &Admin) -> Result<TcpListener, Error> {
    let Admin { listen, remote } = admin;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| format!("cannot listen on --admin {listen}: {error}"))?;
    if !remote && !listener.local_addr()?.ip().is_loopback() {
        return Err(format!(
            "--admin {listen}: other machines can reach this address, and it needs no token; add \
             --admin-remote if that is meant"
        )
        .into());
    }
    Ok(listener)
}

/// Serves the open routes alone until the program ends.
pub(crate) async fn serve(listener: TcpListener, settings: AdminServer, open: OpenRoutes) {
    settings.0.run(listener, tower::service_fn(not_found), open, pending).await;
}

/// The server of the listener, which has few connections.
pub(crate) struct AdminServer(Server);

impl AdminServer {
    pub(crate) fn new(settings: &Serve, output: Output) -> Self {
        const CONNECTIONS: usize = 64;
        Self(Server::new(None, settings, output).max_connections(CONNECTIONS))
    }
}

async fn not_found(_: Request<RequestBody>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NOT_FOUND;
    Ok(response)
}
