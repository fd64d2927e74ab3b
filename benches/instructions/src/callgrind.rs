//! Runs a server under callgrind and reads its counts.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use crate::Error;

/// The functions that return memory: of the C library, and of mimalloc.
const ALLOCATING: [&str; 8] = [
    "calloc",
    "malloc",
    "realloc",
    "mi_malloc",
    "mi_malloc_aligned",
    "mi_realloc_aligned",
    "mi_zalloc",
    "mi_zalloc_aligned",
];

/// The counts of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
    pub(crate) clock_reads: f64,
}

/// A server under callgrind. Dropping it stops the server.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// The prefix of the profiles that callgrind writes.
    profiles: PathBuf,
    written: u32,
}

impl Server {
    /// Starts `program` and waits for its line `listening on http://ADDRESS`.
    pub(crate) fn start(
        program: &Path,
        arguments: &[String],
        profiles: PathBuf,
    ) -> Result<Self, Error> {
        let mut child = Command::new("valgrind")
            .args(["--tool=callgrind", "--quiet"])
            .arg(format!("--callgrind-out-file={}", profiles.display()))
            .arg(program)
            .args(arguments)
            // As long as a real one.
            .env("BENCH_TOKEN", "hf_aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run valgrind: {error}"))?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let address = loop {
            let line = lines.next().ok_or("the server ended before it listened")??;
            if let Some((_, address)) = line.split_once("listening on http://") {
                break address.trim().parse()?;
            }
        };
        // Its later output must not fill the pipe.
        thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, address, profiles, written: 0 })
    }

    /// Counts the instructions of `requests`, which runs that number of requests.
    pub(crate) fn count(
        &mut self,
        number: usize,
        requests: impl FnOnce() -> Result<(), Error>,
    ) -> Result<Measured, Error> {
        self.dump()?;
        requests()?;
        let file = self.dump()?;
        Measured::read(file, number)
    }

    /// Makes callgrind write the counts since the last dump.
    fn dump(&mut self) -> Result<PathBuf, Error> {
        let dumped = Command::new("callgrind_control")
            .args(["--dump", &self.child.id().to_string()])
            .output()?;
        if !dumped.status.success() {
            return Err(String::from_utf8_lossy(&dumped.stderr).into());
        }
        self.written += 1;
        let mut file = self.profiles.clone().into_os_string();
        file.push(format!(".{}", self.written));
        Ok(file.into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The counts of some requests and the profile behind them.
pub(crate) struct Measured {
    pub(crate) counts: Counts,
    profile: PathBuf,
}

impl Measured {
    fn read(profile: PathBuf, requests: usize) -> Result<Self, Error> {
        let text = fs::read_to_string(&profile)?;
        let totals = text.lines().find_map(|line| line.strip_prefix("totals: "));
        let instructions: u64 = totals.ok_or("the profile has no totals")?.trim().parse()?;
        let calls = calls(&text)?;
        let of = |names: &[&str]| names.iter().filter_map(|name| calls.get(name)).sum::<u64>();
        let each = |count: u64| count as f64 / requests as f64;
        let counts = Counts {
            instructions: each(instructions),
            allocations: each(of(&ALLOCATING)),
            clock_reads: each(of(&["clock_gettime", "clock_gettime@@GLIBC_2.17"])),
        };
        Ok(Self { counts, profile })
    }

    pub(crate) fn write_profile(&self, to: &Path) -> Result<(), Error> {
        fs::copy(&self.profile, to)?;
        Ok(())
    }
}

/// Returns how often each function was called. The format gives a name once, as `(number) name`, and
/// then the number alone (Callgrind Format Specification, "Name Compression").
fn calls(profile: &str) -> Result<HashMap<&str, u64>, Error> {
    let (mut names, mut calls) = (HashMap::new(), HashMap::new());
    let mut called = None;
    for line in profile.lines() {
        if let Some(name) = line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn=")) {
            let (number, name) = name.split_once(' ').unwrap_or((name, ""));
            if !name.is_empty() {
                names.insert(number, name);
            }
            called = line.starts_with('c').then_some(number);
        } else if let (Some(count), Some(number)) = (line.strip_prefix("calls="), called) {
            let count = count.split(' ').next().unwrap_or_default().parse::<u64>()?;
            *calls.entry(number).or_insert(0) += count;
        }
    }
    Ok(calls.into_iter().filter_map(|(number, count)| Some((*names.get(number)?, count))).collect())
}
