//! The gateway as a process.

use std::{
    env, mem,
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Output, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, ChildStderr, ChildStdout, Command},
    sync::mpsc,
    time::timeout,
};

/// Beyond which a test has hung: nothing is asserted about time.
const HUNG: Duration = Duration::from_secs(60);

/// A running gateway, killed when dropped.
pub struct Gateway {
    child: Child,
    pub url: String,
    pub address: SocketAddr,
    stdout: mpsc::UnboundedReceiver<String>,
    stderr: mpsc::UnboundedReceiver<String>,
    unread: Unread,
}

/// Pipes that are open, and that nobody reads.
type Unread = (Option<BufReader<ChildStdout>>, Option<BufReader<ChildStderr>>);

/// What becomes of a pipe's other end once the gateway has started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reader {
    Reads,
    Sleeps,
    Leaves,
}

impl Gateway {
    /// Starts one on a free port, and waits until it listens.
    pub async fn start<A: AsRef<str>>(args: impl IntoIterator<Item = A>) -> Self {
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned());
        let mut args: Vec<_> = args.chain(["--listen", "127.0.0.1:0"].map(str::to_owned)).collect();
        // The demo's own default is a file.
        if !args.iter().any(|arg| arg == "--access-log") {
            args.extend(["--access-log", "stdout"].map(str::to_owned));
        }
        Self::start_with(args).await
    }

    /// Starts one with these arguments and no others, and waits until it listens.
    pub async fn start_with<A: AsRef<str>>(args: impl IntoIterator<Item = A>) -> Self {
        let mut command = command(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = lines(BufReader::new(child.stdout.take().unwrap()));
        let stderr = lines(BufReader::new(child.stderr.take().unwrap()));
        let mut gateway = Self {
            child,
            url: String::new(),
            address: SocketAddr::from(([0; 4], 0)),
            stdout,
            stderr,
            unread: (None, None),
        };
        let line = gateway.said("listening on ").await;
        gateway.url = line.trim_start_matches("listening on ").to_owned();
        let (_, address) = gateway.url.split_once("://").unwrap();
        gateway.address = address.parse().unwrap();
        gateway
    }

    /// Starts one at `address` by a script of the shell, in which `"$0" "$@"` is the gateway. Waits
    /// until it listens, unless the script sends stdout elsewhere.
    pub async fn start_by<A: AsRef<str>>(
        script: &str,
        address: SocketAddr,
        [stdout, stderr]: [Reader; 2],
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(example()).args(["--listen", &address.to_string()]);
        command.args(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        command.stdin(Stdio::null()).kill_on_drop(true);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let err = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        if unless_hung(out.read_line(&mut line)).await.unwrap() > 0 {
            assert_eq!(line, format!("listening on http://{address}\n"));
        }
        let (out, unread_out) = follow(stdout, out);
        let (err, unread_err) = follow(stderr, err);
        let url = format!("http://{address}");
        Self { child, url, address, stdout: out, stderr: err, unread: (unread_out, unread_err) }
    }

    /// Reads what was left unread.
    pub fn read(&mut self) {
        let (stdout, stderr) = mem::take(&mut self.unread);
        self.stdout = stdout.map_or_else(|| mpsc::unbounded_channel().1, lines);
        self.stderr = stderr.map_or_else(|| mpsc::unbounded_channel().1, lines);
    }

    /// A demo, with what it prints.
    pub async fn demo<A: AsRef<str>>(args: impl IntoIterator<Item = A>) -> (Self, Banner) {
        Self::demo_of(Self::start(args).await).await
    }

    /// A demo that was started, with what it prints.
    pub async fn demo_of(mut gateway: Self) -> (Self, Banner) {
        let mut lines = Vec::new();
        loop {
            let line = gateway.said("").await;
            let last = line.contains("/token ");
            lines.push(line);
            if last {
                return (gateway, Banner(lines));
            }
        }
    }

    /// Waits for the next line of its output that holds `what`.
    pub async fn said(&mut self, what: &str) -> String {
        next_with(&mut self.stdout, what, "output").await
    }

    /// Waits for the next line of its errors that holds `what`.
    pub async fn complained(&mut self, what: &str) -> String {
        next_with(&mut self.stderr, what, "errors").await
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("it has not ended")
    }

    pub async fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().await.unwrap().success());
    }

    /// What is left of its output, once it has ended.
    pub async fn rest(&mut self) -> Vec<String> {
        let mut rest = Vec::new();
        while let Some(line) = unless_hung(self.stdout.recv()).await {
            rest.push(line);
        }
        rest
    }

    /// The same of its errors.
    pub async fn rest_of_errors(&mut self) -> Vec<String> {
        mem::swap(&mut self.stdout, &mut self.stderr);
        let rest = self.rest().await;
        mem::swap(&mut self.stdout, &mut self.stderr);
        rest
    }

    pub async fn ended(&mut self) -> ExitStatus {
        unless_hung(self.child.wait()).await.unwrap()
    }
}

/// What a demo prints, after the line that says where it listens.
pub struct Banner(Vec<String>);

impl Banner {
    /// The command that follows the comment which starts with `label`.
    pub fn command(&self, label: &str) -> String {
        let after = |line: &&String| !line.starts_with(&format!("# {label}"));
        self.0.iter().skip_while(after).nth(1).unwrap_or_else(|| panic!("{label}")).clone()
    }

    /// The lines that set variables.
    pub fn variables(&self) -> String {
        let lines = self.0.iter().filter(|line| line.starts_with("TOKEN"));
        lines.map(|line| format!("{line}\n")).collect()
    }

    pub fn token(&self) -> &str {
        self.0.iter().find_map(|line| line.strip_prefix("TOKEN=")).expect("a token is printed")
    }

    /// The rest of the line that starts with `label`.
    pub fn value(&self, label: &str) -> &str {
        self.0.iter().find_map(|line| line.strip_prefix(label)).expect(label)
    }

    pub fn text(&self) -> String {
        self.0.join("\n")
    }
}

/// Runs one to its end.
pub async fn run<A: AsRef<str>>(args: impl IntoIterator<Item = A>) -> Output {
    unless_hung(command(args).output()).await.unwrap()
}

fn command<A: AsRef<str>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(example());
    for arg in args {
        command.arg(arg.as_ref());
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Beside the folder of this test: `target/debug/deps/gateway-…`.
fn example() -> PathBuf {
    let test = env::current_exe().unwrap();
    let example = test.ancestors().nth(2).unwrap().join("examples/gateway");
    assert!(example.exists(), "run `cargo build --example gateway` first");
    example
}

fn follow<R: AsyncRead + Send + Unpin + 'static>(
    reader: Reader,
    pipe: BufReader<R>,
) -> (mpsc::UnboundedReceiver<String>, Option<BufReader<R>>) {
    let nothing = mpsc::unbounded_channel().1;
    match reader {
        Reader::Reads => (lines(pipe), None),
        Reader::Sleeps => (nothing, Some(pipe)),
        Reader::Leaves => (nothing, None),
    }
}

fn lines<R: AsyncRead + Send + Unpin + 'static>(
    from: BufReader<R>,
) -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut lines = from.lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            // Reading goes on for those who no longer listen, so that the pipe never fills.
            let _gone = sender.send(line);
        }
    });
    receiver
}

async fn next_with(
    lines: &mut mpsc::UnboundedReceiver<String>,
    what: &str,
    stream: &str,
) -> String {
    let mut passed = Vec::new();
    let found = timeout(HUNG, async {
        loop {
            match lines.recv().await {
                Some(line) if line.contains(what) => return Some(line),
                Some(line) => passed.push(line),
                None => return None,
            }
        }
    });
    let found = found.await.unwrap_or_default();
    found.unwrap_or_else(|| panic!("no `{what}` in its {stream}, but {passed:#?}"))
}

pub async fn unless_hung<F: Future>(work: F) -> F::Output {
    timeout(HUNG, work).await.expect("hung")
}
