//! `src/docs/stable_names.md` lists the names that programs outside read: those of the log, of
//! rejections and of decisions. A name that changes breaks dashboards and alerts, so it is a breaking
//! change.
//!
//! Each section of the page is compared with the names in the code, both ways. A further list of names,
//! such as that of the metrics, is one more line in [`sections`] and one more section of the page.

mod log;
mod sources;
#[path = "../support/written.rs"]
mod written;

use std::{collections::BTreeSet, fs, path::Path};

use tower_inference::{
    context::{AbandonReason, CacheOutcome, Decision, Layer, StreamEnd},
    identity::Proof,
    record::RequestOutcome,
    rejection::Refusal,
};

/// The sections of the page with the names in the code.
fn sections() -> Vec<(&'static str, Vec<String>)> {
    vec![
        ("Members of the JSON log", log::named()),
        ("Fields of the log event", log::event_fields()),
        ("Members of the audit trail", sources::audit_members()),
        ("Metrics and dimensions of EMF", sources::emf()),
        ("Own attributes of logs and spans", sources::attributes()),
        ("Outcomes", RequestOutcome::ALL.iter().map(|own| own.as_str().to_owned()).collect()),
        ("Refusals", Refusal::ALL.iter().map(|own| own.slug().to_owned()).collect()),
        ("Layers", Layer::ALL.iter().map(|own| own.as_str().to_owned()).collect()),
        ("Decisions", Decision::ALL.iter().map(|own| own.as_str().to_owned()).collect()),
        ("Cache outcomes", CacheOutcome::ALL.iter().map(|own| own.as_str().to_owned()).collect()),
        ("Ends of a stream", StreamEnd::ALL.iter().map(|own| own.as_str().to_owned()).collect()),
        (
            "Reasons for another attempt",
            AbandonReason::ALL.iter().map(|own| own.as_str().to_owned()).collect(),
        ),
        ("Proofs of a caller", PROOFS.iter().map(|own| own.as_str().to_owned()).collect()),
    ]
}

const PROOFS: &[Proof] =
    &[Proof::Jwt, Proof::ApiKey, Proof::AwsIam, Proof::Introspection, Proof::Anonymous];

/// Returns the sections of the page with the names in their first columns.
fn listed(page: &str) -> Vec<(String, Vec<String>)> {
    let sections = page.split("\n# ").skip(1).map(|section| {
        let (title, body) = section.split_once('\n').unwrap();
        let rows = body.lines().filter_map(|line| line.strip_prefix("| `"));
        let names = rows.map(|row| row.split('`').next().unwrap().to_owned());
        (title.to_owned(), names.collect())
    });
    sections.collect()
}

/// Returns what differs, one line for each difference.
fn differences(
    code: &[(&'static str, Vec<String>)],
    page: &[(String, Vec<String>)],
) -> Vec<String> {
    let mut found = Vec::new();
    for (title, names) in code {
        let Some((_, listed)) = page.iter().find(|(other, _)| other == title) else {
            found.push(format!("the section {title} is missing in the page"));
            continue;
        };
        let (names, set): (BTreeSet<_>, BTreeSet<_>) =
            (names.iter().collect(), listed.iter().collect());
        found.extend(names.difference(&set).map(|name| format!("{title}: `{name}` is not listed")));
        found.extend(
            set.difference(&names).map(|name| format!("{title}: `{name}` is listed and is gone")),
        );
        if set.len() != listed.len() {
            found.push(format!("{title}: a name is listed twice"));
        }
    }
    let known: Vec<_> = code.iter().map(|(title, _)| *title).collect();
    let unknown = page.iter().filter(|(title, _)| !known.contains(&&**title));
    found.extend(unknown.map(|(title, _)| format!("the section {title} is compared with nothing")));
    found
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs/stable_names.md");
    fs::read_to_string(path).unwrap()
}

#[test]
fn the_names_are_the_listed_ones() {
    let found = differences(&sections(), &listed(&page()));
    assert!(
        found.is_empty(),
        "{found:#?}\nA name that is renamed or removed breaks those who read it: this is a breaking \
         change, to be named in CHANGELOG.md. Then change src/docs/stable_names.md."
    );
}

#[test]
fn the_test_sees_a_changed_name() {
    let code = sections();
    for (section, (title, names)) in code.iter().enumerate() {
        assert!(names.len() > 2, "{title}");
        for gone in 0..names.len() {
            let mut renamed = code.clone();
            renamed[section].1[gone] = "another_name".to_owned();
            assert_eq!(differences(&renamed, &listed(&page())).len(), 2, "{title}");
        }
    }
    let mut fewer = code.clone();
    fewer.pop();
    assert_eq!(differences(&fewer, &listed(&page())).len(), 1);
    let page = page().replacen("\n# Outcomes", "\n# Results", 1);
    assert_eq!(differences(&code, &listed(&page)).len(), 2);
}
