//! Readiness: whether the gateway can serve requests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::sleep;
use tower_inference::{audit::AuditLog, auth::KeySource, hf::HfTokenLayer};

use crate::output::Output;

/// The pause between two fetches of the first keys. It doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Ready once the keys of all issuers and the tokens of all upstreams have been loaded, and from then on
/// while the audit trail can be written. While the issuer is unavailable the loaded keys still verify
/// tokens. While the trail is unavailable requests are rejected.
#[derive(Clone)]
pub(crate) struct Ready {
    keys: Vec<KeySource>,
    upstreams: Vec<HfTokenLayer>,
    audit: Option<AuditLog>,
    was: Arc<AtomicBool>,
}

impl Ready {
    pub(crate) fn new(
        keys: Vec<KeySource>,
        upstreams: Vec<HfTokenLayer>,
        audit: Option<AuditLog>,
    ) -> Self {
        Self { keys, upstreams, audit, was: Arc::new(AtomicBool::new(false)) }
    }

    /// Returns an error with the reason unless the gateway is ready.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if !self.has_loaded() {
            return Err("the issuers' keys are not loaded yet\n");
        }
        match &self.audit {
            Some(audit) if !audit.is_writable() => Err("the audit trail cannot be written\n"),
            _ => Ok(()),
        }
    }

    fn has_loaded(&self) -> bool {
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
