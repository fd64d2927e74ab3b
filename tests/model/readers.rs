//! An allowed request reaches only allowed models, for each way to read it.

use std::cell::Cell;

use proptest::sample::select;

use super::*;

/// A member of the body as it is written, and what it says.
type Member = (&'static str, &'static str);

const NAMES: &[Member] = &[
    ("model", "model"),
    ("model", "model"),
    ("model", "model"),
    ("mod\\u0065l", "model"),
    ("Model", "Model"),
    ("MODEL", "MODEL"),
    ("messages", "messages"),
];
const MODELS: &[&str] = &[
    "good/model",
    "good/model:together",
    "good/model:together",
    "good/model:hf-inference",
    "good/model:groq",
    "good/model:fastest",
    "good/model:together:groq",
    "GOOD/model:together",
    "evil/model:together",
    "evil/model",
    "good/model/..:together",
    "../evil/model:together",
    "http://evil",
    "",
];
const SEGMENTS: &[&str] = &[
    "",
    ".",
    "..",
    "%2e%2e",
    "%2F",
    "v1",
    "V1",
    "chat",
    "completions",
    "models",
    "hf-inference",
    "hf-%69nference",
    "good",
    "model",
    "evil",
    "good%2Fmodel",
    "together",
    "groq",
    "pipeline",
    "feature-extraction",
    "openai",
];
const PATHS: &[&str] = &[
    CHAT,
    CHAT,
    "/hf-inference/models/good/model",
    "/hf-inference/models/evil/model",
    "/hf-inference/models/good/model/v1/chat/completions",
    "/models/good/model/pipeline/feature-extraction",
    "/together/v1/chat/completions",
    "/together/openai/v1/chat/completions",
    "/groq/v1/chat/completions",
    "/together/files",
];

fn paths() -> impl Strategy<Value = String> {
    let made_up =
        prop::collection::vec(select(SEGMENTS), 1..8).prop_map(|all| format!("/{}", all.join("/")));
    // One segment put in somewhere, or one taken out.
    let mutated = (select(PATHS), any::<prop::sample::Index>(), select(SEGMENTS), any::<bool>());
    let mutated = mutated.prop_map(|(path, at, segment, put)| {
        let mut segments: Vec<&str> = path.split('/').skip(1).collect();
        let at = at.index(segments.len());
        if put {
            segments.insert(at, segment);
        } else {
            segments[at] = segment;
        }
        format!("/{}", segments.join("/"))
    });
    prop_oneof![select(PATHS).prop_map(str::to_owned), mutated, made_up]
}

fn bodies() -> impl Strategy<Value = Vec<(Member, &'static str)>> {
    prop::collection::vec((select(NAMES), select(MODELS)), 0..3)
}

fn written(body: &[(Member, &str)]) -> String {
    let members = body.iter().map(|((name, _), value)| format!("\"{name}\":\"{value}\""));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// Every (model, provider) that some upstream might reach: one that takes the path as it is or
/// decodes it, merges its slashes and resolves its dots; the first of two members or the last;
/// names as they are or folded; path before body or body before path; the first colon or the last.
/// None when it would find no model. Written without a look at the crate's own rules.
fn readings(path: &str, body: &[(Member, &str)]) -> Vec<(String, String)> {
    let mut models = Vec::new();
    for folded in [false, true] {
        let is_model =
            |name: &str| if folded { name.eq_ignore_ascii_case("model") } else { name == "model" };
        let mut all = body.iter().filter(|((_, name), _)| is_model(name)).map(|(_, value)| *value);
        models.extend(all.next());
        models.extend(all.next_back());
    }
    let mut found = Vec::new();
    let mut reached = |model: &str, provider: &str| found.push((model.into(), provider.into()));
    for path in [path.to_owned(), resolved(path)] {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        // Who is reached where the model has no suffix, and the model that the path names.
        let (provider, named) = match segments.as_slice() {
            ["v1", ..] => ("fastest", None),
            ["hf-inference", "models", rest @ ..] | ["models", rest @ ..] => {
                let end = rest.iter().position(|part| matches!(*part, "pipeline" | "v1"));
                ("hf-inference", Some(rest[..end.unwrap_or(rest.len())].join("/")))
            }
            [provider, .., "v1", "chat", "completions"] => (*provider, None),
            [provider, ..] => (*provider, Some("whatever".to_owned())),
            [] => continue,
        };
        if let Some(named) = named {
            reached(&named, provider);
        }
        for model in &models {
            for cut in [model.split_once(':'), model.rsplit_once(':')] {
                let (name, suffix) = cut.unwrap_or((model, provider));
                reached(name, suffix);
                if provider != "fastest" {
                    reached(name, provider);
                }
            }
        }
    }
    found
}

fn resolved(path: &str) -> String {
    let decoded = path.replace("%2e", ".").replace("%2F", "/").replace("%69", "i");
    let mut kept: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

/// The rules, and whether they mean a model of a provider.
type Allowed = (ModelRules, fn(&str, &str) -> bool);

#[test]
fn an_allowed_request_reaches_only_allowed_models_for_every_reader() {
    let one = ModelRule::new(["good/model"]).providers(["together", "hf-inference"]);
    let all = ModelRule::new(["*"]).providers(["together"]);
    let rows: [Allowed; 2] = [
        (ModelRules::new().allow(one), |model, provider| {
            model == "good/model" && matches!(provider, "together" | "hf-inference")
        }),
        (ModelRules::new().allow(all), |_, provider| provider == "together"),
    ];
    for (rules, allowed) in rows {
        let (passed, refused) = readings_of_what_passes_are(&rules, allowed);
        assert!(passed > 300 && refused > 5_000, "{passed} passed, {refused} refused");
    }
}

/// How many requests pass, and how many do not.
fn readings_of_what_passes_are(
    rules: &ModelRules,
    allowed: impl Fn(&str, &str) -> bool,
) -> (u32, u32) {
    let router = Profile::router();
    let (passed, refused) = (Cell::new(0), Cell::new(0));
    let config = ProptestConfig { cases: 20_000, failure_persistence: None, ..Default::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let checked = runner.run(&(paths(), bodies()), |(path, body)| {
        let request = post(&path, &written(&body));
        let passes = router.target(&request).is_ok_and(|target| rules.allows(&target, None));
        let count = if passes { &passed } else { &refused };
        count.set(count.get() + 1);
        if passes {
            let readings = readings(&path, &body);
            for (model, provider) in &readings {
                let body = written(&body);
                prop_assert!(allowed(model, provider), "{path} {body}: {model} of {provider}");
            }
        }
        Ok(())
    });
    checked.unwrap();
    (passed.get(), refused.get())
}
