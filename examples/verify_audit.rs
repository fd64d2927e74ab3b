//! Verifies an audit trail: `cargo run --example verify_audit -- --key KEY audit.jsonl`.
//!
//! KEY is the public key that the gateway prints, or a file with it, such as the output of
//! `openssl pkey -in audit.key -pubout`. Repeat `--key` after a change of the key. `--checkpoint FILE`
//! is a file whose last checkpoint was kept in another place, such as a log with the gateway's lines
//! `audit checkpoint: {…}`. The exit code is 0 for a trail that is intact, 1 for one that is broken
//! and 2 when it cannot be read.

use std::{
    env,
    error::Error,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::ExitCode,
};

use lexopt::{
    Arg::{Long, Value},
    Parser, ValueExt,
};
use tower_inference::audit::{AuditPublicKey, AuditReport, Checkpoint, trail_files, verify};

const USAGE: &str = "usage: verify_audit --key KEY [--key KEY] [--checkpoint FILE] audit.jsonl";

fn main() -> ExitCode {
    match report() {
        Ok(report) => {
            print!("{report}");
            if report.is_intact() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("verify_audit: {error}");
            ExitCode::from(2)
        }
    }
}

fn report() -> Result<AuditReport, Box<dyn Error>> {
    let mut parser = Parser::from_args(env::args_os().skip(1));
    let (mut keys, mut known, mut trail) = (Vec::new(), None, None);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("key") => keys.push(key(&parser.value()?.string()?)?),
            Long("checkpoint") => known = Some(parser.value()?.string()?),
            Value(path) if trail.is_none() => trail = Some(PathBuf::from(path)),
            _ => return Err(USAGE.into()),
        }
    }
    let Some(trail) = trail.filter(|_| !keys.is_empty()) else { return Err(USAGE.into()) };
    let files = trail_files(&trail)?;
    if files.is_empty() {
        return Err(format!("{}: no such trail", trail.display()).into());
    }
    let known = known.map(|path| last_checkpoint(&path, &keys)).transpose()?;
    Ok(verify(&files, &keys, known.as_ref())?)
}

/// Reads a public key or a file with one.
fn key(text: &str) -> Result<AuditPublicKey, Box<dyn Error>> {
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    let content = fs::read_to_string(text).map_err(|error| format!("--key {text}: {error}"))?;
    Ok(content.parse().map_err(|error| format!("--key {text}: {error}"))?)
}

/// Finds the last checkpoint in a file of any lines.
///
/// A log also has texts of clients. One that no key has signed is no checkpoint, and one that repeats an
/// earlier checkpoint does not take the place of a later one.
fn last_checkpoint(path: &str, keys: &[AuditPublicKey]) -> Result<Checkpoint, Box<dyn Error>> {
    let reading = |error| format!("--checkpoint {path}: {error}");
    let mut last: Option<Checkpoint> = None;
    for line in BufReader::new(File::open(path).map_err(reading)?).split(b'\n') {
        let line = line.map_err(reading)?;
        let line = String::from_utf8_lossy(&line);
        let text = line.find("{\"seq\":").and_then(|start| line.get(start..));
        let Some(own) = text.and_then(|text| text.parse::<Checkpoint>().ok()) else { continue };
        let is_earlier = |last: &Checkpoint| last.trail() == own.trail() && last.seq() >= own.seq();
        if keys.iter().any(|key| own.is_signed_by(key)) && !last.as_ref().is_some_and(is_earlier) {
            last = Some(own);
        }
    }
    Ok(last.ok_or_else(|| format!("--checkpoint {path}: it has no checkpoint of these keys"))?)
}
