use std::fmt;

/// A layer of this crate that decides about a request.
///
/// The variants are in the order of a [`Stack`](crate::stack::Stack), the outermost first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Layer {
    /// `access_log`: the layer of the record. It rejects what a sink cannot record.
    AccessLog,
    /// `peer_throttle`: the throttle by address in front of authentication.
    PeerThrottle,
    /// `route`
    Route,
    /// `auth`
    Auth,
    /// `throttle`
    Throttle,
    /// `payload`
    Payload,
    /// `schema`
    Schema,
    /// `transform`
    Transform,
    /// `model_rules`
    ModelRules,
    /// `cache`
    Cache,
    /// `token_budget`
    TokenBudget,
    /// `fallback`
    Fallback,
    /// `upstream`
    Upstream,
    /// `hf_token`
    HfToken,
}

/// What a layer did with a request.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Decision {
    /// `passed`: the layer passed the request on.
    Passed,
    /// `rejected`: the layer rejected the request, or replaced the response by a rejection.
    Rejected,
    /// `responded`: the layer responded itself, as the cache does with a hit.
    Responded,
}

/// The decisions of the layers about one request.
///
/// A layer that the request did not reach has none. As a text it is `auth=passed throttle=rejected`
/// with the layers of this crate in the order of a [`Stack`](crate::stack::Stack) and those of the
/// program after them.
///
/// ```
/// use tower_inference::context::{Decision, RequestContext};
///
/// let context = RequestContext::new();
/// context.add_decision("guard", Decision::Passed);
/// assert_eq!(context.decisions().to_string(), "guard=passed");
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Decisions {
    passed: u32,
    rejected: u32,
    responded: u32,
    own: Vec<(&'static str, Decision)>,
}

/// As many decisions of its own layers as a program may add to a request. Later ones are dropped.
pub(super) const MAX_OWN: usize = 16;

// === impl Layer ===

impl Layer {
    /// Every layer, the outermost of a stack first.
    pub const ALL: &'static [Self] = &[
        Self::AccessLog,
        Self::PeerThrottle,
        Self::Route,
        Self::Auth,
        Self::Throttle,
        Self::Payload,
        Self::Schema,
        Self::Transform,
        Self::ModelRules,
        Self::Cache,
        Self::TokenBudget,
        Self::Fallback,
        Self::Upstream,
        Self::HfToken,
    ];

    /// Returns the stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessLog => "access_log",
            Self::PeerThrottle => "peer_throttle",
            Self::Route => "route",
            Self::Auth => "auth",
            Self::Throttle => "throttle",
            Self::Payload => "payload",
            Self::Schema => "schema",
            Self::Transform => "transform",
            Self::ModelRules => "model_rules",
            Self::Cache => "cache",
            Self::TokenBudget => "token_budget",
            Self::Fallback => "fallback",
            Self::Upstream => "upstream",
            Self::HfToken => "hf_token",
        }
    }

    /// Returns the bit of this layer in a set of layers.
    pub(super) const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Decision ===

impl Decision {
    /// Every decision, for tables and tests.
    pub const ALL: &'static [Self] = &[Self::Passed, Self::Rejected, Self::Responded];

    /// Returns the stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Rejected => "rejected",
            Self::Responded => "responded",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Decisions ===

impl Decisions {
    pub(super) const fn new(
        passed: u32,
        rejected: u32,
        responded: u32,
        own: Vec<(&'static str, Decision)>,
    ) -> Self {
        Self { passed, rejected, responded, own }
    }

    /// Returns the decision of a layer of this crate. `None` when the request did not reach it.
    #[must_use]
    pub const fn of(&self, layer: Layer) -> Option<Decision> {
        let bit = layer.bit();
        if self.rejected & bit != 0 {
            Some(Decision::Rejected)
        } else if self.responded & bit != 0 {
            Some(Decision::Responded)
        } else if self.passed & bit != 0 {
            Some(Decision::Passed)
        } else {
            None
        }
    }

    /// Returns the name of the innermost layer that rejected the request. The layers outside of it
    /// passed its rejection on.
    #[must_use]
    pub fn rejected_by(&self) -> Option<&'static str> {
        let mut rejected = self.iter().filter(|(_, decision)| *decision == Decision::Rejected);
        let first = rejected.next();
        rejected.next_back().or(first).map(|(name, _)| name)
    }

    /// Returns the decisions by the names of their layers. Those of the program come last.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&'static str, Decision)> {
        let own = self.own.iter().copied();
        let known = Layer::ALL.iter().filter_map(|layer| Some((layer.as_str(), self.of(*layer)?)));
        known.chain(own)
    }

    /// Returns whether no layer has decided yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.passed | self.rejected | self.responded == 0 && self.own.is_empty()
    }
}

impl fmt::Display for Decisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (name, decision)) in self.iter().enumerate() {
            if number > 0 {
                f.write_str(" ")?;
            }
            for letter in name.chars() {
                // A space or a sign would be read as the end of the name.
                let is_plain = letter.is_ascii_graphic() && !matches!(letter, '=' | '"' | '\\');
                fmt::Write::write_char(f, if is_plain { letter } else { '_' })?;
            }
            write!(f, "={decision}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_has_a_place_of_its_own() {
        let bits = Layer::ALL.iter().fold(0_u32, |bits, layer| {
            assert_eq!(bits & layer.bit(), 0, "{layer}");
            bits | layer.bit()
        });
        assert_eq!(bits.count_ones() as usize, Layer::ALL.len());
        assert!(Layer::ALL.is_sorted());
    }

    #[test]
    fn decisions_are_one_line() {
        let decisions = Decisions::new(
            Layer::Auth.bit() | Layer::Throttle.bit(),
            Layer::Throttle.bit(),
            0,
            vec![("my guard=\n\"x", Decision::Responded)],
        );
        assert_eq!(decisions.to_string(), "auth=passed throttle=rejected my_guard___x=responded");
        assert_eq!(decisions.rejected_by(), Some("throttle"));
        assert_eq!(decisions.of(Layer::Cache), None);
        assert!(!decisions.is_empty() && Decisions::default().is_empty());
        assert_eq!(Decisions::default().rejected_by(), None);
    }
}
