//! The attempts of a request so far.

#[cfg(feature = "access-log")]
use std::time::Duration;

use super::{attempt::Attempt, level::Level};
#[cfg(feature = "access-log")]
use super::{observer::AttemptObserver, spans};

/// More attempts than layers of this crate make for a request. Later ones are not recorded, so that a
/// layer which repeats without end does not grow the list.
const MAX_ATTEMPTS: usize = 2_048;

/// The attempts that were recorded. The first one is inline, because most requests have one.
#[derive(Clone, Debug, Default)]
pub(crate) struct AttemptList {
    first: Option<OpenAttempt>,
    others: Vec<OpenAttempt>,
    #[cfg(feature = "access-log")]
    pub(super) observer: Option<AttemptObserver>,
    #[cfg(feature = "access-log")]
    pub(super) client_span: Option<tracing::Span>,
    /// The parent of the spans. By default it is the current span.
    #[cfg(feature = "access-log")]
    pub(super) parent: Option<tracing::Span>,
    /// The target that a fallback has chosen.
    #[cfg(feature = "fallback")]
    pub(super) target: Option<std::sync::Arc<str>>,
}

#[derive(Clone, Debug)]
pub(super) struct OpenAttempt {
    pub(super) attempt: Attempt,
    /// The innermost layer that has seen it.
    level: Level,
    is_open: bool,
    /// Whether its request was there, so that it has its headers and its span.
    pub(super) is_sent: bool,
    #[cfg(feature = "access-log")]
    pub(super) span: tracing::Span,
}

impl AttemptList {
    pub(super) fn iter(&self) -> impl Iterator<Item = &OpenAttempt> {
        self.first.iter().chain(&self.others)
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    pub(super) fn last(&mut self) -> Option<&mut OpenAttempt> {
        match self.others.last_mut() {
            Some(last) => Some(last),
            None => self.first.as_mut(),
        }
    }

    /// Returns the attempt with this number. The first one is 1.
    fn get(&mut self, number: usize) -> Option<&mut OpenAttempt> {
        match number.checked_sub(2) {
            None => self.first.as_mut().filter(|_| number == 1),
            Some(index) => self.others.get_mut(index),
        }
    }

    fn push(&mut self, attempt: Attempt, level: Level) {
        let open = OpenAttempt {
            is_open: attempt.abandoned.is_none(),
            attempt,
            level,
            is_sent: false,
            #[cfg(feature = "access-log")]
            span: tracing::Span::none(),
        };
        if self.first.is_none() {
            self.first = Some(open);
        } else {
            self.others.push(open);
        }
    }

    /// Begins an attempt, or lets a layer further in join the open one. Returns it and whether it is new.
    pub(super) fn begin(&mut self, level: Level) -> Option<(&mut OpenAttempt, bool)> {
        let joins = level != Level::Client
            && self.last().is_some_and(|last| last.is_open && last.level < level);
        if !joins {
            if self.len() >= MAX_ATTEMPTS {
                return None;
            }
            #[cfg(feature = "access-log")]
            let now = self.now();
            #[cfg(feature = "access-log")]
            if let Some(last) = self.last() {
                last.end(now);
            }
            self.push(
                Attempt {
                    #[cfg(feature = "access-log")]
                    started_after: now,
                    ..Attempt::default()
                },
                level,
            );
        }
        let last = self.last()?;
        last.level = level;
        Some((last, !joins))
    }

    /// Records why another attempt follows the last one.
    pub(super) fn abandon(&mut self, abandoned: Attempt) {
        #[cfg(feature = "access-log")]
        let now = self.now();
        match self.last().filter(|last| last.is_open && last.attempt.abandoned.is_none()) {
            None => self.push(abandoned, Level::Client),
            Some(last) => {
                let own = &mut last.attempt;
                own.abandoned = abandoned.abandoned;
                own.target = abandoned.target;
                own.status = abandoned.status.or(own.status);
                own.usage = abandoned.usage;
                #[cfg(feature = "access-log")]
                last.end(now);
                last.is_open = false;
            }
        }
    }

    /// Ends the attempt with this number.
    #[cfg(feature = "access-log")]
    pub(super) fn end(&mut self, number: usize) {
        // The end of a body and its drop both end its attempt.
        if self.get(number).is_some_and(|open| open.attempt.duration.is_none()) {
            let now = self.now();
            if let Some(open) = self.get(number) {
                open.end(now);
            }
        }
    }

    /// Returns the empty list of a call that several requests share. Its spans are below the span of the
    /// request that starts the call, whichever request polls it.
    #[cfg(feature = "cache")]
    pub(crate) fn fork(&self) -> Self {
        Self {
            #[cfg(feature = "access-log")]
            parent: self
                .observer
                .as_ref()
                .filter(|own| own.client_spans.is_some())
                .map(|_| tracing::Span::current()),
            #[cfg(feature = "access-log")]
            observer: self.observer.clone(),
            ..Self::default()
        }
    }

    /// Leaves the spans to a call that goes on, because their end is not that of the request.
    #[cfg(all(feature = "access-log", feature = "cache"))]
    pub(crate) fn leave_spans(&mut self) {
        self.client_span = None;
        let all = self.first.iter_mut().chain(&mut self.others);
        all.for_each(|own| own.span = tracing::Span::none());
    }

    /// Opens the span of the last attempt, and the one over all of them with the first.
    #[cfg(feature = "access-log")]
    pub(super) fn open_span(&mut self, method: &http::Method, model: Option<&str>) {
        let parent = self.parent.as_ref();
        if self.client_span.is_none()
            && let Some(spans) = self.observer.as_ref().and_then(|own| own.client_spans.as_ref())
        {
            self.client_span = spans.open(model, parent);
        }
        let resends = self.len().saturating_sub(1);
        let parent = self.client_span.as_ref().or(parent).cloned();
        let Some(last) = self.last() else { return };
        let target = last.attempt.target.as_deref();
        let start = spans::AttemptStart { method, resends, target };
        last.span = spans::attempt_span(&start, parent.as_ref());
    }

    /// Returns the time since the arrival.
    #[cfg(feature = "access-log")]
    pub(super) fn now(&self) -> Option<Duration> {
        let observer = self.observer.as_ref()?;
        Some(observer.clock.monotonic().saturating_sub(observer.arrived_at))
    }

    /// Ends the attempts and returns them.
    #[cfg(feature = "access-log")]
    pub(super) fn finish(&mut self) -> Attempts {
        let is_open = |open: &OpenAttempt| open.attempt.duration.is_none();
        if self.iter().any(is_open) {
            let now = self.now();
            self.first.iter_mut().chain(&mut self.others).for_each(|open| open.end(now));
        }
        Attempts {
            first: self.first.as_ref().map(|open| open.attempt.clone()),
            others: self.others.iter().map(|open| open.attempt.clone()).collect(),
        }
    }
}

impl OpenAttempt {
    /// Sets the end of an attempt and closes its span. The first end counts.
    #[cfg(feature = "access-log")]
    fn end(&mut self, now: Option<Duration>) {
        if self.attempt.duration.is_none()
            && let (Some(now), Some(started)) = (now, self.attempt.started_after)
        {
            self.attempt.duration = Some(now.saturating_sub(started));
            let span = std::mem::replace(&mut self.span, tracing::Span::none());
            spans::end(&span, &self.attempt);
        }
    }
}

/// The attempts of a request that has ended.
#[cfg(feature = "access-log")]
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempts {
    first: Option<Attempt>,
    others: Vec<Attempt>,
}

#[cfg(feature = "access-log")]
impl Attempts {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Attempt> {
        self.first.iter().chain(&self.others)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Attempt> {
        self.first.iter_mut().chain(&mut self.others)
    }
}
