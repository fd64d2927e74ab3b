/// The state of an upstream that did not serve a request.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum UpstreamState {
    /// The upstream serves other requests. Waiting helps.
    Busy,
    /// The model is loading, or the endpoint scales up from zero. Waiting helps, for minutes at times.
    Starting,
    /// The endpoint is paused. Waiting does not help, because only its owner can resume it.
    Paused,
}

impl UpstreamState {
    /// Returns the code of an optional state for an atomic field, where 0 is none.
    pub(super) const fn code(state: Option<Self>) -> u8 {
        match state {
            None => 0,
            Some(Self::Busy) => 1,
            Some(Self::Starting) => 2,
            Some(Self::Paused) => 3,
        }
    }

    #[cfg(any(feature = "fallback", test))]
    pub(super) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Busy),
            2 => Some(Self::Starting),
            3 => Some(Self::Paused),
            _ => None,
        }
    }
}
