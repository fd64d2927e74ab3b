//! Real servers on free ports of this machine, stopped when they are dropped.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::wire::{Reply, Wire};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Brand {
    /// `redis-server`, of the path or of `REDIS_SERVER`.
    Redis,
    /// What `VALKEY_SERVER` names.
    Valkey,
}

#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    pub port: u16,
    child: Option<Child>,
}

/// Three nodes that share all slots between them.
#[derive(Debug)]
pub struct Cluster(pub Vec<Server>);

/// A port that nobody listens on at the moment.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Asks until there is an answer. Panics when there is none in time.
#[track_caller]
pub fn until<T>(what: &str, seconds: u64, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "{what}: not within {seconds} s");
        thread::sleep(Duration::from_millis(5));
    }
}

// === impl Brand ===

impl Brand {
    /// The program, or `None` where it is not here. With `CI` set it has to be.
    pub fn program(self) -> Option<PathBuf> {
        let program = match self {
            Self::Redis => env::var_os("REDIS_SERVER").map(PathBuf::from).or_else(|| {
                let path = env::var_os("PATH")?;
                env::split_paths(&path)
                    .map(|folder| folder.join("redis-server"))
                    .find(|at| at.exists())
            }),
            Self::Valkey => env::var_os("VALKEY_SERVER").map(PathBuf::from),
        };
        if program.is_none() {
            eprintln!("{self:?}: no server here, so nothing is tested");
            assert!(env::var_os("CI").is_none(), "CI must have the server of {self:?}");
        }
        program
    }

    pub fn start(self) -> Option<Server> {
        self.start_with(|_| Vec::new())
    }

    /// Starts one with more arguments, made with the folder that it runs in.
    pub fn start_with(self, arguments: impl Fn(&Path) -> Vec<String>) -> Option<Server> {
        Some(Server::start(self.program()?, arguments))
    }

    pub fn cluster(self) -> Option<Cluster> {
        Some(Cluster::start(&self.program()?))
    }
}

// === impl Server ===

impl Server {
    fn start(program: PathBuf, arguments: impl Fn(&Path) -> Vec<String>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // Between the look for a free port and the start somebody else may take it.
        for _ in 0..5 {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("tower-inference-redis-{}-{number}", process::id());
            let folder = env::temp_dir().join(name);
            fs::create_dir_all(&folder).unwrap();
            let arguments = arguments(&folder);
            let program = program.clone();
            let mut server = Self { program, arguments, folder, port: free_port(), child: None };
            if server.try_begin() {
                return server;
            }
        }
        panic!("{} does not start", program.display());
    }

    /// Starts it again, where it was.
    pub fn begin(&mut self) {
        assert!(self.try_begin(), "{} does not start again", self.program.display());
    }

    fn try_begin(&mut self) -> bool {
        let log = fs::File::create(self.folder.join("log")).unwrap();
        let mut child = Command::new(&self.program)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "no", "--loglevel", "warning", "--daemonize", "no"])
            .args(["--dir".as_ref(), self.folder.as_os_str()])
            .args(["--repl-diskless-sync-delay", "0"])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let up = until("a server starts", 20, || {
            if child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let reply = Wire::open(self.port).and_then(|mut wire| wire.try_ask(&[b"PING"]));
            // A server that asks for a password answers as well.
            matches!(reply, Ok(Reply::Line(_) | Reply::Error(_))).then_some(true)
        });
        self.child = Some(child);
        up
    }

    /// Ends it at once, as a crash would.
    pub fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Lets it hang: its connections stay, and are not answered.
    pub fn hang(&self) {
        self.signal("-STOP");
    }

    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub fn wire(&self) -> Wire {
        Wire::open(self.port).unwrap()
    }

    pub fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// How many scripts it has run to their end.
    pub fn scripts(&self) -> u64 {
        let statistics = self.wire().must("INFO commandstats").text();
        let number = |line: &str, name: &str| {
            let (_, rest) = line.split_once(name)?;
            rest.split(',').next()?.trim().parse::<u64>().ok()
        };
        let of_scripts = ["cmdstat_eval:", "cmdstat_evalsha:", "cmdstat_fcall:"];
        statistics
            .lines()
            .filter(|line| of_scripts.iter().any(|name| line.starts_with(name)))
            .map(|line| {
                let failed = number(line, "failed_calls=").unwrap_or_default();
                number(line, ":calls=").unwrap() - failed
            })
            .sum()
    }

    /// The names of all keys.
    pub fn keys(&self) -> Vec<String> {
        self.wire().must("KEYS *").list().into_iter().map(Reply::text).collect()
    }

    /// What is kept under a key, as bytes.
    pub fn value(&self, key: &str) -> Vec<u8> {
        let mut wire = self.wire();
        match wire.must(&format!("TYPE {key}")).text().as_str() {
            "hash" => wire.must(&format!("HGETALL {key}")).bytes(),
            _ => wire.must(&format!("GET {key}")).bytes(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

// === impl Cluster ===

impl Cluster {
    fn start(program: &Path) -> Self {
        let node = || {
            Server::start(program.to_owned(), |_| {
                let bus = free_port().to_string();
                let node = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
                let bus = ["--cluster-port", &bus];
                node.iter().chain(&bus).map(|word| (*word).to_owned()).collect()
            })
        };
        let nodes = [node(), node(), node()];
        let bus = |node: &Server| node.arguments.last().unwrap().clone();
        for (node, slots) in nodes.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
            node.wire().must(&format!("CLUSTER ADDSLOTSRANGE {slots}"));
        }
        for (epoch, node) in nodes.iter().enumerate() {
            node.wire().must(&format!("CLUSTER SET-CONFIG-EPOCH {}", epoch + 1));
            if epoch > 0 {
                let port = node.port;
                nodes[0].wire().must(&format!("CLUSTER MEET 127.0.0.1 {port} {}", bus(node)));
            }
        }
        let cluster = Self(nodes.into());
        until("the cluster is whole", 30, || cluster.0.iter().all(Server::knows_all).then_some(()));
        cluster
    }

    pub fn addresses(&self) -> Vec<String> {
        self.0.iter().map(Server::address).collect()
    }

    pub fn scripts(&self) -> u64 {
        self.0.iter().map(Server::scripts).sum()
    }

    /// Moves the slot of this key, with all that is in it, to the next node.
    pub fn move_slot_of(&self, key: &str) {
        let slot = self.0[0].wire().must(&format!("CLUSTER KEYSLOT {key}")).number();
        let from = match slot {
            0..=5460 => 0,
            5461..=10922 => 1,
            _ => 2,
        };
        let (from, to) = (&self.0[from], &self.0[(from + 1) % 3]);
        let id = |node: &Server| node.wire().must("CLUSTER MYID").text();
        to.wire().must(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", id(from)));
        from.wire().must(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(to)));
        for key in from.wire().must(&format!("CLUSTER GETKEYSINSLOT {slot} 1000")).list() {
            let key = key.text();
            from.wire().must(&format!("MIGRATE 127.0.0.1 {} {key} 0 5000", to.port));
        }
        for node in [to, from].into_iter().chain(&self.0) {
            node.wire().must(&format!("CLUSTER SETSLOT {slot} NODE {}", id(to)));
        }
    }
}

impl Server {
    fn knows_all(&self) -> bool {
        let state = self.wire().must("CLUSTER INFO").text();
        state.contains("cluster_state:ok")
            && state.contains("cluster_known_nodes:3")
            && state.contains("cluster_slots_ok:16384")
    }
}
