use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use http::Request;

use super::{budget::Budget, health::Health, retry_budget::RetryBudget, target::Target};
use crate::{
    clock::SharedClock,
    payload::{Node, Payload, Pointer},
    rejection::RejectionFormat,
};

#[derive(Clone, Debug)]
pub(super) struct Settings {
    targets: Arc<[Target]>,
    /// The targets of the models that clients may name.
    models: Vec<(Box<str>, Arc<[Target]>)>,
    /// The cool-downs of the named groups.
    groups: Vec<(Arc<str>, Arc<Health>)>,
    pub(super) retries: u32,
    max_attempts: Option<u32>,
    pub(super) first_content_timeout: Duration,
    pub(super) budget: Arc<Budget>,
    pub(super) cool_down: Duration,
    pub(super) max_cool_down: Duration,
    pub(super) wait_for_model: Option<Duration>,
    pub(super) target_header: bool,
    pub(super) members: Arc<Members>,
    pub(super) format: RejectionFormat,
    /// For dates in `retry-after`.
    pub(super) clock: SharedClock,
    /// Whether the warning about a token layer outside is logged.
    warned: Arc<AtomicBool>,
}

/// The members of a body that a target may need under another name or value.
#[derive(Debug)]
pub(super) struct Members {
    pub(super) model: Pointer,
    pub(super) max_tokens: Pointer,
    pub(super) max_completion_tokens: Pointer,
    pub(super) stream_options: Pointer,
}

/// Attempts without a maximum of their own.
const MOST_BY_DEFAULT: u32 = 16;
/// Attempts that a maximum may allow.
const MOST: u32 = 64;

impl Settings {
    pub(super) fn new(targets: impl IntoIterator<Item = Target>) -> Self {
        let mut settings = Self {
            targets: Arc::new([]),
            models: Vec::new(),
            groups: Vec::new(),
            retries: 0,
            max_attempts: None,
            first_content_timeout: Duration::from_secs(60),
            budget: Arc::new(Budget::new(RetryBudget::new())),
            cool_down: Duration::from_secs(5),
            max_cool_down: Duration::from_secs(60),
            wait_for_model: None,
            target_header: true,
            members: Arc::new(Members {
                model: Pointer::new(["model"]),
                max_tokens: Pointer::new(["max_tokens"]),
                max_completion_tokens: Pointer::new(["max_completion_tokens"]),
                stream_options: Pointer::new(["stream_options"]),
            }),
            format: RejectionFormat::default(),
            clock: SharedClock::default(),
            warned: Arc::default(),
        };
        settings.targets = settings.listed(targets);
        settings
    }

    pub(super) fn set_model(&mut self, name: Box<str>, targets: impl IntoIterator<Item = Target>) {
        let targets = self.listed(targets);
        self.models.retain(|(other, _)| *other != name);
        self.models.push((name, targets));
    }

    /// Logs once that the targets have no effect, because the token layer is not inside of this one.
    #[cold]
    pub(super) fn warn_of_outer_token(&self) {
        if !self.warned.swap(true, Relaxed) {
            tracing::warn!(
                "HfTokenLayer is outside of FallbackLayer, so every target is the upstream of \
                 HfTokenLayer; put HfTokenLayer inside: after FallbackLayer in a ServiceBuilder, before \
                 it with Router::layer"
            );
        }
    }

    pub(super) const fn set_max_attempts(&mut self, attempts: u32) {
        self.max_attempts = Some(attempts);
    }

    /// Gives the targets the cool-downs of their groups.
    fn listed(&mut self, targets: impl IntoIterator<Item = Target>) -> Arc<[Target]> {
        let targets = targets.into_iter().map(|mut target| {
            if let Some(group) = &target.group {
                let known = self.groups.iter().find(|(name, _)| name == group);
                target.health = match known {
                    Some((_, health)) => Arc::clone(health),
                    None => {
                        self.groups.push((Arc::clone(group), Arc::default()));
                        self.groups.last().map(|(_, health)| Arc::clone(health)).unwrap_or_default()
                    }
                };
            }
            target
        });
        targets.collect()
    }

    /// Returns every target of every request.
    pub(super) fn all_targets(&self) -> impl Iterator<Item = &Target> {
        let of_models = self.models.iter().map(|(_, targets)| targets);
        std::iter::once(&self.targets).chain(of_models).flat_map(|targets| targets.iter())
    }

    /// Returns the targets of a request, and whether the client named them by an alias.
    pub(super) fn targets_of(&self, request: &Request<Payload>) -> (&Arc<[Target]>, bool) {
        if !self.models.is_empty()
            && let Ok(document) = request.body().document()
            && let Some(named) = document.root().get("model").and_then(Node::as_str)
            && let Some((_, targets)) = self.models.iter().find(|(model, _)| **model == *named)
        {
            return (targets, true);
        }
        (&self.targets, false)
    }

    /// Returns one target of each name, in the order of the settings.
    pub(super) fn named_targets(&self) -> impl Iterator<Item = &Target> {
        let mut seen: Vec<&str> = Vec::new();
        self.all_targets().filter(move |target| {
            let is_new = !seen.contains(&&*target.name);
            seen.push(&target.name);
            is_new
        })
    }

    /// Returns how many attempts a request with these targets may have.
    pub(super) fn max_attempts(&self, targets: &[Target]) -> u32 {
        if let Some(attempts) = self.max_attempts {
            return attempts.clamp(1, MOST);
        }
        let targets = u32::try_from(targets.len()).unwrap_or(u32::MAX);
        targets.saturating_mul(self.retries.saturating_add(1)).clamp(1, MOST_BY_DEFAULT)
    }
}
