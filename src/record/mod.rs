//! The record of a request, from which access log, metrics and audit trail are made.
//!
//! Two logs of one request that are made in two places disagree: one counts a stream that was cut as
//! a success, the other misses a client that left. Here one layer,
//! [`AccessLogLayer`](crate::access_log::AccessLogLayer), observes each request to its true end and
//! makes one [`Record`]. Each [`RecordSink`] renders it and computes nothing of its own.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::{BodyExt, Full};
//! use std::{convert::Infallible, sync::{Arc, Mutex}};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_inference::{
//!     access_log::AccessLogLayer,
//!     context::RequestContext,
//!     record::{Record, RecordSink, RequestOutcome},
//! };
//!
//! /// Counts what each cost center spends.
//! #[derive(Clone, Default)]
//! struct Spending(Arc<Mutex<Vec<(String, RequestOutcome)>>>);
//!
//! impl RecordSink for Spending {
//!     fn record(&self, record: &Record<'_>) {
//!         let center = record.added_values().iter().find(|(name, _)| *name == "cost_center");
//!         let center = center.map_or(String::new(), |(_, value)| value.to_string());
//!         self.0.lock().unwrap().push((center, record.outcome()));
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let spending = Spending::default();
//! let handler = service_fn(|request: Request<_>| async move {
//!     RequestContext::of(request.extensions()).unwrap().add_value("cost_center", "a17");
//!     Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello"))))
//! });
//! let service = AccessLogLayer::sink(spending.clone()).layer(handler);
//!
//! let response = service.oneshot(Request::new(())).await.unwrap();
//! response.into_body().collect().await.unwrap();
//! assert_eq!(*spending.0.lock().unwrap(), [("a17".to_owned(), RequestOutcome::Complete)]);
//! # }
//! ```

mod added;
mod body;
mod capture;
mod chunk_times;
mod cut;
mod error_type;
mod gen_ai;
mod needs;
mod observation;
mod outcome;
mod payload_digest;
#[expect(clippy::module_inception, reason = "the main type of the module")]
mod record;
mod response_facts;
mod sink;
mod spans;

pub use self::{
    body::{Excerpt, RecordedBody},
    gen_ai::{GenAiAttribute, GenAiConventions},
    needs::Needs,
    outcome::RequestOutcome,
    payload_digest::PayloadDigest,
    record::Record,
    sink::RecordSink,
};

pub(crate) use self::{
    added::{added_members, added_values},
    body::longest_secret,
    capture::Capture,
    gen_ai::operation_of_request,
    observation::Observation,
    outcome::Ends,
    spans::{finish as finish_span, open as open_span},
};
#[cfg(feature = "metrics")]
pub(crate) use self::{error_type::ErrorType, gen_ai::OTHER_PROVIDER};
