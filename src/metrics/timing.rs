use std::time::Duration;

/// Returns the time of a request outside of upstreams.
pub(super) fn overhead(total: Duration, upstream: Option<Duration>) -> Duration {
    total.saturating_sub(upstream.unwrap_or_default())
}

/// Returns the time for each output token after the first, as OpenTelemetry defines
/// `gen_ai.server.time_per_output_token`. `None` for fewer than two tokens.
pub(super) fn per_output_token(
    total: Duration,
    first_token_after: Duration,
    output_tokens: u64,
) -> Option<f64> {
    let after_first = output_tokens.checked_sub(1).filter(|tokens| *tokens > 0)?;
    Some(total.saturating_sub(first_token_after).as_secs_f64() / after_first as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_token_is_not_counted() {
        let seconds = Duration::from_secs;
        assert_eq!(per_output_token(seconds(11), seconds(1), 21), Some(0.5));
        assert_eq!(per_output_token(seconds(11), seconds(1), 2), Some(10.0));
        for tokens in [0, 1] {
            assert_eq!(per_output_token(seconds(11), seconds(1), tokens), None);
        }
        // A clock that went back is no negative time.
        assert_eq!(per_output_token(seconds(1), seconds(2), 5), Some(0.0));
    }

    #[test]
    fn overhead_is_the_whole_less_the_upstream() {
        let seconds = Duration::from_secs;
        assert_eq!(overhead(seconds(5), Some(seconds(3))), seconds(2));
        assert_eq!(overhead(seconds(5), None), seconds(5));
        assert_eq!(overhead(seconds(1), Some(seconds(3))), Duration::ZERO);
    }
}
