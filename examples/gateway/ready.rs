//! Readiness: whether the gateway can serve requests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::sleep;
use tower_inference::{auth::KeySource, hf::HfTokenLayer};

use crate::output::Output;

/// The pause between two fetches of the first keys. It doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Ready once the keys of all issuers and the tokens of all upstreams have been loaded, and ready from then
/// on. While the issuer is unavailable the loaded keys still verify tokens.
#[derive(Clone)]
pub(crate) struct Ready {
    keys: Vec<KeySource>,
    upstreams: Vec<HfTokenLayer>,
    was: Arc<AtomicBool>,
}

impl Ready {
    pub(crate) fn new(keys: Vec<KeySource>, upstreams: Vec<HfTokenLayer>) -> Self {
        Self { keys, upstreams, was: Arc::new(AtomicBool::new(false)) }
    }

    pub(crate) fn is(&self) -> bool {
        self.was.load(Relaxed) || {
            let is = self.keys.iter().all(KeySource::is_ready)
                && self.upstreams.iter().all(HfTokenLayer::is_ready);
            self.was.fetch_or(is, Relaxed);
            is
        }
    }

    /// Fetches the keys before the first request needs them. Ends when they are loaded.
    pub(crate) async fn prepare(&self, output: &Output) {
        let mut pause = FIRST_PAUSE;
        while !self.keys.iter().all(KeySource::is_ready) {
            let mut failed = false;
            for keys in self.keys.iter().filter(|keys| !keys.is_ready()) {
                if let Err(error) = keys.refresh().await {
                    output.complain(format_args!("cannot fetch the issuer's keys: {error}"));
                    failed = true;
                }
            }
            if failed {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}
