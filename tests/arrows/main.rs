//! The module graph: arrows run down only, no second-floor room has a door to another, and no files
//! of a module use each other in a circle.

mod cycles;
mod pages;
mod surface;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Floors from the ground up. A module of the first floor may use those before it.
const GROUND: &[&str] = &[
    "address_reach",
    "body",
    "calendar",
    "causes",
    "clock",
    "digest_mismatch",
    "error_debug",
    "fetch",
    "file_reason",
    "file_version",
    "hop_by_hop",
    "inner_service",
    "json_object",
    "json_string",
    "keyed_hash",
    "load_limit",
    "lock",
    "log_limit",
    "lookalike",
    "loopback",
    "memory_limit",
    "missing_feature",
    "once_a_minute",
    "owned_task",
    "peer",
    "failure_reason",
    "plain_http",
    "printable",
    "redis_link",
    "retry_after",
    "secret",
    "secret_file",
    "sha256",
    "skip",
    "sse",
    "text_tokens",
    "stripped_headers",
    "stripped_query",
    "unverified",
    "yield_now",
];
const FIRST: &[&str] = &[
    "identity",
    "context",
    "rejection",
    "tap",
    "payload",
    "model",
    "record",
    "replay",
    "stages",
    "generation",
    "limits",
];
const SECOND: &[&str] = &[
    "access_log",
    "audit",
    "auth",
    "cache",
    "client",
    "explain",
    "extract",
    "fallback",
    "hf",
    "metrics",
    "model_rules",
    "request_id",
    "route",
    "schema",
    "stalled_reader",
    "throttle",
    "token_budget",
    "transform",
    "upstream",
];
const TOP: &[&str] = &["stack", "test_util"];

/// Modules whose files still use each other in circles. None may be added.
const WITH_CYCLES: &[&str] = &[];

#[test]
fn arrows_run_down_only() {
    let mut files = Vec::new();
    rust_files(&source(), &mut files);
    let mut broken = Vec::new();
    for file in &files {
        let from = module_of(file);
        if from == "lib" {
            continue;
        }
        for to in uses(&fs::read_to_string(file).unwrap()) {
            if to != from && !may_use(&from, &to) {
                broken.push(format!("{} uses {to}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let mut cycles = cycles::Files::of_the_crate().cycles();
    let of_module = |cycle: &Vec<String>| cycle[0].split('/').next().unwrap().to_owned();
    let modules: BTreeSet<_> = cycles.iter().map(of_module).collect();
    cycles.retain(|cycle| !WITH_CYCLES.contains(&&*of_module(cycle)));
    assert!(cycles.is_empty(), "{cycles:#?}");
    assert!(WITH_CYCLES.iter().all(|module| modules.contains(*module)), "only {modules:?}");
}

#[test]
fn the_test_sees_a_circle() {
    let module = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    let mut files = cycles::Files::default();
    files.add(&module("a"), "mod x; mod y; mod z; pub use self::{x::{self, X}, y::Y as Z};");
    files.add(
        &module("a/x"),
        "use super::{y::Y, z::W,};\n#[cfg(test)]\nmod tests { use super::*; }",
    );
    files.add(&module("a/y"), "// super::x::X\nfn f() {}");
    files.add(&module("a/z"), "use crate::{b::B, a::y};");
    assert!(files.cycles().is_empty(), "{:?}", files.cycles());
    // Through a name that `mod.rs` passes on.
    files.add(&module("a/z"), "fn f() -> super::X {}");
    assert_eq!(files.cycles(), [["a/x", "a/z"]]);
    // An item of `mod.rs` itself.
    files.add(&module("a/z"), "");
    files.add(&module("a/y"), "use super::Other;");
    assert_eq!(files.cycles(), [vec!["a", "a/x", "a/y"]]);
}

#[test]
fn every_module_has_a_floor() {
    let entries = fs::read_dir(source()).unwrap().map(|entry| entry.unwrap().path());
    // A folder of pages is no module.
    let modules = entries.filter(|path| path.is_file() || path.join("mod.rs").is_file());
    for module in modules.map(|path| module_of(&path)).filter(|module| module != "lib") {
        assert!(floor(&module).is_some(), "{module} has no floor in this test");
    }
}

#[test]
fn the_test_sees_a_broken_arrow() {
    let source = "use crate::{\n    auth::AuthLayer, // why\n    payload::{Payload, PayloadLayer},\n};\nfn f() -> crate::cache::Key {}";
    assert_eq!(uses(source), ["auth", "payload", "cache"]);
    assert!(!may_use("hf", "auth") && !may_use("body", "context") && !may_use("context", "tap"));
    assert!(may_use("hf", "context") && may_use("stack", "hf") && may_use("tap", "context"));
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The top-level module that a path below `src` belongs to.
fn module_of(path: &Path) -> String {
    let inside = path.strip_prefix(source()).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn floor(module: &str) -> Option<usize> {
    [GROUND, FIRST, SECOND, TOP].iter().position(|floor| floor.contains(&module))
}

fn may_use(from: &str, to: &str) -> bool {
    let (Some(above), Some(below)) = (floor(from), floor(to)) else { return false };
    let place = |module| FIRST.iter().position(|other| *other == module);
    match (above, below) {
        (0, 0) => true,
        (1, 1) => place(to) < place(from),
        _ => below < above,
    }
}

/// The first segments of all paths that start at `crate`, comments and doc lines left out.
fn uses(source: &str) -> Vec<String> {
    let lines = source.lines().map(|line| line.split("//").next().unwrap_or_default());
    let code = lines.collect::<Vec<_>>().join(" ");
    let mut found = Vec::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            None => found.extend(segment(after)),
            Some(group) => {
                let mut depth = 0_i32;
                let mut start = true;
                for (at, character) in group.char_indices() {
                    match character {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        _ if start && !character.is_whitespace() => {
                            start = false;
                            found.extend(segment(&group[at..]));
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found
}

fn segment(path: &str) -> Option<String> {
    let end = path.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(path.len());
    let name = &path[..end];
    // A macro or an item of the crate's root is no module.
    (floor(name).is_some() || path[end..].starts_with("::")).then(|| name.to_owned())
}
