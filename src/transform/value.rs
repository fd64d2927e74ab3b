use std::{borrow::Cow, cell::OnceCell, fmt, sync::Arc};

use serde_json::Value;

use crate::{
    context::RequestContext,
    identity::Identity,
    rejection::{Refusal, Rejection},
};

/// Where a value comes from, that is put into a field, the query or the path.
///
/// ```
/// use tower_inference::transform::Source;
///
/// let source = Source::literal("team-").then(Source::claim("team"));
/// # let _ = source;
/// ```
///
/// What is not there, or empty, when a request comes is a refusal, never an empty value: without an
/// identity `missing-credentials` (401), else `forbidden` (403); unless it is
/// [`optional`](Self::optional). A value is at most 4,096 bytes long and holds no control characters.
/// What an edit cannot put in its place is refused with `forbidden`, a fixed text like any other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Source {
    parts: Vec<Part>,
    optional: bool,
}

#[derive(Clone, Eq, PartialEq)]
enum Part {
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

impl Source {
    /// The longest value, in bytes.
    const MAX_LEN: usize = 4_096;

    /// Always the same text.
    pub fn literal(text: impl Into<Box<str>>) -> Self {
        Self::of(Part::Literal(text.into()))
    }

    /// The caller's subject: [`Identity::subject`].
    #[must_use]
    pub fn subject() -> Self {
        Self::of(Part::Subject)
    }

    /// Who vouches for the caller: [`Identity::issuer`].
    #[must_use]
    pub fn issuer() -> Self {
        Self::of(Part::Issuer)
    }

    /// The caller's tenant: [`Identity::tenant`].
    #[must_use]
    pub fn tenant() -> Self {
        Self::of(Part::Tenant)
    }

    /// A claim of the caller's: a string, a number or a truth value. An array or an object is
    /// refused.
    pub fn claim(name: impl Into<Box<str>>) -> Self {
        Self::of(Part::Claim(name.into()))
    }

    /// The request's id: [`RequestContext::request_id`].
    #[must_use]
    pub fn request_id() -> Self {
        Self::of(Part::RequestId)
    }

    /// The trace's id: [`RequestContext::trace_id`].
    #[must_use]
    pub fn trace_id() -> Self {
        Self::of(Part::TraceId)
    }

    /// The route's name: [`RequestContext::route`].
    #[must_use]
    pub fn route() -> Self {
        Self::of(Part::Route)
    }

    /// The stage: [`RequestContext::stage`].
    #[must_use]
    pub fn stage() -> Self {
        Self::of(Part::Stage)
    }

    /// This value, and another behind it.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.parts.extend(other.parts);
        self.optional |= other.optional;
        self
    }

    /// Lets the request pass when something is missing: nothing is added then, and what was to be
    /// set is removed, so that the caller's own never stands in for it.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    fn of(part: Part) -> Self {
        Self { parts: vec![part], optional: false }
    }

    pub(super) const fn is_optional(&self) -> bool {
        self.optional
    }

    /// The value for a request; `None` when it is missing and may be.
    pub(super) fn value<'a>(
        &'a self,
        known: &'a Known<'_>,
    ) -> Result<Option<Cow<'a, str>>, Rejection> {
        let mut whole = Cow::Borrowed("");
        for part in &self.parts {
            match part.value(known) {
                Ok(value) if whole.is_empty() => whole = value,
                Ok(value) => whole.to_mut().push_str(&value),
                Err(missing) if self.optional && missing.may_be() => return Ok(None),
                Err(missing) => return Err(missing.rejection()),
            }
        }
        if whole.chars().any(char::is_control) {
            return Err(unusable("a value that is needed here holds control characters"));
        }
        match whole.len() {
            0 => Err(unusable("a value that is needed here is empty")),
            1..=Self::MAX_LEN => Ok(Some(whole)),
            _ => Err(unusable("a value that is needed here is too long")),
        }
    }
}

/// For plain texts.
impl From<&str> for Source {
    fn from(text: &str) -> Self {
        Self::literal(text)
    }
}

impl Part {
    fn value<'a>(&'a self, known: &'a Known<'_>) -> Result<Cow<'a, str>, Missing> {
        let value = match self {
            Self::Literal(text) => return Ok(Cow::Borrowed(text)),
            Self::Subject => Some(known.identity()?.subject()),
            Self::Issuer => Some(known.identity()?.issuer()),
            Self::Tenant => known.identity()?.tenant(),
            Self::Claim(name) => return text_of(known.identity()?.claim(name)),
            Self::RequestId => known.context.request_id(),
            Self::TraceId => known.context.trace_id().map(|id| id.as_str()),
            Self::Route => known.context.route(),
            Self::Stage => known.context.stage(),
        };
        let missing = match self {
            Self::Subject | Self::Issuer | Self::Tenant => Missing::Claim,
            _ => Missing::Context,
        };
        value.filter(|value| !value.is_empty()).map(Cow::Borrowed).ok_or(missing)
    }
}

impl fmt::Debug for Part {
    // Without a fixed text: some upstreams take one for a secret.
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

fn text_of(claim: Option<&Value>) -> Result<Cow<'_, str>, Missing> {
    match claim {
        Some(Value::String(text)) if !text.is_empty() => Ok(Cow::Borrowed(text)),
        Some(Value::Number(number)) => Ok(Cow::Owned(number.to_string())),
        Some(Value::Bool(truth)) => Ok(Cow::Borrowed(if *truth { "true" } else { "false" })),
        Some(Value::Array(_) | Value::Object(_)) => Err(Missing::Text),
        Some(Value::String(_) | Value::Null) | None => Err(Missing::Claim),
    }
}

/// What is not there.
#[derive(Clone, Copy)]
enum Missing {
    Identity,
    Claim,
    /// There is a claim, but no text to it.
    Text,
    Context,
}

impl Missing {
    /// Whether an optional value may be missing in this way.
    const fn may_be(self) -> bool {
        !matches!(self, Self::Text)
    }

    fn rejection(self) -> Rejection {
        match self {
            Self::Identity => Rejection::new(Refusal::MissingCredentials),
            Self::Claim => unusable("the credentials lack a claim that is needed here"),
            Self::Text => unusable("a claim that is needed here is a list or an object"),
            Self::Context => unusable("a value that is needed here is not known"),
        }
    }
}

/// A value that cannot go where it should.
pub(super) fn unusable(detail: &'static str) -> Rejection {
    Rejection::new(Refusal::Forbidden).with_detail(detail)
}

/// What is known of a request.
pub(super) struct Known<'a> {
    context: &'a RequestContext,
    identity: OnceCell<Option<Arc<Identity>>>,
}

impl<'a> Known<'a> {
    pub(super) const fn new(context: &'a RequestContext) -> Self {
        Self { context, identity: OnceCell::new() }
    }

    fn identity(&self) -> Result<&Identity, Missing> {
        let identity = self.identity.get_or_init(|| self.context.identity());
        identity.as_deref().ok_or(Missing::Identity)
    }
}
