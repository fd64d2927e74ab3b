/// The response headers that describe limits to clients.
///
/// They describe each limit that is [shown](crate::limits::Limit::shown), on responses and on
/// rejections. A [`Concurrency`](crate::limits::Concurrency) has no window and is left out. So is a
/// limit in shadow.
///
/// | header | a rate of 10 a second, burst 20 | a quota of 1,000 a day |
/// |---|---|---|
/// | `ratelimit-policy` | `"identity";q=20;w=2` | `"identity";q=1000;w=86400` |
/// | `ratelimit` | `"identity";r=19;t=1` | `"identity";r=999;t=52433` |
///
/// The parameters follow draft-ietf-httpapi-ratelimit-headers-10:
///
/// | parameter | value |
/// |---|---|
/// | `q` | the permits that grow in `w` seconds; the burst if it is larger than the rate's own number |
/// | `w` | the length of the window in seconds, rounded up; absent for a month |
/// | `qu` | the unit, if it is not requests |
/// | `r` | the permits that are left, at most `q` |
/// | `t` | the seconds until all permits are back, rounded up; until one is back if none is left |
///
/// The partition key `pk` is left out, because it would identify the caller to others.
///
/// The headers replace those of the upstream's response, which describe the gateway's own account.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LimitHeaders {
    /// No headers. The upstream's headers pass.
    Off,
    /// `ratelimit-policy` and `ratelimit`.
    #[default]
    RateLimit,
    /// OpenAI's `x-ratelimit-limit-requests`, `x-ratelimit-remaining-requests` and
    /// `x-ratelimit-reset-requests`. A token budget has `-tokens` instead of `-requests`.
    ///
    /// They describe the limit that has the least left. The reset is written like `12ms`, `1s` or
    /// `6m0s`.
    OpenAi,
    /// Both kinds.
    All,
}
