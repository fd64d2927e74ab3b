//! A gateway as a process, its CPU time and its end.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{Error, cpu_time::cpu_time, pinned::pinned};

/// LiteLLM takes most of it on a busy machine.
const START: Duration = Duration::from_secs(120);
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// A gateway that serves. Dropping it stops its processes.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// The file with what it prints.
    output: PathBuf,
}

impl Server {
    /// Starts `command`, which listens on `address`, and waits for a success in response to `request`.
    /// `output` is a new file for what the program prints.
    pub(crate) fn start(
        command: &Command,
        address: SocketAddr,
        request: &[u8],
        output: PathBuf,
    ) -> Result<Self, Error> {
        let file = File::create(&output)?;
        let child = pinned(command)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .map_err(|error| format!("cannot run {command:?}: {error}"))?;
        let mut server = Self { child, address, output };
        let deadline = Instant::now() + START;
        loop {
            let why = match response_head(address, request) {
                Ok(head) if has_status(&head, "200") => return Ok(server),
                Ok(head) => head,
                Err(error) => error.to_string(),
            };
            let ended = server.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let last = server.last_lines()?;
                return Err(format!("does not serve ({why}, {ended:?}):\n{last}").into());
            }
            thread::sleep(PAUSE);
        }
    }

    /// Returns the last lines that it printed.
    pub(crate) fn last_lines(&self) -> Result<String, Error> {
        let printed = String::from_utf8_lossy(&fs::read(&self.output)?).into_owned();
        let lines: Vec<_> = printed.lines().collect();
        Ok(lines[lines.len().saturating_sub(15)..].join("\n"))
    }

    /// Returns the CPU time of all threads of its processes, as the scheduler counts it.
    pub(crate) fn cpu(&self) -> Result<Duration, Error> {
        let times = self.processes()?.into_iter().map(cpu_time);
        times.sum::<Result<_, _>>()
    }

    /// Returns the ids of its process and of all descendants.
    fn processes(&self) -> Result<Vec<u32>, Error> {
        let mut parents = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Ok(process) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
            // Another process may have ended meanwhile.
            let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else { continue };
            // The name may contain spaces. The state and the parent follow it.
            let after = stat.rsplit(") ").next().unwrap_or_default();
            if let Some(parent) = after.split(' ').nth(1) {
                parents.push((process, parent.parse::<u32>()?));
            }
        }
        let mut family = vec![self.child.id()];
        let mut next = 0;
        while let Some(&process) = family.get(next) {
            let children = parents.iter().filter(|(_, parent)| *parent == process);
            family.extend(children.map(|(child, _)| *child));
            next += 1;
        }
        Ok(family)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The worker of nginx would outlive its master.
        let family = self.processes().unwrap_or_default();
        let ids = family.iter().map(u32::to_string);
        let _gone_already = Command::new("kill").arg("-KILL").args(ids).status();
        let _reaped = self.child.wait();
    }
}

/// Sends one request and returns the head of the response.
pub(crate) fn response_head(address: SocketAddr, request: &[u8]) -> Result<String, Error> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut head = String::new();
    let mut lines = BufReader::new(stream);
    while !head.ends_with("\r\n\r\n") {
        if lines.read_line(&mut head)? == 0 {
            return Err(format!("it closed the connection after {head:?}").into());
        }
    }
    Ok(head)
}

pub(crate) fn has_status(head: &str, status: &str) -> bool {
    head.split(' ').nth(1) == Some(status)
}

/// Returns an address that nothing listens on.
pub(crate) fn free_address() -> Result<SocketAddr, Error> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
