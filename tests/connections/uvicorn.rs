//! uvicorn itself, of the path or of `UVICORN`.

use std::{
    env,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tower_inference::client::{Builder, HttpsClient};

use crate::caller::{Caller, Outcome};

const CLIENTS: usize = 25;
const ROUNDS: usize = 4;
const AT_ONCE: usize = 10;

/// Stopped when it is dropped.
struct Uvicorn {
    child: Child,
    address: SocketAddr,
}

impl Drop for Uvicorn {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// The program, or `None` where it is not here. With `CI` set it has to be.
fn program() -> Option<PathBuf> {
    let program = env::var_os("UVICORN").map(PathBuf::from).or_else(|| {
        let path = env::var_os("PATH")?;
        env::split_paths(&path).map(|folder| folder.join("uvicorn")).find(|at| at.exists())
    });
    if program.is_none() {
        eprintln!("uvicorn: not here, so nothing is tested");
        assert!(env::var_os("CI").is_none(), "CI must have uvicorn");
    }
    program
}

impl Uvicorn {
    /// One that closes connections which were idle for a second: it takes whole ones only.
    fn start(program: PathBuf) -> Self {
        let mut child = Command::new(program)
            .args(["--app-dir", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/connections")])
            .args(["--host", "127.0.0.1", "--port", "0", "--lifespan", "off", "--http", "h11"])
            .args(["--loop", "asyncio", "--timeout-keep-alive", "1", "--no-access-log"])
            .args(["--no-use-colors", "uvicorn_app:app"])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, address) = line.split_once("running on http://")?;
            address.split(' ').next()?.parse().ok()
        });
        let address = address.expect("uvicorn says where it listens");
        // Its log is read on, so that it can be written.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child, address }
    }
}

/// Requests of a client in four rounds. Each round waits until uvicorn closes a connection that was
/// used in the middle of the round before, so that it closes those of the pool around the same time.
async fn around_the_close(address: SocketAddr, builder: Builder) -> Vec<Outcome> {
    // Only uvicorn closes.
    let caller = Caller::new(builder.pool_idle_timeout(Duration::from_secs(60)), address);
    let mut outcomes = Vec::new();
    for round in 0..=ROUNDS {
        let mut requests = JoinSet::new();
        let mut sentinel = None;
        for nth in 0..AT_ONCE {
            let caller = caller.clone();
            requests.spawn(async move { unless_hung("a request", caller.chat()).await });
            if nth == AT_ONCE / 2 {
                sentinel = Some(tokio::spawn(closed_by(address)));
            }
        }
        let answered = requests.join_all().await;
        // The first round fills the pool.
        if round > 0 {
            outcomes.extend(answered);
        }
        unless_hung("the close of a connection", sentinel.unwrap()).await.unwrap();
    }
    outcomes
}

/// Beyond this a test has hung: nothing is asserted about time.
async fn unless_hung<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(done) = timeout(Duration::from_secs(60), future).await else { panic!("hung: {what}") };
    done
}

/// Makes one request, and waits for the end of its connection.
async fn closed_by(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: uvicorn\r\n\r\n").await.unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await.unwrap();
    assert!(response.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

// On one thread, where tokio's channel loses no request: see the limits of the module `client`.
#[tokio::test]
async fn a_thousand_requests_around_its_close_get_a_response() {
    let Some(program) = program() else { return };
    let uvicorn = Uvicorn::start(program);
    // A machine under load may need more than a second for a round trip.
    let builder = HttpsClient::builder().retry_window(Duration::from_secs(60));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(around_the_close(uvicorn.address, builder.clone()));
    }
    let outcomes: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
    assert_eq!(outcomes.len(), 1000);
    let failed: Vec<_> =
        outcomes.iter().filter(|outcome| (outcome.status, outcome.whole) != (200, true)).collect();
    let again = outcomes.iter().filter(|outcome| outcome.attempts == 2).count();
    println!("{again} of {} requests were sent once more", outcomes.len());
    assert!(failed.is_empty(), "{failed:?}");
}
