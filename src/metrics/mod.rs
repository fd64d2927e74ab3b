//! Metrics of requests, tokens and layers by the `metrics` facade.
//!
//! Dashboards of a gateway need the same facts as its access log, and they disagree with it when both
//! are counted in different places. [`Metrics`] is a sink of
//! [`AccessLogLayer`](crate::access_log::AccessLogLayer): it counts each request once, at its true end.
//! The program chooses the recorder, such as `metrics-exporter-prometheus`, and installs it.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_inference::{access_log::AccessLogLayer, context::RequestContext, metrics::Metrics};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let metrics = Metrics::new();
//! let recorder = metrics.buckets().try_fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
//!     builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
//! });
//! let recorder = recorder?.build_recorder();
//! let page = recorder.handle();
//!
//! let handler = service_fn(|request: Request<_>| async move {
//!     RequestContext::of(request.extensions()).unwrap().set_route("chat");
//!     Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello"))))
//! });
//! // The first sink writes lines, the second one counts.
//! let service = AccessLogLayer::new().and(metrics).layer(handler);
//!
//! // A program calls `metrics::set_global_recorder(recorder)` instead.
//! metrics::with_local_recorder(&recorder, || {
//!     let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
//!     runtime.block_on(async {
//!         let response = service.oneshot(Request::new(())).await.unwrap();
//!         response.into_body().collect().await.unwrap();
//!     });
//! });
//! let page = page.render();
//! assert!(page.contains("tower_inference_response_bytes_total{route=\"chat\"} 5"), "{page}");
//! # Ok(())
//! # }
//! ```
//!
#![doc = include_str!("../docs/metrics.md")]

pub mod buckets;
mod cell;
mod cells;
mod end;
mod info;
mod kind;
mod label;
mod live;
mod names;
mod register;
mod sink;
mod slots;
mod table;
mod timing;
mod tokens;

pub use self::{
    info::{MetricInfo, MetricKind, MetricUnit},
    names::Names,
    sink::Metrics,
};
pub(crate) use self::{label::Label, table::Metric};
