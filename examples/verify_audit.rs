//! Verifies an audit trail: `cargo run --example verify_audit -- --key KEY audit.jsonl`.
//!
//! KEY is the public key that the gateway prints, or a file with it, such as the output of
//! `openssl pkey -in audit.key -pubout`. Repeat `--key` after a change of the key. `--checkpoint FILE`
//! is a file whose last checkpoint was kept in another place, such as a log with the gateway's lines
//! `audit checkpoint: {…}`. The exit code is 0 for a trail that is intact, 1 for one that is broken
//! and 2 when it cannot be read.

use std::{env, error::Error, fs, path::PathBuf, process::ExitCode};

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
            Long("checkpoint") => known = Some(last_checkpoint(&parser.value()?.string()?)?),
            Value(path) if trail.is_none() => trail = Some(PathBuf::from(path)),
            _ => return Err(USAGE.into()),
        }
    }
    let Some(trail) = trail.filter(|_| !keys.is_empty()) else { return Err(USAGE.into()) };
    let files = trail_files(&trail)?;
    if files.is_empty() {
        return Err(format!("{}: no such trail", trail.display()).into());
    }
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
fn last_checkpoint(path: &str) -> Result<Checkpoint, Box<dyn Error>> {
    let text = fs::read_to_string(path).map_err(|error| format!("--checkpoint {path}: {error}"))?;
    let parse = |line: &str| line.get(line.find("{\"seq\":")?..)?.parse().ok();
    let last = text.lines().rev().find_map(parse);
    Ok(last.ok_or_else(|| format!("--checkpoint {path}: it has no checkpoint"))?)
}
