use std::{sync::Arc, time::Duration};

use super::{retry_budget::RetryBudget, target::Target};
use crate::rejection::RejectionFormat;

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) targets: Arc<[Target]>,
    /// The targets of the models that clients may name.
    pub(super) models: Vec<(Box<str>, Arc<[Target]>)>,
    pub(super) retries: u32,
    pub(super) max_attempts: Option<u32>,
    pub(super) first_content_timeout: Duration,
    pub(super) retry_budget: RetryBudget,
    pub(super) cool_down: Duration,
    pub(super) max_cool_down: Duration,
    pub(super) wait_for_model: Option<Duration>,
    pub(super) target_header: bool,
    pub(super) format: RejectionFormat,
}

impl Settings {
    pub(super) fn new(targets: Arc<[Target]>) -> Self {
        Self {
            targets,
            models: Vec::new(),
            retries: 0,
            max_attempts: None,
            first_content_timeout: Duration::from_secs(60),
            retry_budget: RetryBudget::new(),
            cool_down: Duration::from_secs(5),
            max_cool_down: Duration::from_secs(60),
            wait_for_model: None,
            target_header: true,
            format: RejectionFormat::default(),
        }
    }
}
