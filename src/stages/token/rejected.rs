//! The cool-down after a look for another token.

use std::{sync::Arc, time::Duration};

use super::value::Token;

/// The time after a look that found no accepted token in which no further look starts.
const COOL_DOWN: Duration = Duration::from_secs(30);

/// The last token that the upstream rejected while it was the current one, or the token that a look for
/// its successor brought.
pub(super) struct RejectedToken {
    token: Arc<Token>,
    /// The end of the cool-down. `None` while the look for another token runs.
    until: Option<Duration>,
    /// Whether this is the successor of the rejected token. Its first acceptance ends the cool-down.
    is_successor: bool,
}

impl RejectedToken {
    /// Begins the look for the successor of `token`.
    pub(super) const fn new(token: Arc<Token>) -> Self {
        Self { token, until: None, is_successor: false }
    }

    /// Ends a look that runs, after which `current` is the current token. Begins the cool-down.
    pub(super) fn looked(&mut self, current: Option<&Arc<Token>>, now: Duration) {
        if self.until.is_some() {
            return;
        }
        self.until = Some(now.saturating_add(COOL_DOWN));
        // A function may return another token each time, which helps as little as the same one.
        if let Some(current) = current {
            self.is_successor = !Arc::ptr_eq(current, &self.token);
            self.token = Arc::clone(current);
        }
    }

    /// Returns whether a look for the successor of `token` must not start at `now`.
    pub(super) fn cools_down(&self, token: &Arc<Token>, now: Duration) -> bool {
        Arc::ptr_eq(&self.token, token)
            && self.until.is_some_and(|until| now < until)
            && !(self.is_successor && token.was_accepted())
    }
}
