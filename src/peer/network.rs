use std::{fmt, net::IpAddr};

/// Addresses with one prefix. IPv4 lies where IPv6 maps it, so that both spellings are one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Network {
    bits: u128,
    prefix: u8,
}

/// Why a network cannot be what it says. Each holds the text.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum NetworkError {
    /// Neither an address nor `address/prefix`.
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
            // `parse` takes a sign, too.
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

    pub(super) fn holds(self, address: IpAddr) -> bool {
        // A network of IPv6 that is wide enough for the mapped addresses does not mean those of IPv4.
        let other_family = self.prefix < 96 && address.to_canonical().is_ipv4();
        !other_family && bits(address) & mask(self.prefix) == self.bits
    }
}

/// The bits of an address of IPv6, or of one of IPv4 where IPv6 maps it.
pub(super) const fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The first so many of 128 bits.
pub(super) fn mask(prefix: u8) -> u128 {
    let rest = 128_u32.saturating_sub(u32::from(prefix));
    u128::MAX.checked_shl(rest).unwrap_or(0)
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(text) => write!(f, "`{text}` is neither an address nor a network"),
            Self::BitsBeyondPrefix(text) => write!(f, "`{text}` has bits beyond its prefix"),
        }
    }
}

impl std::error::Error for NetworkError {}
