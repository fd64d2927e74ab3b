use std::{borrow::Cow, cell::OnceCell, fmt, sync::Arc};

use serde_json::Value;

use crate::{
    context::RequestContext,
    identity::Identity,
    rejection::{Refusal, Rejection},
    unverified::{self, UnverifiedCredentials},
};

/// The source of a value for a header, a query parameter or the path.
///
/// ```
/// use tower_inference::transform::ValueSource;
///
/// let source = ValueSource::literal("team-").then(ValueSource::claim("team"));
/// # let _ = source;
/// ```
///
/// A request for which the value is missing or empty is rejected, unless the source is
/// [`optional`](Self::optional). The rejection is 401 `missing-credentials` without an identity and 403
/// `forbidden` otherwise. A value has at most 4,096 bytes and no control characters. A value that is not
/// valid in its position is rejected with `forbidden`, also a fixed text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ValueSource {
    parts: Vec<ValuePart>,
    optional: bool,
}

#[derive(Clone, Eq, PartialEq)]
enum ValuePart {
    Literal(Box<str>),
    Subject,
    Issuer,
    Tenant,
    Claim(Box<str>),
    RequestId,
    TraceId,
    Route,
    Stage,
}

impl ValueSource {
    /// The maximum length of a value in bytes.
    const MAX_LEN: usize = 4_096;

    /// Returns a source of fixed text.
    pub fn literal(text: impl Into<Box<str>>) -> Self {
        Self::of(ValuePart::Literal(text.into()))
    }

    /// Returns a source of the caller's subject, [`Identity::subject`].
    #[must_use]
    pub fn subject() -> Self {
        Self::of(ValuePart::Subject)
    }

    /// Returns a source of the caller's issuer, [`Identity::issuer`].
    #[must_use]
    pub fn issuer() -> Self {
        Self::of(ValuePart::Issuer)
    }

    /// Returns a source of the caller's tenant, [`Identity::tenant`].
    #[must_use]
    pub fn tenant() -> Self {
        Self::of(ValuePart::Tenant)
    }

    /// Returns a source of a claim of the caller: a string, a number or a boolean.
    ///
    /// An array or an object is rejected.
    pub fn claim(name: impl Into<Box<str>>) -> Self {
        Self::of(ValuePart::Claim(name.into()))
    }

    /// Returns a source of the request id, [`RequestContext::request_id`].
    #[must_use]
    pub fn request_id() -> Self {
        Self::of(ValuePart::RequestId)
    }

    /// Returns a source of the trace id, [`RequestContext::trace_id`].
    #[must_use]
    pub fn trace_id() -> Self {
        Self::of(ValuePart::TraceId)
    }

    /// Returns a source of the route's name, [`RequestContext::route`].
    #[must_use]
    pub fn route() -> Self {
        Self::of(ValuePart::Route)
    }

    /// Returns a source of the stage, [`RequestContext::stage`].
    #[must_use]
    pub fn stage() -> Self {
        Self::of(ValuePart::Stage)
    }

    /// Appends another value to this one.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.parts.extend(other.parts);
        self.optional |= other.optional;
        self
    }

    /// Lets a request pass when the value is missing.
    ///
    /// An append then adds nothing. A set removes the client's own value. One optional part of a
    /// [joined](Self::then) value makes all of it optional. A claim that is an array or an object is
    /// rejected nevertheless.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    fn of(part: ValuePart) -> Self {
        Self { parts: vec![part], optional: false }
    }

    pub(crate) const fn is_optional(&self) -> bool {
        self.optional
    }

    /// Returns the value for a request. `None` when an optional value is missing.
    pub(crate) fn value<'a>(
        &'a self,
        request: &'a RequestValues<'_>,
    ) -> Result<Option<Cow<'a, str>>, Rejection> {
        let mut joined = Cow::Borrowed("");
        for part in &self.parts {
            match part.value(request) {
                Ok(value) if joined.is_empty() => joined = value,
                Ok(value) => joined.to_mut().push_str(&value),
                Err(missing) if self.optional && missing.allows_optional() => return Ok(None),
                Err(missing) => return Err(missing.rejection()),
            }
        }
        if joined.chars().any(char::is_control) {
            return Err(unusable("a required value has control characters"));
        }
        match joined.len() {
            0 => Err(unusable("a required value is empty")),
            1..=Self::MAX_LEN => Ok(Some(joined)),
            _ => Err(unusable("a required value is too long")),
        }
    }
}

/// Converts into a fixed text.
impl From<&str> for ValueSource {
    fn from(text: &str) -> Self {
        Self::literal(text)
    }
}

impl ValuePart {
    fn value<'a>(&'a self, request: &'a RequestValues<'_>) -> Result<Cow<'a, str>, MissingValue> {
        let value = match self {
            Self::Literal(text) => return Ok(Cow::Borrowed(text)),
            Self::Subject => Some(request.identity()?.subject()),
            Self::Issuer => Some(request.identity()?.issuer()),
            Self::Tenant => request.identity()?.tenant(),
            Self::Claim(name) => return claim_text(request.identity()?.claim(name)),
            Self::RequestId => request.context.request_id(),
            Self::TraceId => request.context.trace_id().map(|id| id.as_str()),
            Self::Route => request.context.route(),
            Self::Stage => request.context.stage(),
        };
        let missing = match self {
            Self::Subject | Self::Issuer | Self::Tenant => MissingValue::Claim,
            _ => MissingValue::Context,
        };
        value.filter(|value| !value.is_empty()).map(Cow::Borrowed).ok_or(missing)
    }
}

impl fmt::Debug for ValuePart {
    // Without the fixed text, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Literal(_) => "literal",
            Self::Subject => "subject",
            Self::Issuer => "issuer",
            Self::Tenant => "tenant",
            Self::Claim(name) => return write!(f, "claim {name:?}"),
            Self::RequestId => "request id",
            Self::TraceId => "trace id",
            Self::Route => "route",
            Self::Stage => "stage",
        })
    }
}

fn claim_text(claim: Option<&Value>) -> Result<Cow<'_, str>, MissingValue> {
    match claim {
        Some(Value::String(text)) if !text.is_empty() => Ok(Cow::Borrowed(text)),
        Some(Value::Number(number)) => Ok(Cow::Owned(number.to_string())),
        Some(Value::Bool(value)) => Ok(Cow::Borrowed(if *value { "true" } else { "false" })),
        Some(Value::Array(_) | Value::Object(_)) => Err(MissingValue::ClaimText),
        Some(Value::String(_) | Value::Null) | None => Err(MissingValue::Claim),
    }
}

/// The reason why a value is missing.
#[derive(Clone, Copy)]
enum MissingValue {
    Identity,
    /// The request has credentials that no layer has verified.
    UnverifiedIdentity,
    Claim,
    /// The claim is not text.
    ClaimText,
    Context,
}

impl MissingValue {
    /// Returns whether an optional value may be missing for this reason.
    const fn allows_optional(self) -> bool {
        !matches!(self, Self::ClaimText)
    }

    fn rejection(self) -> Rejection {
        match self {
            Self::Identity => Rejection::new(Refusal::MissingCredentials),
            Self::UnverifiedIdentity => {
                Rejection::new(Refusal::MissingCredentials).with_detail(unverified::DETAIL)
            }
            Self::Claim => unusable("the credentials lack a required claim"),
            Self::ClaimText => unusable("a required claim is an array or an object"),
            Self::Context => unusable("a required value is not available"),
        }
    }
}

/// Returns the rejection of a value that is missing or not valid in its position.
pub(crate) fn unusable(detail: &'static str) -> Rejection {
    Rejection::new(Refusal::Forbidden).with_detail(detail)
}

/// Reads the values of a request.
pub(crate) struct RequestValues<'a> {
    context: &'a RequestContext,
    identity: OnceCell<Option<Arc<Identity>>>,
    /// `None` if the request has no credentials.
    unverified: Option<&'a UnverifiedCredentials>,
}

impl<'a> RequestValues<'a> {
    pub(crate) const fn new(
        context: &'a RequestContext,
        unverified: Option<&'a UnverifiedCredentials>,
    ) -> Self {
        Self { context, identity: OnceCell::new(), unverified }
    }

    fn identity(&self) -> Result<&Identity, MissingValue> {
        let identity = self.identity.get_or_init(|| self.context.identity());
        identity.as_deref().ok_or_else(|| match self.unverified {
            Some(unverified) => {
                let problem = "a value needs an identity and received";
                unverified.count("TransformLayer", None, problem);
                MissingValue::UnverifiedIdentity
            }
            None => MissingValue::Identity,
        })
    }
}
