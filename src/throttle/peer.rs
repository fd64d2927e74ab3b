use std::{fmt, net::IpAddr, net::SocketAddr, sync::Arc};

use http::{Extensions, HeaderMap};

/// Where the address of a peer is found.
#[derive(Clone)]
pub struct PeerAddress {
    read: Arc<dyn Fn(&Extensions) -> Option<IpAddr> + Send + Sync>,
}

impl PeerAddress {
    /// From the extension of type [`SocketAddr`], which whoever accepts the connection puts into
    /// each request.
    #[must_use]
    pub fn connection() -> Self {
        Self::extension(|address: &SocketAddr| address.ip())
    }

    /// From an extension of another type, such as axum's `ConnectInfo<SocketAddr>`.
    pub fn extension<T: Send + Sync + 'static>(
        read: impl Fn(&T) -> IpAddr + Send + Sync + 'static,
    ) -> Self {
        Self { read: Arc::new(move |extensions| extensions.get::<T>().map(&read)) }
    }

    /// The bytes that tell this peer from others; `None` when no address is known.
    pub(super) fn of(&self, extensions: &Extensions, _headers: &HeaderMap) -> Option<[u8; 16]> {
        Some(self.bytes_of((self.read)(extensions)?))
    }

    /// The bytes that tell this address from others.
    #[expect(clippy::unused_self, reason = "prefixes are to come")]
    pub(super) const fn bytes_of(&self, address: IpAddr) -> [u8; 16] {
        match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        }
    }
}

impl fmt::Debug for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerAddress").finish_non_exhaustive()
    }
}
