//! The page of metrics is made from their table.
//!
//! After a change of the table run `METRICS_PAGE=write cargo test --test metrics page`.

use std::{env, fmt::Write as _, fs, path::Path};

use tower_inference::metrics::{MetricInfo, Names};

const PAGE: &str = "src/docs/metrics.md";
const START: &str = "<!-- made by tests/metrics/page.rs -->\n";
const END: &str = "<!-- end -->\n";

fn tables() -> String {
    let mut page = String::new();
    writeln!(page, "\n| name | type | unit | labels | meaning |\n|---|---|---|---|---|").unwrap();
    for info in MetricInfo::ALL {
        if let Some(name) = info.name(Names::Prometheus) {
            row(&mut page, name, info, Names::Prometheus);
        }
    }
    writeln!(page, "\n# Names of OpenTelemetry\n").unwrap();
    writeln!(page, "A metric with two names has that of 1.41 first.\n").unwrap();
    writeln!(page, "| name | type | unit | labels | meaning |\n|---|---|---|---|---|").unwrap();
    for info in MetricInfo::ALL {
        let of = |names| info.name(names);
        let name = match (of(Names::OpenTelemetry1_41), of(Names::OpenTelemetryLatest)) {
            (Some(old), Some(latest)) if old == latest => old.to_owned(),
            (Some(old), Some(latest)) => format!("{old}`, `{latest}"),
            (Some(old), None) => format!("{old}` (1.41 only)`"),
            (None, Some(latest)) => format!("{latest}` (latest only)`"),
            (None, None) => continue,
        };
        row(&mut page, &name, info, Names::OpenTelemetryLatest);
    }
    page.push('\n');
    page.replace("only)``", "only)")
}

fn row(page: &mut String, name: &str, info: &MetricInfo, names: Names) {
    let labels: Vec<_> = info.labels(names).iter().map(|label| format!("`{label}`")).collect();
    let (kind, unit) = (info.kind().as_str(), info.unit().as_str());
    let (labels, meaning) = (labels.join(", "), info.description());
    writeln!(page, "| `{name}` | {kind} | {unit} | {labels} | {meaning} |").unwrap();
}

#[test]
fn the_page_has_each_metric() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(START).unwrap();
    let (made, after) = rest.split_once(END).unwrap();
    let tables = tables();
    if env::var_os("METRICS_PAGE").is_some_and(|value| value == "write") {
        fs::write(path, format!("{before}{START}{tables}{END}{after}")).unwrap();
        return;
    }
    assert!(made == tables, "Run `METRICS_PAGE=write cargo test --test metrics page`.");
}
