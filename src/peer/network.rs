use std::{fmt, net::IpAddr};

use crate::error_debug::debug_as_message;

/// The addresses with one prefix. An IPv4 network is stored as the IPv6 network that maps it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Network {
    bits: u128,
    prefix: u8,
}

/// An error in the text of a network. Each variant has the text.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum NetworkError {
    /// The text is neither an address nor `address/prefix`.
    Malformed(Box<str>),
    /// The address has bits beyond the prefix: `10.0.0.1/8`.
    BitsBeyondPrefix(Box<str>),
}

impl Network {
    pub(super) fn parse(text: &str) -> Result<Self, NetworkError> {
        let malformed = || NetworkError::Malformed(text.into());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        let (most, before) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let prefix = match prefix {
            None => most,
            // `parse` would accept a sign.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= most).ok_or_else(malformed)?
            }
            Some(_) => return Err(malformed()),
        };
        let network = Self { bits: bits(address), prefix: before + prefix };
        if network.bits & !mask(network.prefix) != 0 {
            return Err(NetworkError::BitsBeyondPrefix(text.into()));
        }
        Ok(network)
    }

    pub(super) fn contains(self, address: IpAddr) -> bool {
        // `::/0` contains the mapped addresses, but its author means IPv6 only.
        let other_family = self.prefix < 96 && address.to_canonical().is_ipv4();
        !other_family && bits(address) & mask(self.prefix) == self.bits
    }
}

/// Returns the bits of an IPv6 address. An IPv4 address is mapped into IPv6 first.
pub(super) const fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Returns a mask of the first `prefix` of 128 bits.
pub(super) fn mask(prefix: u8) -> u128 {
    let rest = 128_u32.saturating_sub(u32::from(prefix));
    u128::MAX.checked_shl(rest).unwrap_or(0)
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(text) => write!(
                f,
                "`{text}` is neither an address nor a network, such as 10.0.0.7 or 10.0.0.0/8"
            ),
            Self::BitsBeyondPrefix(text) => write!(
                f,
                "`{text}` has bits beyond its prefix; write the first address of the network"
            ),
        }
    }
}

debug_as_message!(NetworkError);

impl std::error::Error for NetworkError {}
