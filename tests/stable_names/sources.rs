//! The names that stand in the source alone.

use std::{collections::BTreeSet, fs, path::Path};

fn source(path: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    // Tests have names of their own.
    text.split("#[cfg(test)]").next().unwrap().to_owned()
}

/// Returns what stands between each `before` and the next `after`.
fn between(text: &str, before: &str, after: char) -> Vec<String> {
    let found = text.split(before).skip(1);
    found.filter_map(|rest| Some(rest.split_once(after)?.0.to_owned())).collect()
}

fn unique(names: impl IntoIterator<Item = String>) -> Vec<String> {
    names.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

/// The members of all lines of an audit trail.
pub fn audit_members() -> Vec<String> {
    let frame = ["seq", "prev", "kind", "hash"].map(str::to_owned);
    let written = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/audit")).unwrap();
    let files = written.map(|file| file.unwrap().path()).filter(|path| path.is_file());
    let texts = files.map(|path| source(path.to_str().unwrap()));
    let members = texts.flat_map(|text| {
        let mut members = between(&text, "member_name!(\"", '"');
        members.extend(between(&text, "push(b\",\\\"", '\\'));
        members
    });
    // The values of the program are written in one place for all logs.
    unique(members.chain(frame).chain(["values".to_owned()]))
}

/// The metrics and dimensions of CloudWatch's Embedded Metric Format.
pub fn emf() -> Vec<String> {
    let metrics = between(&source("src/access_log/format/emf/metrics.rs"), "metric(\"", '"');
    let dimensions = source("src/access_log/format/emf/dimension.rs");
    let dimensions = between(&dimensions, "    /// `", '`');
    unique(metrics.into_iter().chain(dimensions))
}

/// The attributes of logs and spans that OpenTelemetry has no name for.
pub fn attributes() -> Vec<String> {
    let log =
        between(&source("src/access_log/format/open_telemetry.rs"), "(\"tower_inference.", '"');
    let spans = ["src/context/attempt/spans.rs", "src/request_id/span.rs", "src/record/spans.rs"];
    let spans = spans.iter().flat_map(|path| between(&source(path), " tower_inference.", '='));
    let names = log.into_iter().chain(spans);
    unique(names.map(|name| format!("tower_inference.{}", name.trim())))
}
