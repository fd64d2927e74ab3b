/// What becomes of the `cache-control` of those who may not control the cache. API Gateway's three
/// modes.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Unauthorized {
    /// It is passed over, as if it had not come (`SUCCEED_WITHOUT_RESPONSE_HEADER`).
    #[default]
    Ignore,
    /// The same, and the answer says so in its field `warning` (`SUCCEED_WITH_RESPONSE_HEADER`).
    Warn,
    /// The request is refused: 403 `forbidden` (`FAIL_WITH_403`).
    Refuse,
}
