//! Counts user instructions, allocations and clock reads per request of servers on loopback.
//!
//! `cargo build --release && cargo run --release` in this folder prints the table. It needs valgrind,
//! and the first command builds the example. callgrind counts the
//! instructions of a program exactly, whatever else the machine does. The subjects are a hyper proxy
//! without any check (the floor), hyper answering from memory, each layer alone in front of the same
//! service, and the example. The client and the upstream run outside of valgrind.
//!
//! `--check` compares the table with `committed.txt` and fails when a figure has grown by more than 3 %.
//! `--commit` writes the file. `--profile NAME FILE` writes one subject's profile for
//! `callgrind_annotate`.

mod bare;
mod callgrind;
mod committed;
mod folder;
mod load;
mod messages;
mod server;
mod subjects;
#[path = "../../../tests/support/token.rs"]
mod token;
mod upstream;

use std::{env, process::ExitCode};

use crate::{
    callgrind::Counts,
    subjects::{Subject, Subjects},
};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<ExitCode, Error> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments {
        ["serve", name, ref more @ ..] => server::serve(name, more).map(|()| ExitCode::SUCCESS),
        ["--profile", name, file] => {
            let subjects = subjects::all()?;
            let measured = subjects.measure(name)?;
            measured.write_profile(file.as_ref())?;
            print(name, &measured.counts);
            Ok(ExitCode::SUCCESS)
        }
        [] => table(&subjects::all()?).map(|_| ExitCode::SUCCESS),
        ["--commit"] => committed::write(&table(&subjects::all()?)?).map(|()| ExitCode::SUCCESS),
        ["--check"] => {
            let subjects = subjects::all()?;
            let again = |name: &str| Ok(subjects.measure(name)?.counts);
            committed::check(&table(&subjects)?, again)
        }
        _ => Err("usage: instructions [--check | --commit | --profile NAME FILE]".into()),
    }
}

fn table(subjects: &Subjects) -> Result<Vec<(&'static str, Counts)>, Error> {
    println!(
        "{:<44} {:>14} {:>12} {:>12}",
        "per request", "instructions", "allocations", "clock reads"
    );
    let mut rows = Vec::new();
    for Subject { name, .. } in &subjects.list {
        let counts = subjects.measure(name)?.counts;
        print(name, &counts);
        rows.push((*name, counts));
    }
    Ok(rows)
}

fn print(name: &str, counts: &Counts) {
    let Counts { instructions, allocations, clock_reads } = counts;
    println!("{name:<44} {instructions:>14.0} {allocations:>12.1} {clock_reads:>12.1}");
}
