//! Whether the gateway can do its work.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::sleep;
use tower_inference::auth::KeySource;

use crate::output::Output;

/// Between two attempts to have the first keys; doubled each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Set once the keys have been there, and never taken back: when the issuer is away, the keys at
/// hand still serve, and to take a gateway out of service would help nobody. The upstream's token
/// is there from the start, or there is no gateway.
#[derive(Clone)]
pub(crate) struct Ready {
    keys: KeySource,
    was: Arc<AtomicBool>,
}

impl Ready {
    pub(crate) fn new(keys: KeySource) -> Self {
        Self { keys, was: Arc::new(AtomicBool::new(false)) }
    }

    pub(crate) fn is(&self) -> bool {
        self.was.load(Relaxed) || {
            let is = self.keys.is_ready();
            self.was.fetch_or(is, Relaxed);
            is
        }
    }

    /// Has the keys fetched before the first request needs them. Ends when they are there.
    pub(crate) async fn prepare(&self, output: &Output) {
        let mut pause = FIRST_PAUSE;
        while !self.is() {
            if let Err(error) = self.keys.refresh().await {
                output.complain(format_args!("the issuer's keys cannot be had: {error}"));
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}
