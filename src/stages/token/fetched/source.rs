use std::{
    fmt,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
    task::Poll,
    time::Duration,
};

use arc_swap::ArcSwapOption;

use super::{fault::TokenFetchFault, token::FetchedToken};
use crate::{
    clock::SharedClock,
    fetch::{BoxFuture, Deadline, FetchSlot, InProgress, WaitPermit, WaitPermits, Waiter, random},
    lock::Lock,
    owned_task::Task,
    secret::{Scrubber, Secret},
    stages::token::{
        access::{Acquired, Owner, Refreshed, Unavailable},
        log_text::log_text,
        rejected::RejectedToken,
        value::Token,
    },
};

/// The delay after a failed fetch. Each further failure doubles it up to the maximum.
const FIRST_RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);

/// The least time between two fetches ahead of an expiry, whatever lifetime a token has.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// Requests that wait for one token at the same time.
const MAX_WAITING: usize = 1_024;

/// Fetches the token once.
pub(crate) type FetchToken =
    dyn Fn() -> BoxFuture<Result<FetchedToken, TokenFetchFault>> + Send + Sync;

#[derive(Clone, Debug)]
pub(crate) struct FetchSettings {
    /// How often a token without an expiry is fetched.
    pub(crate) refresh_interval: Duration,
    /// How long a token serves after it was due.
    pub(crate) grace: Duration,
    pub(crate) timeout: Duration,
    pub(crate) clock: SharedClock,
}

impl Default for FetchSettings {
    fn default() -> Self {
        Self {
            refresh_interval: Duration::from_secs(60),
            grace: Duration::from_secs(60 * 60),
            timeout: Duration::from_secs(5),
            clock: SharedClock::default(),
        }
    }
}

/// A function that fetches the token, and the last good token.
pub(crate) struct FetchedSource {
    fetch: Arc<FetchToken>,
    settings: FetchSettings,
    scrubber: Scrubber,
    owner: OnceLock<Owner>,
    current: ArcSwapOption<DatedToken>,
    /// The start of the next fetch. A fetch for a rejected token ignores it.
    next_fetch: Deadline,
    wait_permits: WaitPermits,
    /// The task is a waiter too and takes the place of no request.
    task_permits: WaitPermits,
    state: Lock<FetchState>,
    /// Polls the fetch, so that it ends although its requests leave.
    task: Task,
}

struct DatedToken {
    token: Arc<Token>,
    fetched_at: Duration,
    usable_until: Duration,
}

#[derive(Default)]
struct FetchState {
    slot: FetchSlot<()>,
    started_at: Duration,
    /// Consecutive failures.
    failures: u32,
    all_failures: u64,
    /// Whether the operator knows that the source fails.
    failing: bool,
    rejected: Option<RejectedToken>,
}

impl FetchedSource {
    pub(crate) fn new(fetch: Arc<FetchToken>, settings: FetchSettings) -> Self {
        Self {
            fetch,
            settings,
            scrubber: Scrubber::new([]),
            owner: OnceLock::new(),
            current: ArcSwapOption::empty(),
            next_fetch: Deadline::default(),
            wait_permits: WaitPermits::default(),
            task_permits: WaitPermits::default(),
            state: Lock::default(),
            task: Task::default(),
        }
    }

    /// Returns a source of the same function without a token.
    pub(crate) fn with_settings(&self, change: impl FnOnce(&mut FetchSettings)) -> Self {
        let mut settings = self.settings.clone();
        change(&mut settings);
        Self::new(Arc::clone(&self.fetch), settings)
    }

    pub(crate) const fn scrubber(&self) -> &Scrubber {
        &self.scrubber
    }

    /// Sets the stage that the log names. The first stage stays.
    pub(crate) fn set_owner(&self, owner: Owner) {
        let _first_stays = self.owner.set(owner);
    }

    /// Returns the time since the start of the fetch of the current token.
    pub(crate) fn age(&self) -> Option<Duration> {
        let current = self.current.load();
        let fetched_at = current.as_ref()?.fetched_at;
        Some(self.settings.clock.monotonic().saturating_sub(fetched_at))
    }

    /// Returns how many fetches failed.
    pub(crate) fn failures(&self) -> u64 {
        self.state.lock().all_failures
    }

    /// Returns whether a request would get a token now. Starts no fetch.
    pub(crate) fn has_token(&self) -> bool {
        self.usable(self.settings.clock.monotonic()).is_some()
    }

    /// Returns the current token, or the wait for it. Starts a fetch when the token is due.
    pub(crate) fn acquire(self: &Arc<Self>) -> Result<Acquired, Unavailable> {
        let now = self.settings.clock.monotonic();
        match self.usable(now) {
            Some(token) => {
                if self.next_fetch.has_passed(now) {
                    self.fetch_ahead(now);
                }
                Ok(Acquired::Token(token))
            }
            None => self.wait(now),
        }
    }

    /// Returns the current token after a wait. Never waits again.
    pub(crate) fn acquire_at_once(&self) -> Result<Arc<Token>, Unavailable> {
        let now = self.settings.clock.monotonic();
        self.usable(now).ok_or_else(|| self.unavailable(now))
    }

    /// Fetches the token that replaces `rejected`, once for all requests.
    pub(crate) fn refresh(self: &Arc<Self>, rejected: &Arc<Token>) -> Refreshed {
        let now = self.settings.clock.monotonic();
        let Some(permit) = self.wait_permits.acquire(MAX_WAITING) else {
            return self.refreshed(rejected, now);
        };
        let _abandoned;
        let mut state = self.state.lock();
        // Another request may have brought the next token.
        if let Refreshed::Changed = self.refreshed(rejected, now) {
            return Refreshed::Changed;
        }
        _abandoned = match self.current_fetch(&mut state) {
            // It may have begun before the token was replaced, and is then followed by another one.
            Ok(fetch) => {
                let waiter = fetch.wait(permit);
                drop(state);
                self.poll_in_task_if_needed();
                return Refreshed::Wait(waiter);
            }
            Err(abandoned) => abandoned,
        };
        if state.rejected.as_ref().is_some_and(|known| known.cools_down(rejected, now)) {
            return Refreshed::Unchanged;
        }
        state.rejected = Some(RejectedToken::new(Arc::clone(rejected)));
        let waiter = self.start_fetch(&mut state, permit, now);
        drop(state);
        self.poll_in_task_if_needed();
        Refreshed::Wait(waiter)
    }

    fn refreshed(&self, rejected: &Arc<Token>, now: Duration) -> Refreshed {
        match self.usable(now) {
            Some(token) if !Arc::ptr_eq(&token, rejected) => Refreshed::Changed,
            _ => Refreshed::Unchanged,
        }
    }

    fn usable(&self, now: Duration) -> Option<Arc<Token>> {
        let current = self.current.load();
        let dated = current.as_ref().filter(|dated| now < dated.usable_until)?;
        Some(Arc::clone(&dated.token))
    }

    fn unavailable(&self, now: Duration) -> Unavailable {
        let retry_after = self.next_fetch.remaining(now).min(MAX_RETRY_DELAY);
        Unavailable { retry_after: retry_after.max(FIRST_RETRY_DELAY) }
    }

    /// Starts a fetch for which no request waits.
    fn fetch_ahead(self: &Arc<Self>, now: Duration) {
        let Some(permit) = self.task_permits.acquire(usize::MAX) else { return };
        let _abandoned;
        let mut state = self.state.lock();
        let waiter = match self.current_fetch(&mut state) {
            Ok(_polled) => return,
            Err(abandoned) => {
                _abandoned = abandoned;
                // Another request may have started it, and it may have ended.
                if !self.next_fetch.has_passed(now) {
                    return;
                }
                self.start_fetch(&mut state, permit, now)
            }
        };
        drop(state);
        self.poll_in_task(waiter);
    }

    /// Waits for the fetch of a token, which is started when that is due.
    fn wait(self: &Arc<Self>, now: Duration) -> Result<Acquired, Unavailable> {
        let Some(permit) = self.wait_permits.acquire(MAX_WAITING) else {
            return Err(self.unavailable(now));
        };
        let _abandoned;
        let mut state = self.state.lock();
        // A fetch may have ended since the request looked.
        if let Some(token) = self.usable(now) {
            return Ok(Acquired::Token(token));
        }
        let waiter = match self.current_fetch(&mut state) {
            Ok(fetch) => fetch.wait(permit),
            Err(abandoned) => {
                _abandoned = abandoned;
                if !self.next_fetch.has_passed(now) {
                    return Err(self.unavailable(now));
                }
                self.start_fetch(&mut state, permit, now)
            }
        };
        drop(state);
        self.poll_in_task_if_needed();
        Ok(Acquired::Wait(waiter))
    }

    /// Returns the running fetch. One that nobody polls is replaced: its runtime has ended, and with it
    /// the timers and connections of the fetch.
    ///
    /// The error is an abandoned fetch or an empty slot. The caller drops it outside of the lock.
    fn current_fetch(&self, state: &mut FetchState) -> Result<InProgress<()>, FetchSlot<()>> {
        let Some(fetch) = state.slot.in_progress() else { return Err(FetchSlot::default()) };
        if !fetch.has_no_waiters() {
            return Ok(fetch);
        }
        self.next_fetch.set(Duration::ZERO);
        Err(state.slot.abandon())
    }

    fn start_fetch(
        self: &Arc<Self>,
        state: &mut FetchState,
        permit: WaitPermit,
        now: Duration,
    ) -> Waiter<()> {
        state.started_at = now;
        self.next_fetch.set(now.saturating_add(retry_delay(state.failures.saturating_add(1))));
        let (fetch, timeout) = (Arc::clone(&self.fetch), self.settings.timeout);
        // Weak, because the source owns the slot that owns this future.
        let source = Arc::downgrade(self);
        let future = Box::pin(async move {
            let fetched = without_panic(async move {
                let fetched = tokio::time::timeout(timeout, fetch()).await;
                fetched.unwrap_or(Err(TokenFetchFault::Timeout(timeout)))
            });
            let fetched = fetched.await;
            if let Some(source) = source.upgrade() {
                source.complete(fetched);
            }
        });
        state.slot.start(future, permit)
    }

    /// Lets the task poll the running fetch, unless it does.
    fn poll_in_task_if_needed(self: &Arc<Self>) {
        let fetch = self.state.lock().slot.in_progress();
        if let Some((fetch, permit)) = fetch.zip(self.task_permits.acquire(usize::MAX)) {
            self.poll_in_task(fetch.wait(permit));
        }
    }

    fn poll_in_task(self: &Arc<Self>, waiter: Waiter<()>) {
        // Weak, because the source owns the task.
        let source = Arc::downgrade(self);
        self.task.keep(|| async move {
            let mut next = Some(waiter);
            while let Some(waiter) = next {
                // The source has the token and the log has the failure.
                let _done = waiter.await;
                next = source.upgrade().and_then(|source| source.unattended());
            }
        });
    }

    /// Returns the wait for a fetch that began when the task was about to end.
    fn unattended(&self) -> Option<Waiter<()>> {
        let permit = self.task_permits.acquire(usize::MAX)?;
        let fetch = self.state.lock().slot.in_progress()?;
        fetch.has_no_waiters().then(|| fetch.wait(permit))
    }

    /// Stores the fetched token and logs a change of state.
    fn complete(&self, fetched: Result<FetchedToken, TokenFetchFault>) {
        let now = self.settings.clock.monotonic();
        let mut state = self.state.lock();
        let stored = fetched.and_then(|fetched| self.store(&fetched, state.started_at, now));
        if let Some(rejected) = &mut state.rejected {
            let current = self.current.load();
            rejected.looked(current.as_ref().map(|current| &current.token), now);
        }
        let owner = self.owner.get();
        let (stage, upstream) =
            owner.map_or(("", ""), |owner| (owner.stage.as_ref(), owner.upstream.as_ref()));
        match stored {
            Ok(()) => {
                state.failures = 0;
                let recovered = std::mem::take(&mut state.failing);
                drop(state);
                if recovered {
                    tracing::info!(stage, upstream, "the upstream's token can be fetched again");
                }
            }
            Err(fault) => {
                state.failures = state.failures.saturating_add(1);
                state.all_failures += 1;
                let delay = retry_delay(state.failures).mul_f64(0.75 + 0.25 * random());
                self.next_fetch.set(now.saturating_add(delay));
                let known = std::mem::replace(&mut state.failing, true);
                drop(state);
                if !known {
                    let serves = self.usable(now).is_some();
                    let reason = match fault {
                        TokenFetchFault::Function(text) => log_text(&text, &self.scrubber),
                        fault => fault.to_string().into(),
                    };
                    tracing::warn!(
                        stage,
                        upstream,
                        %reason,
                        last_token_serves = serves,
                        "the upstream's token cannot be fetched"
                    );
                }
            }
        }
    }

    /// Makes `fetched` the current token. A token with the text of the current one is the current one.
    fn store(
        &self,
        fetched: &FetchedToken,
        started_at: Duration,
        now: Duration,
    ) -> Result<(), TokenFetchFault> {
        let FetchSettings { refresh_interval, grace, .. } = self.settings;
        let text = fetched.secret.expose().trim_ascii();
        let (due_in, expires_at) = match fetched.lifetime {
            Some(lifetime) => {
                (lifetime.mul_f64(0.75 + 0.15 * random()), started_at.saturating_add(lifetime))
            }
            None => (refresh_interval.mul_f64(0.9 + 0.1 * random()), Duration::MAX),
        };
        if now >= expires_at {
            return Err(TokenFetchFault::Expired);
        }
        let due_at = started_at.saturating_add(due_in.max(SHORTEST_INTERVAL));
        let current = self.current.load();
        let same = current.as_ref().filter(|current| current.token.is(text));
        let token = match same {
            Some(current) => Arc::clone(&current.token),
            None => {
                let token = Token::new(text).map_err(TokenFetchFault::Token)?;
                // First, so that no request carries a token that the scrubber does not know.
                self.scrubber.rotate(Secret::new(text));
                Arc::new(token)
            }
        };
        let usable_until = due_at.saturating_add(grace).min(expires_at);
        let dated = DatedToken { token, fetched_at: started_at, usable_until };
        self.current.store(Some(Arc::new(dated)));
        self.next_fetch.set(due_at);
        Ok(())
    }
}

impl fmt::Debug for FetchedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchedSource").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Returns the delay after `failures` consecutive failures.
fn retry_delay(failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST_RETRY_DELAY.saturating_mul(doubled).min(MAX_RETRY_DELAY)
}

/// Makes a panic of the user's function a failed fetch, so that it costs no request its connection.
async fn without_panic(
    fetch: impl Future<Output = Result<FetchedToken, TokenFetchFault>> + Send,
) -> Result<FetchedToken, TokenFetchFault> {
    let mut fetch = Box::pin(fetch);
    poll_fn(move |cx| {
        // Not polled after a panic.
        catch_unwind(AssertUnwindSafe(|| fetch.as_mut().poll(cx)))
            .unwrap_or(Poll::Ready(Err(TokenFetchFault::Panicked)))
    })
    .await
}
