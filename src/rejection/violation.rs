use std::{borrow::Cow, fmt};

/// A member or parameter of a request that is not valid.
///
/// Displayed with its pointer: `/n: must be at most 4`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Violation {
    /// The location as a JSON pointer (RFC 6901).
    ///
    /// It points into the body. With [`InvalidParameters`](super::Refusal::InvalidParameters) it
    /// points into an object of the parameters instead, as `/query/limit` or `/header/x-tenant` do.
    pub pointer: String,
    /// The violated keyword of JSON Schema or the name of the violated limit.
    pub keyword: Cow<'static, str>,
    /// Describes the expected value. It does not repeat the actual value.
    pub detail: String,
}

impl Violation {
    /// Creates a violation of `keyword` at `pointer`.
    pub fn new(
        pointer: impl Into<String>,
        keyword: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        Self { pointer: pointer.into(), keyword: keyword.into(), detail: detail.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// A longer pointer consists of names that the client chose. The text must stay short because gRPC
        /// sends it in a header.
        const MAX_POINTER: usize = 256;
        let Self { pointer, detail, .. } = self;
        match pointer.len() {
            0 => write!(f, "the body: {detail}"),
            1..=MAX_POINTER => write!(f, "{pointer}: {detail}"),
            _ => {
                // The pointer is cut between two names. Cut inside a name it would point elsewhere.
                let start = pointer.char_indices().take_while(|(at, _)| *at <= MAX_POINTER);
                let end = start.filter(|(_, char)| *char == '/').last().map_or(0, |(at, _)| at);
                let parent = pointer.get(..end).filter(|parent| !parent.is_empty());
                write!(f, "somewhere in {}: {detail}", parent.unwrap_or("the body"))
            }
        }
    }
}
