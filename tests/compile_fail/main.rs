//! The words that the compiler says about mistakes of a user.
//!
//! Each file in `cases` is a program. Its first lines say what the compiler must say: `//~ ` and a
//! part of a line, with `3x ` before it for three times. A file without such lines must compile.
//!
//! The cases are compiled by `rustc` itself, against the artifacts that cargo has built for this
//! test. `trybuild` builds all dependencies again in a folder of its own, which takes minutes, and
//! compares whole messages, which change with each compiler.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

#[test]
fn mistakes_are_named() {
    let artifacts = Artifacts::of_this_test();
    let mut wrong = Vec::new();
    for case in cases("with_features") {
        artifacts.check(&case, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_missing_feature_is_named() {
    let mut wrong = Vec::new();
    let all = Artifacts::of_this_test();
    for (folder, features) in [("without_features", None), ("with_cache", Some("cache"))] {
        let artifacts = all.with_features(features);
        for case in cases(folder) {
            artifacts.check(&case, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Users search the docs for the words of the compiler.
#[test]
fn the_docs_quote_the_compiler() {
    let docs = include_str!("../../src/docs/compile_errors.md");
    let sources: Vec<_> = ["with_features", "without_features", "with_cache"]
        .into_iter()
        .flat_map(cases)
        .map(|case| fs::read_to_string(case).unwrap())
        .collect();
    let rows: Vec<_> = docs.lines().filter_map(|line| line.strip_prefix("| ``")).collect();
    assert!(rows.len() >= 7, "{rows:?}");
    for row in rows {
        let (message, _) = row.split_once("``").unwrap();
        let expected = sources.iter().flat_map(|source| source.lines());
        let mut expected = expected.filter_map(|line| line.strip_prefix("//~ "));
        let parts = message.trim_end().split('…');
        // All parts stand in one line of the compiler, in this order.
        let is_quoted = |line: &str| {
            parts.clone().try_fold(line, |rest, part| Some(rest.split_once(part)?.1)).is_some()
        };
        assert!(expected.any(is_quoted), "{message}");
    }
}

fn cases(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail/cases").join(kind);
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = entries.collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

/// The compiled crates, by name.
struct Artifacts {
    crates: BTreeMap<String, PathBuf>,
    folder: PathBuf,
}

impl Artifacts {
    /// Asks cargo for what it has just built for this test.
    fn of_this_test() -> Self {
        let executable = env::current_exe().unwrap();
        let folder = executable.parent().unwrap().to_owned();
        let profile = folder.parent().unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args([
            "test",
            "--no-run",
            "--offline",
            "--locked",
            "--message-format=json",
            "--test=compile_fail",
        ]);
        cargo.arg("--target-dir").arg(profile.parent().unwrap());
        match profile.file_name().and_then(|name| name.to_str()).unwrap() {
            "debug" => {}
            name => _ = cargo.arg(format!("--profile={name}")),
        }
        let output = cargo.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let mut crates = BTreeMap::new();
        for line in text(&output.stdout).lines() {
            let message: Value = serde_json::from_str(line).unwrap();
            let files = message["filenames"].as_array().into_iter().flatten();
            let library = files.filter_map(Value::as_str).find(|file| file.ends_with(".rlib"));
            if let (Some(name), Some(file)) = (message["target"]["name"].as_str(), library) {
                crates.insert(name.replace('-', "_"), PathBuf::from(file));
            }
        }
        Self { crates, folder }
    }

    /// Compiles the crate with these features, which is quick without code for the machine.
    fn with_features(&self, features: Option<&str>) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libtower_inference.rmeta");
        let mut rustc = self.rustc(&source);
        rustc.args(["--crate-name=tower_inference", "--crate-type=lib"]).arg("-o").arg(&library);
        rustc.args(features.map(|feature| format!("--cfg=feature=\"{feature}\"")));
        let output = rustc.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let mut crates = self.crates.clone();
        crates.insert("tower_inference".to_owned(), library);
        Self { crates, folder: self.folder.clone() }
    }

    fn rustc(&self, source: &Path) -> Command {
        let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args(["--edition=2024", "--emit=metadata", "--cap-lints=allow", "--color=never"]);
        rustc.arg("-L").arg(format!("dependency={}", self.folder.display()));
        for (name, file) in &self.crates {
            rustc.arg("--extern").arg(format!("{name}={}", file.display()));
        }
        rustc.arg(source);
        rustc
    }

    fn check(&self, case: &Path, wrong: &mut Vec<String>) {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("case.rmeta");
        let Output { status, stderr, .. } =
            self.rustc(case).args(["--crate-type=bin", "-o"]).arg(out).output().unwrap();
        // The compiler shortens a path whose last name no other crate of the tree has.
        let said = shortened(text(&stderr));
        let source = fs::read_to_string(case).unwrap();
        let expected: Vec<_> = source.lines().map_while(|line| line.strip_prefix("//~ ")).collect();
        let name = case.file_stem().unwrap().display();
        if status.success() != expected.is_empty() {
            wrong.push(format!("{name}: {status}\n{said}"));
        }
        for part in expected {
            let (times, part) = match part.split_once("x ") {
                Some((times, part)) if times.parse::<usize>().is_ok() => {
                    (times.parse().unwrap(), part)
                }
                _ => (1, part),
            };
            let part = shortened(part);
            let seen = said.lines().filter(|line| line.contains(&part)).count();
            if seen < times {
                wrong.push(format!("{name}: {seen} of {times} times: {part}\n{said}"));
            }
        }
    }
}

/// Returns the text with the types of this crate without their paths.
fn shortened(text: &str) -> String {
    let mut parts = text.split("tower_inference::");
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut name = part;
        while let Some((module, rest)) = name.split_once("::")
            && module.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'))
        {
            name = rest;
        }
        let is_type = name.starts_with(|first: char| first.is_ascii_uppercase());
        short.push_str(if is_type { "" } else { "tower_inference::" });
        short.push_str(if is_type { name } else { part });
    }
    short
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
