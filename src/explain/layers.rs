//! The decision of each layer in words.

use super::{
    line::{Line, known_layer},
    reasons::{layers_of, rejection},
};
use crate::context::{Decision, Layer};

/// Returns a sentence for each layer whose decision the line states or proves.
pub(super) fn sentences(line: &Line) -> Vec<String> {
    match line.decisions() {
        Some(decisions) => {
            decisions.iter().map(|(name, decision)| sentence(line, name, *decision)).collect()
        }
        None => derived(line),
    }
}

/// Returns the decisions that other members prove.
fn derived(line: &Line) -> Vec<String> {
    let has = |name: &str| line.text(name).is_some();
    let candidates = line.refusal().map_or(&[][..], layers_of);
    let rejecting = match candidates {
        [layer] => Some(*layer),
        // The limit of a caller's share of the slots is of `UpstreamLayer`.
        _ if line.text("limit").as_deref() == Some("caller-share") => Some(Layer::Upstream),
        _ => None,
    };
    let cached = line.text("cache");
    let was_sent = line.number("attempts").is_some_and(|attempts| attempts > 0);
    let decision = |layer: Layer| {
        if rejecting == Some(layer) {
            return Some(Decision::Rejected);
        }
        let passed = match layer {
            Layer::Route => has("route"),
            Layer::Auth => has("principal.subject"),
            Layer::ModelRules => has("model_target") && line.refusal().is_none(),
            Layer::Cache if matches!(cached.as_deref(), Some("hit" | "collapsed")) => {
                return Some(Decision::Responded);
            }
            Layer::Cache => cached.is_some(),
            Layer::Upstream => was_sent,
            Layer::HfToken => was_sent && has("upstream"),
            _ => false,
        };
        passed.then_some(Decision::Passed)
    };
    let known = Layer::ALL.iter().filter_map(|layer| Some((*layer, decision(*layer)?)));
    let mut sentences: Vec<_> =
        known.map(|(layer, decision)| sentence(line, layer.as_str(), decision)).collect();
    if rejecting.is_none() && (line.refusal().is_some() || has("refusal")) {
        sentences.push(one_of(line, candidates));
    }
    sentences
}

fn one_of(line: &Line, candidates: &[Layer]) -> String {
    let names: Vec<_> = candidates.iter().map(|layer| layer.as_str()).collect();
    let layers = match names.split_last() {
        None => "A layer".to_owned(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("One of the layers {} or {last}", others.join(", ")),
    };
    format!("{layers} rejected the request: {}.", rejection(line))
}

fn sentence(line: &Line, name: &str, decision: Decision) -> String {
    match decision {
        Decision::Rejected => format!("{name} rejected the request: {}.", rejection(line)),
        Decision::Passed => match known_layer(name).and_then(|layer| passed(line, layer)) {
            Some(words) => format!("{name} passed the request: {words}."),
            None => format!("{name} passed the request."),
        },
        Decision::Responded => match known_layer(name).and_then(|_| cache(line)) {
            Some(words) => format!("{name} responded itself: {words}."),
            None => format!("{name} responded itself."),
        },
    }
}

/// Returns why a layer of this crate passed the request.
fn passed(line: &Line, layer: Layer) -> Option<String> {
    let text = |name: &str| line.text(name);
    let shadow = || {
        text("limit_shadow")
            .map(|limit| format!("; its limit {limit} in shadow would have rejected the request"))
    };
    Some(match layer {
        Layer::PeerThrottle => "the limits by address allow it".to_owned(),
        Layer::Route => match text("route") {
            Some(route) => format!("the route is {route}"),
            None => return None,
        },
        Layer::Auth => "the credential is valid and the access rules allow the route".to_owned(),
        Layer::Throttle => {
            format!("its limits allow the request{}", shadow().unwrap_or_default())
        }
        Layer::Payload => match line.number("bytes_in") {
            Some(bytes) => format!("the body has {bytes} bytes and is within the bounds"),
            None => "the body is within the bounds".to_owned(),
        },
        Layer::Schema => "the request matches the schema of its route".to_owned(),
        Layer::Transform => "its edits are made".to_owned(),
        Layer::ModelRules => match text("model_target") {
            Some(target) => format!("the caller may use {target}"),
            None => "the request names no model that a rule judges, or a rule allows it".to_owned(),
        },
        Layer::Cache => return cache(line),
        Layer::TokenBudget => "the budget covers the request".to_owned(),
        Layer::Fallback => "a target can serve it".to_owned(),
        Layer::Upstream => "a slot was free and the upstream was called".to_owned(),
        Layer::HfToken => match text("upstream") {
            Some(upstream) => format!("it was sent to {upstream} with the token of that origin"),
            None => "it was sent with the token of its origin".to_owned(),
        },
        Layer::AccessLog => return None,
    })
}

fn cache(line: &Line) -> Option<String> {
    let words = match line.text("cache")?.as_str() {
        "hit" => "a stored response was served and no upstream was called",
        "miss" => "no stored response fits",
        "collapsed" => "the request shares the upstream call of an earlier one",
        "bypass" => "the request cannot be cached",
        _ => return None,
    };
    Some(words.to_owned())
}
