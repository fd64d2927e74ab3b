//! Bounds the open connections in total and per address.
//!
//! A connection costs a client little. One client could open them all and send nothing. When a new
//! connection needs room, idle ones are closed, the longest idle first. A connection is idle between
//! two requests and while it has sent no complete head.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use tokio::{
    task::{AbortHandle, Id, JoinSet},
    time::Instant,
};

use crate::activity::Activity;

/// The time between two searches for idle connections when the first one found none. A search looks at
/// every connection.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// How long a connection must be idle before it is closed for another one. A new connection has this
/// time to send its head.
const GRACE: Duration = Duration::from_secs(1);

/// Owns every connection. Dropping it ends them.
pub(crate) struct Connections {
    tasks: JoinSet<()>,
    open: HashMap<Id, Open>,
    addresses: HashMap<IpAddr, Address>,
    /// The number of connections that are closing.
    closing: usize,
    last_empty_search: Option<Instant>,
    max: usize,
    max_per_address: usize,
}

struct Open {
    /// `None` while the connection is closing. It then no longer counts for its address.
    address: Option<IpAddr>,
    activity: Activity,
    task: AbortHandle,
}

#[derive(Default)]
struct Address {
    open: HashSet<Id>,
    last_empty_search: Option<Instant>,
}

impl Connections {
    pub(crate) fn new(max: usize, max_per_address: usize) -> Self {
        Self {
            tasks: JoinSet::new(),
            open: HashMap::new(),
            addresses: HashMap::new(),
            closing: 0,
            last_empty_search: None,
            max,
            max_per_address,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Returns whether one more connection fits. If none does, closes idle ones.
    pub(crate) fn make_room(&mut self) -> bool {
        if self.len() < self.max {
            return true;
        }
        if self.closing == 0 && !is_recent(self.last_empty_search) {
            // Closes several so that a flood of connections does not cost a search each.
            let idle = longest_idle(self.open.iter(), batch(self.max));
            self.last_empty_search = idle.is_empty().then(Instant::now);
            self.close(&idle);
        }
        false
    }

    /// Serves a connection from `address` unless the address has too many connections and all are busy.
    pub(crate) fn admit<F>(&mut self, address: IpAddr, connection: impl FnOnce(Activity) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let address = network(address);
        if !self.admits(address) {
            return;
        }
        let activity = Activity::new();
        let task = self.tasks.spawn(connection(activity.clone()));
        let id = task.id();
        self.open.insert(id, Open { address: Some(address), activity, task });
        self.addresses.entry(address).or_default().open.insert(id);
    }

    /// Waits until a connection ends. Waits for ever if there is none.
    pub(crate) async fn ended(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => error.id(),
            None => return std::future::pending().await,
        };
        match self.open.remove(&id) {
            Some(Open { address: Some(address), .. }) => self.leave(address, id),
            Some(Open { address: None, .. }) => self.closing -= 1,
            None => {}
        }
    }

    pub(crate) async fn all_ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    /// Ends all connections.
    pub(crate) async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
    }

    fn admits(&mut self, address: IpAddr) -> bool {
        let Some(of_address) = self.addresses.get_mut(&address) else { return true };
        if of_address.open.len() < self.max_per_address {
            return true;
        }
        if is_recent(of_address.last_empty_search) {
            return false;
        }
        let open = of_address.open.iter().filter_map(|id| Some((id, self.open.get(id)?)));
        let idle = longest_idle(open, batch(self.max_per_address));
        of_address.last_empty_search = idle.is_empty().then(Instant::now);
        self.close(&idle);
        !idle.is_empty()
    }

    /// Closes connections that are idle. A request that is under way is lost, as on every connection
    /// that is closed between two requests (RFC 9112 section 9.3.1).
    fn close(&mut self, ids: &[Id]) {
        for id in ids {
            let Some(open) = self.open.get_mut(id) else { continue };
            if !open.activity.close_if_idle() {
                continue;
            }
            open.task.abort();
            if let Some(address) = open.address.take() {
                self.closing += 1;
                self.leave(address, *id);
            }
        }
    }

    fn leave(&mut self, address: IpAddr, id: Id) {
        if let Some(of_address) = self.addresses.get_mut(&address) {
            of_address.open.remove(&id);
            if of_address.open.is_empty() {
                self.addresses.remove(&address);
            }
        }
    }
}

fn is_recent(at: Option<Instant>) -> bool {
    at.is_some_and(|at| at.elapsed() < PAUSE)
}

/// Returns how many connections one search closes.
const fn batch(max: usize) -> usize {
    max.div_ceil(64)
}

/// Returns at most `count` connections that have been idle for the grace time.
fn longest_idle<'a>(open: impl Iterator<Item = (&'a Id, &'a Open)>, count: usize) -> Vec<Id> {
    let idle = |(id, open): (&Id, &Open)| Some((open.activity.idle_since()?, *id));
    let now = Instant::now();
    let since = |(since, _): &(Instant, Id)| now.duration_since(*since) >= GRACE;
    let mut idle: Vec<(Instant, Id)> = open.filter_map(idle).filter(since).collect();
    if idle.len() > count {
        idle.select_nth_unstable_by_key(count, |(since, _)| *since);
        idle.truncate(count);
    }
    idle.into_iter().map(|(_, id)| id).collect()
}

/// Returns the address. Returns the first 64 bits of an IPv6 address because a subscriber has at least
/// that network (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Version;
    use tokio::time::sleep;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    async fn idle(_: Activity) {
        std::future::pending().await
    }

    /// Has a request in flight for ever.
    async fn busy(activity: Activity) {
        let _in_flight = activity.begin(Version::HTTP_2);
        std::future::pending().await
    }

    fn full(max: usize, max_per_address: usize) -> Connections {
        let mut connections = Connections::new(max, max_per_address);
        for host in 0..max {
            let address = IpAddr::from([192, 0, 2, u8::try_from(host).unwrap()]);
            connections.admit(address, idle);
        }
        connections
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_makes_room() {
        let mut connections = Connections::new(2, 2);
        let mut activities = Vec::new();
        for host in ["192.0.2.1", "192.0.2.2"] {
            connections.admit(address(host), |activity| {
                activities.push(activity.clone());
                idle(activity)
            });
            sleep(GRACE).await;
        }
        // The first one is used again and the second has been idle for longer.
        drop(activities[0].begin(Version::HTTP_11));
        sleep(GRACE).await;
        assert!(!connections.make_room());
        assert!(activities[0].idle_since().is_some() && activities[1].idle_since().is_none());
        connections.ended().await;
        assert!(connections.make_room());
        assert_eq!(connections.len(), 1);
    }

    /// Asserts that no connection ends.
    async fn assert_none_ends(connections: &mut Connections) {
        tokio::select! {
            biased;
            () = connections.ended() => panic!("one has ended"),
            () = sleep(PAUSE) => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn busy_connections_make_no_room() {
        let mut connections = Connections::new(2, 2);
        connections.admit(address("192.0.2.1"), busy);
        connections.admit(address("192.0.2.2"), busy);
        for _ in 0..20 {
            sleep(GRACE).await;
            assert!(!connections.make_room());
            assert_none_ends(&mut connections).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_has_time_for_its_head() {
        let mut connections = full(1, 1);
        sleep(GRACE - Duration::from_millis(1)).await;
        assert!(!connections.make_room());
        assert_none_ends(&mut connections).await;
        assert!(!connections.make_room());
        connections.ended().await;
        assert!(connections.make_room());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_told_to_close_while_some_are_closing() {
        let mut connections = full(200, 200);
        sleep(GRACE).await;
        for _ in 0..5 {
            assert!(!connections.make_room());
            assert_eq!(connections.closing, 4);
        }
        for _ in 0..4 {
            connections.ended().await;
        }
        assert_eq!((connections.closing, connections.len()), (0, 196));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_makes_room_for_itself() {
        let mut connections = Connections::new(100, 2);
        for _ in 0..10 {
            connections.admit(address("2001:db8::1"), idle);
            connections.admit(address("2001:db8::2"), idle);
            connections.admit(address("192.0.2.1"), idle);
            sleep(GRACE).await;
        }
        while connections.closing > 0 {
            connections.ended().await;
        }
        // Two connections of a network and two of an address.
        assert_eq!(connections.len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_whose_connections_are_busy_gets_no_more() {
        let mut connections = Connections::new(100, 2);
        for _ in 0..10 {
            connections.admit(address("192.0.2.1"), busy);
            sleep(GRACE).await;
        }
        assert_eq!(connections.len(), 2);
        connections.admit(address("192.0.2.2"), busy);
        assert_eq!(connections.len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_of_those_that_have_ended() {
        let mut connections = full(100, 1);
        sleep(GRACE).await;
        for left in (0..100).rev() {
            connections.max = left + 1;
            assert!(!connections.make_room());
            connections.ended().await;
        }
        assert!(connections.open.is_empty() && connections.addresses.is_empty());
    }
}
