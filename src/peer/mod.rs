//! Finds the address of a client, also behind proxies.
//!
//! Limits and load bounds count by the address of a client. The connection has that address unless a
//! proxy is in front. A [`PeerAddress`] reads it from an extension of the request and, behind
//! proxies that you name, from the header that they write. The server puts the [`SocketAddr`] of the
//! connection into the extensions of each request.

mod forwarded;
mod network;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::{Extensions, HeaderMap, HeaderName, header::FORWARDED};

use self::network::Network;
pub use self::network::NetworkError;

/// The maximum number of elements of a header that are read, including empty ones. Real chains of
/// proxies are shorter.
const MAX_HOPS: usize = 16;

/// The source of a client's address: the connection or a header that trusted proxies write.
///
/// An IPv4 address that is mapped into IPv6 (RFC 4291 section 2.5.5.2) counts as the IPv4 address. Two
/// IPv6 addresses with the same first 64 bits count as one client, because a subscriber has at least
/// that network (RFC 6177).
///
/// ```
/// use tower_inference::peer::{ForwardedHeader, NetworkError, PeerAddress};
///
/// # fn main() -> Result<(), NetworkError> {
/// let address = PeerAddress::connection()
///     .behind(ForwardedHeader::XForwardedFor, ["10.0.0.0/8", "fd00::/8"])?;
/// # let _ = address;
/// assert!(PeerAddress::connection().behind(ForwardedHeader::Forwarded, ["10.0.0.1/8"]).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PeerAddress {
    read: Arc<Read>,
    behind: Option<(ForwardedHeader, Arc<[Network]>)>,
    ipv4_prefix: u8,
    ipv6_prefix: u8,
}

type Read = dyn Fn(&Extensions) -> Option<IpAddr> + Send + Sync;

/// The header in which proxies report the address of their client.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// The parameter `for` of `forwarded` (RFC 7239).
    Forwarded,
    /// `x-forwarded-for`, a list of addresses. An address may have a port and IPv6 may have brackets.
    XForwardedFor,
}

impl PeerAddress {
    /// Reads the address from the extension of type [`SocketAddr`]. The server must put it into each
    /// request. `axum::serve` does not: use [`extension`](Self::extension) there. Requests without an
    /// address share one counter.
    #[must_use]
    pub fn connection() -> Self {
        Self::extension(|address: &SocketAddr| address.ip())
    }

    /// Reads the address from an extension of another type.
    ///
    /// Serve an axum router as `app.into_make_service_with_connect_info::<SocketAddr>()`:
    ///
    /// ```
    /// use std::net::SocketAddr;
    /// use axum::extract::ConnectInfo;
    /// use tower_inference::peer::PeerAddress;
    ///
    /// let peer = PeerAddress::extension(|ConnectInfo(peer): &ConnectInfo<SocketAddr>| peer.ip());
    /// ```
    pub fn extension<T: Send + Sync + 'static>(
        read: impl Fn(&T) -> IpAddr + Send + Sync + 'static,
    ) -> Self {
        Self {
            read: Arc::new(move |extensions| extensions.get::<T>().map(&read)),
            behind: None,
            ipv4_prefix: 32,
            ipv6_prefix: 64,
        }
    }

    /// Trusts `field` on connections from these proxies. A proxy is a network such as `10.0.0.0/8` or
    /// `fd00::/8` or a single address. Replaces an earlier setting.
    ///
    /// Each proxy appends the address of its client. The header is therefore read from the right. The
    /// first address that is not a proxy's is the client's. Elements to its left are not verified and
    /// have no effect. The search ends at an element without an address, such as `unknown` or an
    /// obfuscated name (RFC 7239 section 6), and after 16 elements. The last proxy's address counts then.
    /// The other header is never read.
    ///
    /// Each proxy must append to the header or overwrite it. A proxy that forwards it unchanged lets
    /// clients choose their address.
    ///
    /// # Errors
    ///
    /// Returned when a text is not an address or a network and when an address has bits beyond its
    /// prefix.
    pub fn behind<T: AsRef<str>>(
        self,
        field: ForwardedHeader,
        proxies: impl IntoIterator<Item = T>,
    ) -> Result<Self, NetworkError> {
        let networks = proxies.into_iter().map(|text| Network::parse(text.as_ref()));
        let networks = networks.collect::<Result<_, _>>()?;
        Ok(Self { behind: Some((field, networks)), ..self })
    }

    /// Sets how many leading bits of an IPv4 address count. Defaults to 32, which is also the maximum.
    /// With 0 all IPv4 clients count as one.
    #[must_use]
    pub fn ipv4_prefix(self, bits: u8) -> Self {
        Self { ipv4_prefix: bits.min(32), ..self }
    }

    /// Sets how many leading bits of an IPv6 address count. Defaults to 64. The maximum is 128. With 0
    /// all clients count as one.
    #[must_use]
    pub fn ipv6_prefix(self, bits: u8) -> Self {
        Self { ipv6_prefix: bits.min(128), ..self }
    }

    /// Returns the address of the client of a request. `None` when the request has none.
    pub(crate) fn address(&self, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
        let connection = (self.read)(extensions)?.to_canonical();
        Some(self.peer(connection, headers))
    }

    /// Returns bytes that identify the client of a request. `None` when the request has no address.
    #[cfg(any(feature = "auth", feature = "throttle", feature = "upstream"))]
    pub(crate) fn of(&self, extensions: &Extensions, headers: &HeaderMap) -> Option<[u8; 16]> {
        self.address(extensions, headers).map(|address| self.bytes_of(address))
    }

    /// Returns bytes that identify the client with this address: those of its prefix.
    #[cfg(any(feature = "auth", feature = "throttle", feature = "upstream"))]
    pub(crate) fn bytes_of(&self, address: IpAddr) -> [u8; 16] {
        let bits = match address.to_canonical() {
            IpAddr::V4(_) => self.ipv4_prefix.saturating_add(96),
            IpAddr::V6(_) => self.ipv6_prefix,
        };
        (network::bits(address) & network::mask(bits)).to_be_bytes()
    }

    /// Walks the header from the right while the addresses are those of proxies.
    fn peer(&self, connection: IpAddr, headers: &HeaderMap) -> IpAddr {
        let Some((field, proxies)) = &self.behind else { return connection };
        let is_proxy = |address: IpAddr| proxies.iter().any(|proxy| proxy.contains(address));
        // Before the look for the header, because many gateways have connections of clients alone.
        if !is_proxy(connection) {
            return connection;
        }
        let mut address = connection;
        let mut elements = headers
            .get_all(field.name())
            .iter()
            .rev()
            .flat_map(|value| forwarded::from_the_right(value.as_bytes()))
            .take(MAX_HOPS)
            .filter(|element| !element.is_empty());
        while is_proxy(address) {
            let reported = elements.next().and_then(|element| match field {
                ForwardedHeader::Forwarded => forwarded::forwarded(element),
                ForwardedHeader::XForwardedFor => forwarded::x_forwarded_for(element),
            });
            match reported {
                Some(next) => address = next.to_canonical(),
                None => break,
            }
        }
        address
    }
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl ForwardedHeader {
    const fn name(self) -> HeaderName {
        match self {
            Self::Forwarded => FORWARDED,
            Self::XForwardedFor => X_FORWARDED_FOR,
        }
    }
}

impl fmt::Debug for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerAddress")
            .field("behind", &self.behind)
            .field("ipv4_prefix", &self.ipv4_prefix)
            .field("ipv6_prefix", &self.ipv6_prefix)
            .finish_non_exhaustive()
    }
}
