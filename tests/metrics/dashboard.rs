//! The dashboard and the alerts of the example name metrics and labels that exist.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;
use tower_inference::metrics::{MetricInfo, MetricKind, Names};

const FOLDER: &str = "examples/gateway/observability";
/// Labels that Prometheus adds.
const OF_PROMETHEUS: [&str; 3] = ["le", "instance", "job"];

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER).join(file)).unwrap()
}

/// The title and the queries of each panel.
fn panels() -> Vec<(String, Vec<String>)> {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter().filter(|it| it["type"] != "row");
    let queries = |panel: &Value| {
        let targets = panel["targets"].as_array().unwrap().iter();
        targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
    };
    panels.map(|panel| (panel["title"].as_str().unwrap().to_owned(), queries(panel))).collect()
}

/// The name and the expression of each alert.
fn alerts() -> Vec<(String, String)> {
    let text = read("alerts.yml");
    let rules = text.split("- alert: ").skip(1).map(|rule| {
        let (name, rest) = rule.split_once('\n').unwrap();
        let (_, expression) = rest.split_once("expr: ").unwrap();
        // Up to the next member of the rule.
        let lines = expression
            .lines()
            .take_while(|line| !line.starts_with("        ") || line.starts_with("          "));
        (name.to_owned(), lines.collect::<Vec<_>>().join("\n"))
    });
    rules.collect()
}

/// The words of a query outside of its strings.
fn words(query: &str) -> Vec<&str> {
    let code = query.split('"').step_by(2);
    let words = code.flat_map(|code| code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    words.filter(|word| !word.is_empty()).collect()
}

/// The metric of a name in a query.
fn metric(word: &str) -> Option<&'static MetricInfo> {
    let suffixes = ["_bucket", "_sum", "_count"];
    match MetricInfo::find(Names::Prometheus, word) {
        // A histogram has no series of its plain name.
        Some(info) => (info.kind() != MetricKind::Histogram).then_some(info),
        None => suffixes.iter().find_map(|suffix| {
            let info = MetricInfo::find(Names::Prometheus, word.strip_suffix(suffix)?)?;
            (info.kind() == MetricKind::Histogram).then_some(info)
        }),
    }
}

/// Faults of a query: names that do not exist, and labels that none of its metrics has.
fn faults(query: &str) -> Vec<String> {
    const WORDS: &[&str] = &[
        "sum",
        "by",
        "max",
        "min",
        "rate",
        "increase",
        "histogram_quantile",
        "topk",
        "and",
        "on",
        "__rate_interval",
        "or",
        "unless",
        "offset",
        "absent",
        "vector",
    ];
    let words = words(query);
    let (named, others): (Vec<_>, Vec<_>) =
        words.into_iter().partition(|word| word.starts_with("tower_inference_"));
    if named.is_empty() {
        return vec![format!("no metric in {query}")];
    }
    let unknown = named.iter().filter(|word| metric(word).is_none()).map(|word| (*word).to_owned());
    let labels: BTreeSet<_> = named
        .iter()
        .filter_map(|word| metric(word))
        .flat_map(|info| info.labels(Names::Prometheus))
        .chain(OF_PROMETHEUS)
        .collect();
    let is_number = |word: &str| word.starts_with(|first: char| first.is_ascii_digit());
    let no_label = others
        .iter()
        .filter(|word| !WORDS.contains(word) && !is_number(word) && !labels.contains(**word))
        .map(|word| format!("label {word}"));
    unknown.chain(no_label).collect()
}

#[test]
fn every_query_names_metrics_and_labels_that_exist() {
    let (panels, alerts) = (panels(), alerts());
    assert!(panels.len() > 20 && alerts.len() > 10, "{} {}", panels.len(), alerts.len());
    let mut wrong = Vec::new();
    for (title, queries) in &panels {
        assert!(!queries.is_empty(), "{title}");
        wrong.extend(queries.iter().flat_map(|query| faults(query)).map(|it| (title.clone(), it)));
    }
    wrong.extend(
        alerts
            .iter()
            .flat_map(|(name, alert)| faults(alert).into_iter().map(|fault| (name.clone(), fault))),
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A metric that nobody looks at is not missed when it breaks.
#[test]
fn every_metric_is_in_a_panel_or_an_alert() {
    let queries: String = panels().into_iter().flat_map(|(_, queries)| queries).collect();
    let alerts: String = alerts().into_iter().map(|(_, alert)| alert).collect();
    let all = queries + " " + &alerts;
    let used: BTreeSet<_> = words(&all)
        .into_iter()
        .filter_map(metric)
        .map(|info| info.name(Names::Prometheus))
        .collect();
    let unused: Vec<_> = MetricInfo::ALL
        .iter()
        .map(|info| info.name(Names::Prometheus))
        .filter(|name| name.is_some() && !used.contains(name))
        .collect();
    // Facts of a single layer for programs that look at them.
    let expected = [
        "tower_inference_target_in_flight_requests",
        "tower_inference_target_queued_requests",
        "tower_inference_open_responses",
    ];
    assert_eq!(unused, expected.map(Some));
}

#[test]
fn the_test_sees_a_wrong_name() {
    assert!(faults("sum by (route) (rate(tower_inference_requests_total[5m]))").is_empty());
    assert_eq!(
        faults("sum by (user) (rate(tower_inference_request_total{route=\"user\"}[5m]))"),
        ["tower_inference_request_total", "label user", "label route"]
    );
    assert_eq!(
        faults("tower_inference_request_duration_seconds > 5"),
        ["tower_inference_request_duration_seconds"]
    );
    assert_eq!(faults("up == 0"), ["no metric in up == 0"]);
}
