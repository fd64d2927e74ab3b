use std::{sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{service::Upstream, settings::Settings};
use crate::{peer::PeerAddress, rejection::RejectionFormat};

/// A layer that bounds the calls of an upstream. See the [module docs](super) for an example.
#[derive(Clone, Debug)]
pub struct UpstreamLayer {
    settings: Settings,
}

impl UpstreamLayer {
    /// Creates a layer with the default deadlines of the [module docs](super) and 1,024 slots.
    #[must_use]
    pub fn new() -> Self {
        Self { settings: Settings::default() }
    }

    /// Sets how long to wait for the head of the response. Connecting is included. A later head is
    /// a 504.
    ///
    /// Defaults to 5 minutes. A model that does not stream sends its head when it is done and
    /// reasoning takes minutes. API Gateway can be raised to the same. A client that gives up earlier
    /// ends the call. [`Duration::MAX`] waits without end.
    #[must_use]
    pub const fn head_timeout(mut self, timeout: Duration) -> Self {
        self.settings.deadlines.head = timeout;
        self
    }

    /// Sets how long to wait after the head for the first byte of the body.
    ///
    /// Defaults to 5 minutes. A server that streams sends its head at once. Its first token follows
    /// after the queue, the prompt and hidden reasoning. [`Duration::MAX`] waits without end.
    #[must_use]
    pub const fn first_byte_timeout(mut self, timeout: Duration) -> Self {
        self.settings.deadlines.first_byte = timeout;
        self
    }

    /// Sets how long to wait for more bytes of a body that has begun.
    ///
    /// Defaults to 5 minutes. Reasoning models pause for more than a minute within a stream. vLLM sends
    /// nothing meanwhile unless `--sse-keep-alive-interval` is set. llama.cpp sends comments since
    /// b9478. Envoy (`stream_idle_timeout`), the streams of API Gateway and the `fetch` of Node
    /// (undici's `bodyTimeout`) wait 5 minutes too. nginx (`proxy_read_timeout`) waits 1 minute, which
    /// operators raise for models. [`Duration::MAX`] waits without end.
    ///
    /// A server that hangs keeps its slot for this time. The keep-alive of the HTTP client (HTTP/2
    /// pings or TCP) detects a lost connection sooner.
    #[must_use]
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.settings.deadlines.idle = timeout;
        self
    }

    /// Sets how long a response may take from the call to the end of its body.
    ///
    /// Defaults to 15 minutes, as API Gateway does for a streamed response. [`Duration::MAX`] waits
    /// without end.
    #[must_use]
    pub const fn total_timeout(mut self, timeout: Duration) -> Self {
        self.settings.deadlines.total = timeout;
        self
    }

    /// Sets how many requests may be in flight at once. A request is in flight until its response
    /// body ends.
    ///
    /// Defaults to 1,024 over all services of this layer and of its later clones. This setter,
    /// [`max_queued`](Self::max_queued), [`queue_timeout`](Self::queue_timeout),
    /// [`caller_share`](Self::caller_share) and [`peer_address`](Self::peer_address) give the layer
    /// slots of its own. A request beyond the maximum waits in the queue or is rejected with 503 and
    /// `retry-after: 1`. Zero rejects every request.
    #[must_use]
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.settings.slots = self.settings.slots.bounds(|limit| limit.max_in_flight(requests));
        self
    }

    /// Sets how many requests may wait for a slot.
    ///
    /// Defaults to 0: a request without a slot is rejected at once. A short queue smooths bursts. In a
    /// long one requests wait whose clients have given up. A request that finds the queue full is
    /// rejected at once with 503 and `retry-after: 1`.
    #[must_use]
    pub fn max_queued(mut self, requests: usize) -> Self {
        self.settings.slots = self.settings.slots.bounds(|limit| limit.max_queued(requests));
        self
    }

    /// Sets how long a request may wait for a slot. A request that waits longer is rejected with
    /// `retry-after: 1`: with 429 if its caller is beyond its share, and with 503 otherwise.
    ///
    /// Defaults to 30 seconds. A wait never exceeds [`head_timeout`](Self::head_timeout) and
    /// [`total_timeout`](Self::total_timeout), which include it. [`Duration::MAX`] leaves these two.
    #[must_use]
    pub fn queue_timeout(mut self, timeout: Duration) -> Self {
        self.settings.slots = self.settings.slots.bounds(|limit| limit.queue_timeout(timeout));
        self
    }

    /// Sets the share of the [slots](Self::max_in_flight) in percent that one caller may take while
    /// fewer than a quarter of all slots are free. The same share of the [queue](Self::max_queued)
    /// holds for its waiting requests.
    ///
    /// Defaults to 25. Values above 100 mean 100. A caller may always take one slot. Set 100 for a
    /// gateway with a single caller, which otherwise leaves a quarter of the slots unused.
    #[must_use]
    pub fn caller_share(mut self, percent: u8) -> Self {
        self.settings.slots = self.settings.slots.bounds(|limit| limit.caller_share(percent));
        self
    }

    /// Sets how to find the address of a client. A request without an identity counts for its
    /// address.
    ///
    /// Defaults to [`PeerAddress::connection`]. Behind a proxy this is the address of the proxy for
    /// every client. Name the proxies with [`PeerAddress::behind`].
    #[must_use]
    pub fn peer_address(mut self, address: PeerAddress) -> Self {
        self.settings.slots = self.settings.slots.address(address);
        self
    }

    /// Sets the longest wait that a `retry-after` of the upstream may ask for. A longer one is
    /// shortened.
    ///
    /// Defaults to 60 seconds. The SDKs of OpenAI wait as long as a server asks for, which blocks a
    /// client for hours if the upstream is wrong. See [the module docs](super#busy-and-cold-upstreams).
    #[must_use]
    pub const fn max_retry_after(mut self, wait: Duration) -> Self {
        self.settings.max_retry_after = wait;
        self
    }

    /// Returns how many requests wait for a slot over all services of this layer.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.settings.slots.limit.waiting()
    }

    /// Returns how many requests are in flight over all services of this layer.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.settings.slots.limit.taken()
    }

    pub(crate) fn slots(&self) -> usize {
        self.settings.slots.limit.max()
    }

    /// Sets the format of rejections. Defaults to [`RejectionFormat::Problem`].
    #[must_use]
    pub const fn rejections(mut self, format: RejectionFormat) -> Self {
        self.settings.format = format;
        self
    }
}

impl Default for UpstreamLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for UpstreamLayer {
    type Service = Upstream<S>;

    fn layer(&self, inner: S) -> Upstream<S> {
        Upstream::from_parts(inner, Arc::new(self.settings.clone()))
    }
}
