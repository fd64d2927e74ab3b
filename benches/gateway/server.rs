//! The processes that are measured.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    Error,
    cpu_time::cpu_time,
    token::{self, Signer},
};

/// A listening process. Dropping it stops the process.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(command: &mut Command) -> Result<Self, Error> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let address = loop {
            let line = lines.next().ok_or("ended before it listened")??;
            if let Some((_, address)) = line.split_once("listening on http://") {
                break address.trim().parse()?;
            }
        };
        // Its later output must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, address })
    }

    /// Returns the CPU time of all its threads, as the scheduler counts it.
    pub(crate) fn cpu(&self) -> Result<Duration, Error> {
        cpu_time(self.child.id())
    }

    /// Returns the resident memory in KiB.
    pub(crate) fn resident(&self) -> Result<u64, Error> {
        resident(&self.child.id().to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Returns the resident memory of a process in KiB. The process `self` is this one.
pub(crate) fn resident(process: &str) -> Result<u64, Error> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.ok_or("no VmRSS")?.trim().trim_end_matches(" kB").parse()?)
}

/// The example with the files that it needs. Dropping it removes them.
pub(crate) struct Example {
    program: PathBuf,
    folder: PathBuf,
}

impl Example {
    /// Builds the example in release.
    pub(crate) fn build(signer: &Signer) -> Result<Self, Error> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let built = Command::new(cargo)
            .args(["build", "--profile", "bench", "--example", "gateway"])
            .current_dir(root)
            .status()?;
        if !built.success() {
            return Err("the example does not build".into());
        }
        // The path of this bench is target/release/deps/gateway-….
        let bench = env::current_exe()?;
        let release = bench.ancestors().nth(2).ok_or("no target folder")?;
        let folder = env::temp_dir().join(format!("gateway-bench-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("jwks.json"), signer.jwks())?;
        Ok(Self { program: release.join("examples/gateway"), folder })
    }

    /// Returns the command that starts it in front of `upstream`.
    pub(crate) fn command(&self, upstream: SocketAddr, threads: u32, more: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["--listen", "127.0.0.1:0", "--threads", &threads.to_string()])
            .args(["--upstream", &format!("http://{upstream}")])
            .args(["--hf-token-env", "BENCH_TOKEN"])
            .args(["--issuer", token::ISSUER, "--audience", token::AUDIENCE])
            .args(["--scope", token::SCOPE, "--jwks"])
            .arg(self.folder.join("jwks.json"))
            .arg("--access-log")
            .arg(self.folder.join("access.log"))
            .args(more)
            .env("BENCH_TOKEN", "hf_bench");
        command
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _best_effort = fs::remove_dir_all(&self.folder);
    }
}
