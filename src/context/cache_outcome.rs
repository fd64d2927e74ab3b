/// How the cache took part in a response.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum CacheOutcome {
    /// The response came from the cache.
    Hit,
    /// The upstream was called for this request.
    Miss,
    /// The request shares the upstream call of an earlier request.
    Collapsed,
    /// The request cannot be cached.
    Bypass,
}

impl CacheOutcome {
    /// Every outcome, for tables and tests.
    pub const ALL: &'static [Self] = &[Self::Hit, Self::Miss, Self::Collapsed, Self::Bypass];

    /// Returns the stable name that the access log writes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Bypass => "bypass",
        }
    }

    /// Returns the code for an atomic field, where 0 is no cache.
    #[cfg(any(feature = "cache", feature = "test-util"))]
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Hit => 1,
            Self::Miss => 2,
            Self::Collapsed => 3,
            Self::Bypass => 4,
        }
    }

    pub(super) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Hit),
            2 => Some(Self::Miss),
            3 => Some(Self::Collapsed),
            4 => Some(Self::Bypass),
            _ => None,
        }
    }
}
