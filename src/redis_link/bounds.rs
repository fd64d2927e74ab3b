use std::time::Duration;

/// The timeout for connecting with TLS and the slot map of a cluster.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Bounds on the replies of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes of one reply.
    pub(crate) max_reply: usize,
    /// Outstanding replies of one connection.
    pub(crate) max_waiting: usize,
}
