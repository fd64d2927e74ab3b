use std::{sync::Arc, time::Duration};

use redis::RedisResult;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    bounds::{Bounds, CONNECT_TIMEOUT},
    connection::Connection,
    node::Dialer,
    places::Places,
    policy::Policy,
};
use crate::{clock::SharedClock, lock::Lock, owned_task::Task};

/// The pause between two attempts to connect.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// A server that was up for less is not tried again at once. Otherwise a server that is slow now and
/// then would change state many times a second.
const STEADY: Duration = Duration::from_secs(5);

/// A link to one server or one cluster. Its drop ends the connection and the task.
#[derive(Debug)]
pub(crate) struct Link<P> {
    shared: Arc<Shared<P>>,
    task: Task,
}

/// The check of a new connection before requests use it.
pub(crate) trait Probe: Send + Sync + 'static {
    /// Runs every command that later calls need. Leaves no key behind.
    fn probe(&self, connection: Connection) -> impl Future<Output = RedisResult<()>> + Send;

    /// The warning for the operator of a server with this policy.
    fn advice(&self, policy: &Policy) -> Option<&'static str>;
}

/// The server is away or did not reply in time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Away {
    /// Whether the server may have run the command all the same.
    pub(crate) perhaps_done: bool,
}

/// The state of a link that its task shares.
struct Shared<P> {
    places: Places,
    dialer: Dialer,
    wait: Duration,
    probe: P,
    state: watch::Sender<State>,
    // The last warning of the server's policy.
    advice: Lock<Option<&'static str>>,
}

#[derive(Clone, Debug)]
enum State {
    Unknown,
    /// Holds the number of the connection. A late failure of an old connection does not mark the new
    /// one as lost.
    Up(u64, Connection),
    Away,
}

// === impl Link ===

impl<P: Probe> Link<P> {
    /// Connects as soon as there is a tokio runtime, at the latest with the first call.
    pub(crate) fn new(places: Places, wait: Duration, bounds: Bounds, probe: P) -> Self {
        let (state, _) = watch::channel(State::Unknown);
        let dialer = places.dialer(bounds);
        let advice = Lock::default();
        let shared = Arc::new(Shared { places, dialer, wait, probe, state, advice });
        let link = Self { shared, task: Task::default() };
        link.keep();
        link
    }

    /// Runs `call` with a connection within the timeout.
    ///
    /// # Errors
    ///
    /// Fails at once while the server is away. Otherwise fails with the call or at the timeout.
    pub(crate) async fn with<T, F>(&self, call: impl Fn(Connection) -> F) -> Result<T, Away>
    where
        F: Future<Output = RedisResult<T>>,
    {
        self.within(self.shared.wait, call).await
    }

    /// Like [`with`](Self::with) with its own timeout. For work that no request waits for.
    pub(crate) async fn within<T, F>(
        &self,
        wait: Duration,
        call: impl Fn(Connection) -> F,
    ) -> Result<T, Away>
    where
        F: Future<Output = RedisResult<T>>,
    {
        self.keep();
        self.shared.with(wait, call, 2).await
    }

    /// Like [`with`](Self::with) but never repeats a command that the server may have run.
    pub(crate) async fn once<T, F>(&self, call: impl Fn(Connection) -> F) -> Result<T, Away>
    where
        F: Future<Output = RedisResult<T>>,
    {
        self.keep();
        self.shared.with(self.shared.wait, call, 1).await
    }

    /// Whether a call would wait for the server's reply alone.
    pub(crate) fn is_up(&self) -> bool {
        matches!(*self.shared.state.borrow(), State::Up(..))
    }

    /// Waits until the server is up.
    pub(crate) async fn up(&self) {
        self.keep();
        let mut states = self.shared.state.subscribe();
        // The sender lives as long as this link.
        let _closed = states.wait_for(|state| matches!(state, State::Up(..))).await;
    }

    /// Starts connecting unless the task already does.
    pub(crate) fn keep(&self) {
        self.task.keep(|| Arc::clone(&self.shared).connect_for_ever());
    }
}

// === impl Shared ===

impl<P: Probe> Shared<P> {
    async fn with<T, F>(
        &self,
        wait: Duration,
        call: impl Fn(Connection) -> F,
        times: u32,
    ) -> Result<T, Away>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let mut used = None;
        let outcome = timeout(wait, async {
            let (number, connection) = self.connection().await?;
            used = Some(number);
            let reply = call(connection.clone()).await;
            // An idle connection may have been closed meanwhile. The second call opens it again.
            Some(match reply {
                Err(error) if times > 1 && error.is_connection_dropped() => call(connection).await,
                reply => reply,
            })
        });
        let cause = match outcome.await {
            Ok(None) => return Err(Away { perhaps_done: false }),
            Ok(Some(Ok(reply))) => return Ok(reply),
            Ok(Some(Err(error))) => self.cause(&error),
            Err(_elapsed) => Cause::Timeout,
        };
        if let Some(number) = used {
            self.lost(number, &cause);
        }
        Err(Away { perhaps_done: used.is_some() && !matches!(cause, Cause::Refused(_)) })
    }

    /// The current connection. Waits for the first one. `None` while the server is away.
    async fn connection(&self) -> Option<(u64, Connection)> {
        let known = |state: &State| match state {
            State::Unknown => None,
            State::Up(number, connection) => Some(Some((*number, connection.clone()))),
            State::Away => Some(None),
        };
        if let Some(known) = known(&self.state.borrow()) {
            return known;
        }
        let mut states = self.state.subscribe();
        let state = states.wait_for(|state| !matches!(state, State::Unknown)).await.ok()?;
        known(&state).flatten()
    }

    fn lost(&self, number: u64, cause: &Cause) {
        self.state.send_if_modified(|state| {
            let is_this = matches!(state, State::Up(current, _) if *current == number);
            if is_this {
                *state = State::Away;
                cause.log();
            }
            is_this
        });
    }

    async fn connect_for_ever(self: Arc<Self>) {
        let clock = SharedClock::default();
        for number in 0.. {
            match self.connect().await {
                Ok(connection) => {
                    let mut states = self.state.subscribe();
                    let was_away = matches!(
                        self.state.send_replace(State::Up(number, connection)),
                        State::Away
                    );
                    if was_away {
                        tracing::info!("the shared store is back");
                    }
                    let since = clock.monotonic();
                    let _lost = states.wait_for(|state| matches!(state, State::Away)).await;
                    if clock.monotonic().saturating_sub(since) >= STEADY {
                        continue;
                    }
                }
                Err(cause) => {
                    self.state.send_if_modified(|state| {
                        let changes = !matches!(state, State::Away);
                        if changes {
                            *state = State::Away;
                            cause.log();
                        }
                        changes
                    });
                }
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    async fn connect(&self) -> Result<Connection, Cause> {
        let connection = async {
            let connection = self.places.connect(&self.dialer).await?;
            // The first probe may load scripts.
            self.probe.probe(connection.clone()).await?;
            Ok(connection)
        };
        let connection = self.within(CONNECT_TIMEOUT, connection).await?;
        // A server that is too slow for a call is not up.
        self.within(self.wait, self.probe.probe(connection.clone())).await?;
        self.advise(connection.clone()).await;
        Ok(connection)
    }

    async fn within<T>(
        &self,
        wait: Duration,
        call: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, Cause> {
        match timeout(wait, call).await {
            Ok(reply) => reply.map_err(|error| self.cause(&error)),
            Err(_elapsed) => Err(Cause::Timeout),
        }
    }

    /// Warns of the server's policy once until the policy changes. Says nothing when the server does
    /// not report one.
    async fn advise(&self, connection: Connection) {
        let Ok(policies) = timeout(CONNECT_TIMEOUT, Policy::read(connection)).await else { return };
        let found = policies.iter().find_map(|policy| Some((policy, self.probe.advice(policy)?)));
        let advice = found.map(|(_, advice)| advice);
        if std::mem::replace(&mut *self.advice.lock(), advice) == advice {
            return;
        }
        if let Some((Policy { max_memory, eviction }, advice)) = found {
            tracing::warn!(maxmemory = max_memory, maxmemory_policy = eviction, "{advice}");
        }
    }

    fn cause(&self, error: &redis::RedisError) -> Cause {
        match self.dialer.breach() {
            Some(breach) => Cause::Broken(breach.to_owned()),
            None => Cause::of(error),
        }
    }
}

impl<P> std::fmt::Debug for Shared<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("places", &self.places).finish_non_exhaustive()
    }
}

/// Why the server is away. Holds no address and no name of a key.
enum Cause {
    Timeout,
    /// The error code of the server such as READONLY or OOM.
    Refused(String),
    Broken(String),
}

impl Cause {
    fn of(error: &redis::RedisError) -> Self {
        match error.code() {
            Some(code) => Self::Refused(code.to_owned()),
            None => Self::Broken(error.category().to_owned()),
        }
    }

    fn log(&self) {
        let cause = match self {
            Self::Timeout => "timeout",
            Self::Refused(word) | Self::Broken(word) => word,
        };
        tracing::warn!(cause, "the shared store is away");
    }
}
