//! Documents of CloudWatch's Embedded Metric Format, against its rules.

use std::collections::BTreeSet;

use tower_inference::{
    access_log::{Content, Dimension, Emf, EmfError, Unit},
    context::AddedValue,
};

use super::{
    formats::{serve_full, serve_least},
    *,
};

const UNITS: &[&str] = &[
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
    "None",
];

/// Returns what breaks a rule of the format in a line.
///
/// The rules: one JSON object of less than 256 KiB on the line. `_aws.Timestamp` is an integer in
/// milliseconds. A directive has a `Namespace` of 1 to 1,024 characters, at least one set of `Dimensions`
/// with at most 30 keys of at most 250 characters, whose values are strings of at most 1,024, and
/// `Metrics`, of which a document has at most 100 with names of at most 255. Values are at the root:
/// numbers, or arrays of at most 100 numbers.
pub(super) fn broken_rules(line: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let mut rule = |holds: bool, what: &str| {
        if !holds {
            broken.push(what.to_owned());
        }
    };
    rule(line.len() + 26 <= 256 * 1024, "the document is too long");
    rule(!line.contains(['\n', '\r']), "it is more than one line");
    let Ok(Value::Object(root)) = serde_json::from_str(line) else {
        return vec!["it is no object".to_owned()];
    };
    let aws = root.get("_aws").and_then(Value::as_object);
    let Some(aws) = aws else { return vec!["it has no `_aws`".to_owned()] };
    rule(aws.get("Timestamp").is_some_and(Value::is_u64), "`Timestamp` is no integer");
    let Some(directives) = aws.get("CloudWatchMetrics").and_then(Value::as_array) else {
        return vec!["`CloudWatchMetrics` is no array".to_owned()];
    };
    let text = |value: &Value, longest: usize| {
        value.as_str().is_some_and(|text| (1..=longest).contains(&text.chars().count()))
    };
    let list =
        |directive: &Value, name: &str| directive[name].as_array().cloned().unwrap_or_default();
    let mut names = BTreeSet::new();
    let mut count = 0;
    for directive in directives {
        rule(text(&directive["Namespace"], 1_024), "the namespace");
        let sets = list(directive, "Dimensions");
        rule(!sets.is_empty(), "there is no set of dimensions");
        for set in &sets {
            let Some(set) = set.as_array() else {
                rule(false, "a set is no array");
                continue;
            };
            rule(set.len() <= 30, "a set is too large");
            for key in set {
                rule(text(key, 250), "the name of a dimension");
                let value = key.as_str().and_then(|key| root.get(key));
                let is_text = value.is_some_and(|value| text(value, 1_024));
                rule(is_text, &format!("the value of the dimension {key}"));
                let is_ascii = value.and_then(Value::as_str).is_some_and(|value| {
                    !value.trim().is_empty() && value.chars().all(|c| (' '..='~').contains(&c))
                });
                rule(is_ascii, "a dimension is blank or not ASCII");
            }
        }
        let metrics = list(directive, "Metrics");
        rule(!metrics.is_empty(), "a directive has no metrics");
        count += metrics.len();
        for metric in &metrics {
            rule(text(&metric["Name"], 255), "the name of a metric");
            let unit = &metric["Unit"];
            rule(unit.as_str().is_some_and(|unit| UNITS.contains(&unit)), "the unit of a metric");
            let name = metric["Name"].as_str().unwrap_or_default();
            rule(names.insert(name.to_owned()), "a metric comes twice");
            let value = root.get(name);
            let is_number = |value: &Value| value.is_number();
            let is_numbers = value.is_some_and(|value| {
                is_number(value)
                    || value.as_array().is_some_and(|all| {
                        (1..=100).contains(&all.len()) && all.iter().all(is_number)
                    })
            });
            rule(is_numbers, &format!("the value of the metric {name}"));
        }
    }
    rule(count <= 100, "there are too many metrics");
    // A name that comes twice would be read as the last one.
    let again = Value::Object(root).to_string();
    rule(same_length(line, &again), "a member comes twice");
    broken
}

/// Whether two texts of JSON have as many colons outside of strings.
fn same_length(one: &str, other: &str) -> bool {
    let colons = |text: &str| {
        let (mut quoted, mut escaped, mut colons) = (false, false, 0);
        for character in text.chars() {
            match character {
                _ if escaped => escaped = false,
                '\\' => escaped = quoted,
                '"' => quoted = !quoted,
                ':' if !quoted => colons += 1,
                _ => {}
            }
        }
        colons
    };
    colons(one) == colons(other)
}

fn assert_valid(text: &str) {
    for line in text.lines() {
        assert_eq!(broken_rules(line), [""; 0], "{line}");
    }
}

/// Serves one request to which the program adds values.
fn serve_with(log: &Log, add: impl Fn(&RequestContext) + Clone) {
    let service = log.layer.layer(answering(move |request: Request<_>| {
        add(RequestContext::of(request.extensions()).unwrap());
        Response::new(Empty::<Bytes>::new())
    }));
    now(service.oneshot(get("/"))).unwrap();
}

#[test]
fn the_rules_are_checked() {
    let valid = json!({
        "_aws": { "Timestamp": 1, "CloudWatchMetrics": [{
            "Namespace": "n",
            "Dimensions": [["a"]],
            "Metrics": [{ "Name": "m", "Unit": "Count" }],
        }] },
        "a": "b",
        "m": 1,
    });
    assert_eq!(broken_rules(&valid.to_string()), [""; 0]);
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut document = valid.clone();
        change(&mut document);
        !broken_rules(&document.to_string()).is_empty()
    };
    let directive = "/_aws/CloudWatchMetrics/0";
    let set = |path: &str, value: Value| {
        let path = format!("{directive}{path}");
        broken(&|document| *document.pointer_mut(&path).unwrap() = value.clone())
    };
    assert!(set("/Namespace", json!("")) && set("/Namespace", json!("n".repeat(1_025))));
    assert!(set("/Dimensions", json!([])) && set("/Dimensions", json!([["absent"]])));
    assert!(set("/Dimensions", json!([vec!["a"; 31]])) && set("/Metrics", json!([])));
    assert!(set("/Metrics/0/Unit", json!("Apples")) && set("/Metrics/0/Name", json!("absent")));
    assert!(broken(&|document| document["m"] = json!("1")));
    assert!(broken(&|document| document["m"] = json!(vec![1; 101])));
    assert!(broken(&|document| document["a"] = json!("x".repeat(1_025))));
    assert!(broken(&|document| document["_aws"]["Timestamp"] = json!(1.5)));
    assert!(broken(&|document| document["x"] = json!("x".repeat(256 * 1024))));
    assert!(broken(&|document| {
        let metrics: Vec<_> =
            (0..101).map(|m| json!({"Name": m.to_string(), "Unit": "Count"})).collect();
        *document.pointer_mut(&format!("{directive}/Metrics")).unwrap() = json!(metrics);
        (0..101).for_each(|m| document[m.to_string()] = json!(1));
    }));
    assert!(!broken_rules(&valid.to_string().replace("\"m\":1", "\"m\":1,\"a\":\"c\"")).is_empty());
    assert!(!broken_rules("[]").is_empty() && !broken_rules("{}\n{}").is_empty());
}

#[test]
fn a_document_has_metrics_beside_the_members_of_a_record() {
    let emf = Emf::new("Inference").unwrap().constant("ApiName", "gateway").unwrap();
    let emf = emf.value("cost_usd", Unit::None).unwrap().value("absent", Unit::Count).unwrap();
    let emf = emf.value("batch", Unit::Count).unwrap();
    let format = Format::emf(emf).fields(["request_id", "path", "values"]).unwrap();
    let log = Log::format(format);
    serve_full(&log);
    let full = [
        r#"{"_aws":{"Timestamp":1795424887006,"CloudWatchMetrics":[{"Namespace":"Inference","#,
        r#""Dimensions":[["ApiName"],["ApiName","Stage"],["ApiName","Stage","Route"]],"Metrics":["#,
        r#"{"Name":"Count","Unit":"Count"},{"Name":"4XXError","Unit":"Count"},"#,
        r#"{"Name":"5XXError","Unit":"Count"},{"Name":"Rejections","Unit":"Count"},"#,
        r#"{"Name":"Latency","Unit":"Milliseconds"},"#,
        r#"{"Name":"FirstByteLatency","Unit":"Milliseconds"},"#,
        r#"{"Name":"DataProcessed","Unit":"Bytes"},{"Name":"CacheHitCount","Unit":"Count"},"#,
        r#"{"Name":"CacheMissCount","Unit":"Count"},{"Name":"InputTokens","Unit":"Count"},"#,
        r#"{"Name":"OutputTokens","Unit":"Count"},{"Name":"CachedTokens","Unit":"Count"},"#,
        r#"{"Name":"CacheWriteTokens","Unit":"Count"},"#,
        r#"{"Name":"ReasoningTokens","Unit":"Count"},{"Name":"cost_usd","Unit":"None"}]}]},"#,
        r#""ApiName":"gateway","Stage":"prod","Route":"/v1/chat/completions","Count":1,"#,
        r#""4XXError":0,"5XXError":0,"Rejections":0,"Latency":21.5,"FirstByteLatency":11.5,"#,
        r#""DataProcessed":13,"CacheHitCount":0,"CacheMissCount":1,"InputTokens":11,"#,
        r#""OutputTokens":22,"CachedTokens":4,"CacheWriteTokens":3,"ReasoningTokens":5,"cost_usd":0.25,"#,
        r#""request_id":"id-7","path":"/v1/chat/completions","#,
        r#""values":{"cost_usd":0.25,"batch":"a\"b","apiId":"api-1"}}"#,
    ];
    assert_eq!(log.text().trim_end(), full.concat());
    assert_valid(&log.text());

    // Without a stage and a route, the request counts in the first set alone.
    let log = Log::format(Format::emf(Emf::new("n").unwrap()));
    serve_least(&log);
    assert_eq!(log.record()["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([[]]));
    assert_eq!(log.record()["path"], "/");
    assert_valid(&log.text());
}

#[test]
fn a_request_without_any_dimension_counts_nowhere() {
    let emf = Emf::new("n").unwrap().dimensions([[Dimension::Route]]).unwrap();
    let log = Log::format(Format::emf(emf));
    serve_least(&log);
    let record = log.record();
    assert_eq!((&record["_aws"]["CloudWatchMetrics"], &record["path"]), (&json!([]), &json!("/")));
    assert!(record.get("Count").is_none());
    assert_valid(&log.text());
}

#[test]
fn dimensions_have_few_values() {
    let dimensions = [
        Dimension::Method,
        Dimension::StatusClass,
        Dimension::Outcome,
        Dimension::Cache,
        Dimension::Upstream,
        Dimension::Model,
    ];
    let emf = Emf::new("n").unwrap().dimensions([dimensions]).unwrap();
    for (models, expected) in [(vec![], "other"), (vec!["org/model"], "org/model")] {
        let log = Log::format(Format::emf(emf.clone().models(models)));
        serve_full(&log);
        let record = log.record();
        assert_eq!(record["Model"], expected);
        assert_eq!((&record["Method"], &record["StatusClass"]), (&json!("POST"), &json!("2xx")));
        assert_eq!(record["Upstream"], "https://router.huggingface.co");
    }
    let emf = Emf::new("n").unwrap().dimensions([[Dimension::Method]]).unwrap();
    let log = Log::format(Format::emf(emf));
    let service = log.layer.layer(answering(|_| Response::new(Empty::<Bytes>::new())));
    let request = Request::builder().method("RANDOM-7").body(Empty::<Bytes>::new()).unwrap();
    now(service.oneshot(request)).unwrap();
    assert_eq!(log.record()["Method"], "_OTHER");
}

#[test]
fn more_metrics_than_a_document_takes_are_several_documents() {
    let mut emf = Emf::new("n").unwrap().max_metrics(10);
    for name in 0..32 {
        emf = emf.value(format!("value-{name}"), Unit::Count).unwrap();
    }
    let log = Log::format(Format::emf(emf));
    serve_with(&log, |context| {
        for name in 0..32 {
            context.add_value(&*format!("value-{name}").leak(), i64::from(name));
        }
    });
    assert_valid(&log.text());
    let records = log.records();
    let names: Vec<_> = records
        .iter()
        .flat_map(|record| {
            let metrics = record["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
            assert!(metrics.len() <= 10);
            metrics.iter().map(|metric| metric["Name"].as_str().unwrap().to_owned())
        })
        .collect();
    // `Count`, four of statuses and rejections, two of times and bytes, and those that were added.
    assert_eq!(names.len(), 6 + 32, "{names:?}");
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    assert_eq!(records.len(), 4);
    // Once for each request.
    assert_eq!(records.iter().filter(|record| record.get("path").is_some()).count(), 1);
    assert_eq!(Emf::new("n").unwrap().max_metrics(1_000), Emf::new("n").unwrap());
}

#[test]
fn members_that_do_not_fit_are_documents_of_their_own() {
    let content = || Content::truncated(1 << 20);
    let emf = Emf::new("n").unwrap();
    let format = Format::emf(emf).prompts(content()).completions(content());
    let log = Log::format(format);
    let hostile: &'static [u8] = vec![1; 1 << 20].leak();
    let service =
        log.layer.layer(service_fn(move |request: Request<RequestBody<Full<Bytes>>>| async move {
            let context = RequestContext::of(request.extensions()).unwrap().clone();
            context.set_request_id(HeaderValue::from_static("id-7"));
            for name in 0..40 {
                let name = format!("{name}{}", "\u{1}".repeat(600)).leak();
                context.add_value(&*name, AddedValue::from("\u{1}".repeat(600)));
            }
            request.into_body().collect().await.unwrap();
            Ok::<_, Infallible>(Response::new(ScriptedBody::new([Step::Data(hostile)])))
        }));
    let request = Request::post("/").body(Full::new(Bytes::from_static(hostile))).unwrap();
    let response = now(service.oneshot(request)).unwrap();
    now(response.into_body().collect()).unwrap();
    assert_valid(&log.text());
    let records = log.records();
    assert!(records.len() >= 3, "{}", records.len());
    assert!(records.iter().all(|record| record["request_id"] == "id-7"));
    let one = |name: &str| {
        let mut with = records.iter().filter_map(|record| record.get(name));
        let value = with.next().unwrap();
        assert!(with.next().is_none());
        value
    };
    assert_eq!(one("values").as_object().unwrap().len(), 32);
    for body in ["prompt", "completion"] {
        assert_eq!((one(body)["bytes"].as_u64(), one(body)["cut_bytes"].as_u64()), {
            (Some(1 << 20), Some((1 << 20) - 40_000))
        });
    }
}

/// CloudWatch takes -2^360 to 2^360.
#[test]
fn a_number_that_cloudwatch_does_not_take_is_no_metric() {
    let largest = 2_f64.powi(360);
    for (number, is_metric) in [
        (largest, true),
        (-largest, true),
        (5e-324, true),
        (largest * 1.000_001, false),
        (f64::MIN, false),
        (f64::MAX, false),
        (f64::NAN, false),
        (f64::INFINITY, false),
    ] {
        let emf = Emf::new("n").unwrap().value("cost", Unit::None).unwrap();
        let log = Log::format(Format::emf(emf));
        serve_with(&log, move |context| context.add_value("cost", AddedValue::Float(number)));
        assert_valid(&log.text());
        let record = log.record();
        assert_eq!(record.get("cost").is_some(), is_metric, "{number}");
        // The members of the record have it nevertheless.
        assert!(record["values"].get("cost").is_some());
    }
}

#[test]
fn settings_beyond_the_limits_are_errors() {
    let emf = || Emf::new("n").unwrap();
    for namespace in ["", " ", "a\n", "é", &"n".repeat(1_025)] {
        assert_eq!(Emf::new(namespace).unwrap_err(), EmfError::Namespace);
    }
    assert!(Emf::new("n".repeat(1_024)).is_ok());
    for name in ["", "\"", "\\", "é", ":a", "a\n", &"n".repeat(251)] {
        let error = emf().constant(name, "v").unwrap_err();
        assert_eq!(error, EmfError::Name(name.into()));
    }
    assert!(emf().value("n".repeat(255), Unit::None).is_ok());
    assert!(emf().value("n".repeat(256), Unit::None).is_err());
    for taken in ["_aws", "Count", "Model", "path", "usage", "values", "prompt", "sample_rate"] {
        let error = EmfError::NameInUse(taken.into());
        assert_eq!(emf().constant(taken, "v").unwrap_err(), error);
        assert_eq!(emf().value(taken, Unit::None).unwrap_err(), error);
    }
    let twice = emf().constant("a", "v").unwrap();
    assert_eq!(twice.value("a", Unit::None).unwrap_err(), EmfError::NameInUse("a".into()));
    for value in ["", "  ", "é", &"v".repeat(1_025)] {
        assert_eq!(emf().constant("a", value).unwrap_err(), EmfError::Value("a".into()));
    }
    let no_sets: [Vec<Dimension>; 0] = [];
    assert_eq!(emf().dimensions(no_sets).unwrap_err(), EmfError::Sets);
    assert_eq!(emf().dimensions(vec![[]; 17]).unwrap_err(), EmfError::Sets);
    let mut many = emf().dimensions([[Dimension::Stage, Dimension::Route]]).unwrap();
    for name in 0..28 {
        many = many.constant(format!("c{name}"), "v").unwrap();
    }
    assert_eq!(many.clone().constant("one-more", "v").unwrap_err(), EmfError::TooManyDimensions);
    let more = [[Dimension::Stage, Dimension::Route, Dimension::Model]];
    assert_eq!(many.clone().dimensions(more).unwrap_err(), EmfError::TooManyDimensions);
    let log = Log::format(Format::emf(many));
    serve_full(&log);
    assert_valid(&log.text());
}
