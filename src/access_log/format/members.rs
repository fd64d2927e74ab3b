//! The members of a JSON line and of an event, and the choice among them.

use super::error::FormatError;
use crate::record::Needs;

macro_rules! members {
    ($($member:ident $name:literal,)*) => {
        /// A member. A member of a nested object has the name of the object before a dot.
        #[derive(Clone, Copy)]
        #[repr(u8)]
        pub(crate) enum Member {
            $($member,)*
        }

        const NAMES: &[&str] = &[$($name),*];
    };
}

members! {
    Time "time",
    RequestId "request_id",
    TraceId "trace_id",
    SpanId "span_id",
    ParentSpanId "parent_span_id",
    AmznTraceId "amzn_trace_id",
    PrincipalProof "principal.proof",
    PrincipalIssuer "principal.issuer",
    PrincipalSubject "principal.subject",
    Tenant "tenant",
    CredentialId "credential_id",
    ClientAddress "client_address",
    Method "method",
    Path "path",
    HttpVersion "http_version",
    UserAgent "user_agent",
    Route "route",
    Stage "stage",
    Status "status",
    GrpcStatus "grpc_status",
    Refusal "refusal",
    Limit "limit",
    LimitShadow "limit_shadow",
    Cache "cache",
    Outcome "outcome",
    BytesIn "bytes_in",
    BytesOut "bytes_out",
    HeadUs "head_us",
    FirstByteUs "first_byte_us",
    FirstTokenUs "first_token_us",
    UpstreamUs "upstream_us",
    TotalUs "total_us",
    Upstream "upstream",
    UpstreamStatus "upstream_status",
    UpstreamRequestId "upstream_request_id",
    Attempts "attempts",
    AttemptTarget "attempt_list.target",
    AttemptUpstream "attempt_list.upstream",
    AttemptStatus "attempt_list.status",
    AttemptUpstreamRequestId "attempt_list.upstream_request_id",
    AttemptStartedUs "attempt_list.started_us",
    AttemptDurationUs "attempt_list.duration_us",
    AttemptAbandoned "attempt_list.abandoned",
    Model "model",
    ModelTarget "model_target",
    PromptTokens "usage.prompt_tokens",
    CompletionTokens "usage.completion_tokens",
    TotalTokens "usage.total_tokens",
    CachedTokens "usage.cached_tokens",
    CacheWriteTokens "usage.cache_write_tokens",
    ReasoningTokens "usage.reasoning_tokens",
    StreamEnd "stream_end",
    Decisions "decisions",
    Values "values",
}

/// A set of members. They are written in the order of the enum.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Members(u128);

impl Members {
    /// The members of a line by default.
    pub(crate) const DEFAULT: Self = Self::ALL
        .without(Member::SpanId)
        .without(Member::ParentSpanId)
        .without(Member::AmznTraceId)
        .without(Member::HttpVersion)
        .without(Member::UserAgent)
        .without(Member::Decisions);
    const ALL: Self = Self((1 << NAMES.len()) - 1);

    /// Returns the members with these names. The name of a nested object stands for all its members.
    pub(crate) fn named<T: AsRef<str>>(
        names: impl IntoIterator<Item = T>,
    ) -> Result<Self, FormatError> {
        let mut members = Self(0);
        for name in names {
            members.0 |= bits(name.as_ref())?;
        }
        Ok(members)
    }

    /// Returns what the members need of a request.
    pub(crate) const fn needs(self) -> Needs {
        Needs { user_agent: self.has(Member::UserAgent), ..Needs::NONE }
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn without(self, member: Member) -> Self {
        Self(self.0 & !member.bit())
    }

    #[inline]
    pub(crate) const fn has(self, member: Member) -> bool {
        self.0 & member.bit() != 0
    }

    /// Returns the value of a member of the set.
    #[inline]
    pub(crate) fn when<T>(self, member: Member, value: impl FnOnce() -> Option<T>) -> Option<T> {
        if self.has(member) { value() } else { None }
    }

    /// Returns whether it has one of the members of a nested object.
    #[inline]
    pub(crate) const fn has_any(self, first: Member, last: Member) -> bool {
        self.0 & ((last.bit() << 1) - first.bit()) != 0
    }
}

/// Returns the names of the members of the outermost object.
pub(crate) fn root_names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|name| name.split_once('.').map_or(*name, |(object, _)| object))
}

impl Member {
    const fn bit(self) -> u128 {
        1 << self as u8
    }
}

fn bits(name: &str) -> Result<u128, FormatError> {
    let is_named = |own: &str| {
        own.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let bits = NAMES.iter().enumerate().filter(|(_, own)| is_named(own));
    match bits.map(|(place, _)| 1 << place).reduce(|one: u128, other| one | other) {
        Some(bits) => Ok(bits),
        None => Err(FormatError::UnknownField(name.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_choose_members() {
        let members = Members::named(["status", "principal"]).unwrap();
        assert!(members.has(Member::Status) && members.has(Member::PrincipalSubject));
        assert!(!members.has(Member::Time) && !members.has(Member::UpstreamStatus));
        assert_eq!(
            Members::named(["principal.proof", "principal.issuer", "principal.subject", "status"]),
            Ok(members)
        );
        assert!(members.has_any(Member::PrincipalProof, Member::PrincipalSubject));
        assert!(!members.has_any(Member::PromptTokens, Member::ReasoningTokens));
        for unknown in ["", "principal.", "princip", "Status", "status ", "principal.subject.x"] {
            let error = FormatError::UnknownField(unknown.into());
            assert_eq!(Members::named([unknown]), Err(error));
        }
        assert_eq!(Members::named(NAMES), Ok(Members::ALL));
    }
}
