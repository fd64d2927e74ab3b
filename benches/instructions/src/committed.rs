//! Compares a table with the committed one.
//!
//! The counts depend on the compiler and on valgrind, whose versions the first line names.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use crate::{Error, callgrind::Counts};

/// How much a figure may grow.
const TOLERANCE: f64 = 1.03;

pub(crate) fn write(rows: &[(&str, Counts)]) -> Result<(), Error> {
    let mut text = format!("{}\n", versions()?);
    for (name, Counts { instructions, allocations, clock_reads }) in rows {
        writeln!(text, "{instructions:.0} {allocations:.1} {clock_reads:.1} {name}")?;
    }
    fs::write(path(), text)?;
    Ok(())
}

/// Prints each figure that has grown and fails if there is one. Other versions cannot be compared.
pub(crate) fn check(rows: &[(&str, Counts)]) -> Result<ExitCode, Error> {
    let text = fs::read_to_string(path())?;
    let (committed_with, lines) = text.split_once('\n').ok_or("committed.txt is empty")?;
    let versions = versions()?;
    if committed_with != versions {
        println!("\ncommitted with {committed_with}\nmeasured with  {versions}");
        println!("These cannot be compared. Commit new figures with --commit.");
        return Ok(ExitCode::SUCCESS);
    }
    let mut committed = HashMap::new();
    for line in lines.lines() {
        let mut parts = line.splitn(4, ' ');
        let mut figure = || parts.next().unwrap_or_default().parse::<f64>();
        let figures = [figure()?, figure()?, figure()?];
        committed.insert(parts.next().ok_or("a line has no name")?, figures);
    }
    let mut code = ExitCode::SUCCESS;
    for (name, counts) in rows {
        let Some(figures) = committed.remove(name) else {
            println!("{name}: has no committed figures");
            code = ExitCode::FAILURE;
            continue;
        };
        let measured = [
            ("instructions", counts.instructions),
            ("allocations", counts.allocations),
            ("clock reads", counts.clock_reads),
        ];
        for ((what, now), was) in measured.into_iter().zip(figures) {
            // Half a call is less than one that happens in each request.
            if now > was * TOLERANCE + 0.5 {
                println!("{name}: {now:.1} {what}, committed are {was:.1}");
                code = ExitCode::FAILURE;
            }
        }
    }
    for name in committed.keys() {
        println!("{name}: is committed and no longer measured");
        code = ExitCode::FAILURE;
    }
    Ok(code)
}

fn versions() -> Result<String, Error> {
    let version = |program: &str| -> Result<String, Error> {
        let output = Command::new(program).arg("--version").output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    Ok(format!("{}, {}", version("rustc")?, version("valgrind")?))
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("committed.txt")
}
