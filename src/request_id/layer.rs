use std::sync::Arc;

use http::{Extensions, HeaderMap};
use tower_layer::Layer;

use super::{service::RequestId, settings::Settings, trust::Trust};
use crate::{clock::SharedClock, context::Propagator, skip::Skip};

/// A layer that gives each request an id. See the [module docs](super) for an example.
#[derive(Clone, Debug, Default)]
pub struct RequestIdLayer {
    settings: Arc<Settings>,
}

impl RequestIdLayer {
    /// Creates a layer that trusts no inbound id.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the peers for which `is_trusted` returns true: keeps their ids, and believes the flag
    /// `sampled` of their traces.
    ///
    /// A load balancer that numbers requests itself is such a peer. A peer that may choose ids can
    /// make the records of two requests look like one. Defaults to no peer.
    ///
    /// The function runs only when a well-formed id or trace is there. It recognises the peer by an
    /// extension that the server set, such as its address or certificate. It may also read a header that
    /// the load balancer removes from client requests.
    ///
    /// ```
    /// use std::net::SocketAddr;
    /// use tower_inference::request_id::RequestIdLayer;
    ///
    /// let layer = RequestIdLayer::new().trust_inbound(|extensions, _headers| {
    ///     extensions.get::<SocketAddr>().is_some_and(|peer| peer.ip().is_loopback())
    /// });
    /// # drop(layer);
    /// ```
    #[must_use]
    pub fn trust_inbound(
        self,
        is_trusted: impl Fn(&Extensions, &HeaderMap) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.set(|settings| settings.trust = Trust::of(is_trusted))
    }

    /// Trusts all peers.
    ///
    /// An id then no longer identifies one request, because a client can repeat any id. Use it for a
    /// service that only trusted peers can reach.
    #[must_use]
    pub fn dangerous_trust_all_peers(self) -> Self {
        self.trust_inbound(|_, _| true)
    }

    /// Returns the id in the response header `x-amzn-requestid` too, as API Gateway does. Clients that
    /// were made for API Gateway show it.
    #[must_use]
    pub fn amzn_request_id(self) -> Self {
        self.set(|settings| settings.amzn_request_id = true)
    }

    /// Starts a trace for each request without one, so that the upstream always gets a `traceparent`.
    ///
    /// By default only a request that came with a `traceparent` has a trace.
    #[must_use]
    pub fn start_traces(self) -> Self {
        self.set(|settings| settings.start_traces = true)
    }

    /// Starts a new trace in place of that of a peer that is not [trusted](Self::trust_inbound), and
    /// drops its `tracestate`.
    ///
    /// An edge may do this (W3C Trace Context section 6.4): clients then cannot choose the trace ids of
    /// the systems behind it. By default the trace goes on, with its flag `sampled` cleared.
    #[must_use]
    pub fn restart_traces(self) -> Self {
        self.set(|settings| settings.restart_traces = true)
    }

    /// Forwards the header `baggage`. By default it is removed, because it may carry anything to the
    /// upstream (W3C Baggage section 4).
    #[must_use]
    pub fn forward_baggage(self) -> Self {
        self.set(|settings| settings.forward_baggage = true)
    }

    /// Sets what writes the trace headers in place of this layer, such as one for
    /// `tracing-opentelemetry`. Every request then has a trace.
    #[must_use]
    pub fn propagator(self, propagator: impl Propagator) -> Self {
        self.set(|settings| settings.propagator = Some(Arc::new(propagator)))
    }

    /// Sets the clock of the ids. Defaults to the system clock.
    #[must_use]
    pub fn clock(self, clock: SharedClock) -> Self {
        self.set(|settings| settings.ids.clock = clock)
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl<S> Layer<S> for RequestIdLayer {
    type Service = RequestId<S>;

    fn layer(&self, inner: S) -> RequestId<S> {
        RequestId::from_parts(inner, Some(Arc::clone(&self.settings)))
    }
}

impl<S> Skip<S> for RequestIdLayer {
    fn skip(inner: S) -> RequestId<S> {
        RequestId::from_parts(inner, None)
    }
}
