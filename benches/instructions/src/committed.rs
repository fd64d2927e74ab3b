//! Compares a table with the committed one.
//!
//! The counts depend on the compiler, on valgrind and on the processor, for which glibc chooses its
//! functions. The first line names them.

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
/// How often a row that has grown is measured again.
const REPEATS: usize = 2;

pub(crate) fn write(rows: &[(&str, Counts)]) -> Result<(), Error> {
    let mut text = format!("{}\n", versions()?);
    for (name, Counts { instructions, allocations, clock_reads }) in rows {
        writeln!(text, "{instructions:.0} {allocations:.1} {clock_reads:.1} {name}")?;
    }
    fs::write(path(), text)?;
    Ok(())
}

/// Prints each figure that has grown and fails if there is one. Figures of other versions cannot be
/// compared.
///
/// `again` measures a row once more. A busy machine wakes a server more often, which adds to a figure
/// and never subtracts.
pub(crate) fn check(
    rows: &[(&str, Counts)],
    again: impl Fn(&str) -> Result<Counts, Error>,
) -> Result<ExitCode, Error> {
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
        let mut least = figures_of(counts);
        for _ in 0..REPEATS {
            if grown(least, figures).next().is_none() {
                break;
            }
            let repeated = figures_of(&again(name)?);
            least = std::array::from_fn(|index| least[index].min(repeated[index]));
        }
        for (what, now, was) in grown(least, figures) {
            println!("{name}: {now:.1} {what}, committed are {was:.1}");
            code = ExitCode::FAILURE;
        }
    }
    for name in committed.keys() {
        println!("{name}: is committed and no longer measured");
        code = ExitCode::FAILURE;
    }
    Ok(code)
}

const fn figures_of(counts: &Counts) -> [f64; 3] {
    [counts.instructions, counts.allocations, counts.clock_reads]
}

/// Returns the name of each figure that has grown, with both values.
fn grown(now: [f64; 3], was: [f64; 3]) -> impl Iterator<Item = (&'static str, f64, f64)> {
    let names = ["instructions", "allocations", "clock reads"];
    let figures = names.into_iter().zip(now).zip(was).map(|((name, now), was)| (name, now, was));
    // Half a call is less than one that happens in each request.
    figures.filter(|(_, now, was)| *now > was * TOLERANCE + 0.5)
}

fn versions() -> Result<String, Error> {
    let version = |program: &str| -> Result<String, Error> {
        let output = Command::new(program).arg("--version").output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let processor = fs::read_to_string("/proc/cpuinfo")?;
    let flags = processor.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = |flag: &&&str| flags.split(' ').any(|other| other == **flag);
    let flags: Vec<_> = ["avx2", "avx512f", "erms", "fsrm"].iter().filter(has).copied().collect();
    Ok(format!("{}, {}, {}", version("rustc")?, version("valgrind")?, flags.join(" ")))
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("committed.txt")
}
