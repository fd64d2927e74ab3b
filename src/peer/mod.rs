//! The address of a client, at the connection or behind proxies.
//!
//! [`PeerAddress`] says where layers find the address. Without proxies in front, nothing needs to be
//! set but the extension: the server puts the [`SocketAddr`] of the connection into each request.

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

/// The most elements of a field that are looked at, empty ones included: more proxies than stand
/// behind one another anywhere.
const MAX_HOPS: usize = 16;

/// Where the address of a peer is found: at the connection, or, behind proxies that are named, in the
/// field that they write.
///
/// An IPv4 address that is mapped into IPv6 (RFC 4291 section 2.5.5.2) is the IPv4 address. Of IPv6
/// the first 64 bits count, since that much is one subscriber's (RFC 6177).
///
/// ```
/// use tower_inference::peer::{ForwardedField, NetworkError, PeerAddress};
///
/// # fn main() -> Result<(), NetworkError> {
/// let address = PeerAddress::connection()
///     .behind(ForwardedField::XForwardedFor, ["10.0.0.0/8", "fd00::/8"])?;
/// # let _ = address;
/// assert!(PeerAddress::connection().behind(ForwardedField::Forwarded, ["10.0.0.1/8"]).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PeerAddress {
    read: Arc<Read>,
    behind: Option<(ForwardedField, Arc<[Network]>)>,
    ipv4_prefix: u8,
    ipv6_prefix: u8,
}

type Read = dyn Fn(&Extensions) -> Option<IpAddr> + Send + Sync;

/// The field in which proxies say whom they speak for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ForwardedField {
    /// `forwarded` (RFC 7239), its parameter `for`.
    Forwarded,
    /// `x-forwarded-for`: addresses, of IPv6 in brackets or not, with a port or without.
    XForwardedFor,
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
        Self {
            read: Arc::new(move |extensions| extensions.get::<T>().map(&read)),
            behind: None,
            ipv4_prefix: 32,
            ipv6_prefix: 64,
        }
    }

    /// Believes `field` where the connection comes from one of these networks: `10.0.0.0/8`,
    /// `fd00::/8`, or an address alone. The other field is never read.
    ///
    /// It is read from the right, where each proxy has added whom it heard from: the first address
    /// that is no proxy's is the peer's. What is left of it was sent by strangers, and changes
    /// nothing. An element that cannot be read, `unknown` or a made-up name (RFC 7239 section 6) ends
    /// the search, and so do 16 elements: the last proxy's address counts. Takes the place of what was
    /// set before.
    ///
    /// Each proxy must add to the field, or write it anew: one that passes it on as it came lets
    /// callers choose their address.
    ///
    /// # Errors
    ///
    /// When one is no network, or has bits beyond its prefix.
    pub fn behind<T: AsRef<str>>(
        self,
        field: ForwardedField,
        proxies: impl IntoIterator<Item = T>,
    ) -> Result<Self, NetworkError> {
        let networks = proxies.into_iter().map(|text| Network::parse(text.as_ref()));
        let networks = networks.collect::<Result<_, _>>()?;
        Ok(Self { behind: Some((field, networks)), ..self })
    }

    /// Sets how many bits of an IPv4 address count: 32 by default, and at most. With 0 all share one
    /// counter.
    #[must_use]
    pub fn ipv4_prefix(self, bits: u8) -> Self {
        Self { ipv4_prefix: bits.min(32), ..self }
    }

    /// Sets how many bits of an IPv6 address count: 64 by default, 128 at most. With 0 all share one
    /// counter.
    #[must_use]
    pub fn ipv6_prefix(self, bits: u8) -> Self {
        Self { ipv6_prefix: bits.min(128), ..self }
    }

    /// The bytes that tell this peer from others; `None` when no address is known.
    pub(crate) fn of(&self, extensions: &Extensions, headers: &HeaderMap) -> Option<[u8; 16]> {
        let connection = (self.read)(extensions)?.to_canonical();
        Some(self.bytes_of(self.peer(connection, headers)))
    }

    /// The bytes that tell this address from others: those of its prefix.
    pub(crate) fn bytes_of(&self, address: IpAddr) -> [u8; 16] {
        let bits = match address.to_canonical() {
            IpAddr::V4(_) => self.ipv4_prefix.saturating_add(96),
            IpAddr::V6(_) => self.ipv6_prefix,
        };
        (network::bits(address) & network::mask(bits)).to_be_bytes()
    }

    /// Walks from the connection to the left while there are proxies.
    fn peer(&self, connection: IpAddr, headers: &HeaderMap) -> IpAddr {
        let Some((field, proxies)) = &self.behind else { return connection };
        let mut address = connection;
        let mut elements = headers
            .get_all(field.name())
            .iter()
            .rev()
            .flat_map(|value| forwarded::from_the_right(value.as_bytes()))
            .take(MAX_HOPS)
            .filter(|element| !element.is_empty());
        while proxies.iter().any(|proxy| proxy.holds(address)) {
            let heard_from = elements.next().and_then(|element| match field {
                ForwardedField::Forwarded => forwarded::forwarded(element),
                ForwardedField::XForwardedFor => forwarded::x_forwarded_for(element),
            });
            match heard_from {
                Some(next) => address = next.to_canonical(),
                None => break,
            }
        }
        address
    }
}

impl ForwardedField {
    const fn name(self) -> HeaderName {
        match self {
            Self::Forwarded => FORWARDED,
            Self::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
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
