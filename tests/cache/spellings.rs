//! A request is found by its spelling exactly when it is found by its key.

use std::collections::HashMap;

use proptest::{collection::vec, prelude::*};
use tower_inference::cache::CacheKey;

use super::*;

/// A request. The numbers choose among few values, so that requests repeat.
#[derive(Clone, Debug)]
struct Spec {
    settings: usize,
    subject: usize,
    route: usize,
    query: usize,
    host: usize,
    accept: usize,
    content_type: usize,
    prompt: usize,
    temperature: usize,
    store: usize,
    form: usize,
}

const PATHS: [&str; 2] = ["/v1/chat/completions", "/v1/completions"];
const QUERIES: [&str; 2] = ["", "?a=1"];
/// The case of a host does not count.
const HOSTS: [&str; 3] = ["one.example", "ONE.example", "two.example"];
const ACCEPTED: [Option<&str>; 2] = [None, Some("text/plain")];
const TYPES: [Option<&str>; 3] =
    [Some("application/json"), Some("application/json; charset=utf-8"), None];
const STORE: [Option<&str>; 3] = [None, Some("false"), Some("true")];
/// Zero three times, then a request that is not deterministic.
const TEMPERATURES: [&str; 4] = ["0", "0.0", "0e3", "1"];

/// Everything that a response depends on: the parts of the key.
type ModelKey = (bool, [usize; 4], String, Option<&'static str>, String);

impl Spec {
    fn body(&self) -> String {
        let Self { prompt, temperature, store, form, .. } = *self;
        let temperature = TEMPERATURES[temperature];
        let store = STORE[store].map_or_else(String::new, |store| format!(",\"store\":{store}"));
        match form {
            0 => {
                format!(r#"{{"model":"m","prompt":"{prompt}","temperature":{temperature}{store}}}"#)
            }
            1 => format!(
                "{{ \"temperature\" : {temperature},\n \"prompt\" : \"{prompt}\", \"model\":\"m\"{store} }}"
            ),
            _ => format!(
                r#"{{"pr\u006fmpt":"\u003{prompt}","model":"\u006d","temperature":{temperature}{store}}}"#
            ),
        }
    }

    fn request(&self) -> Request<Payload> {
        let uri = format!("{}{}", PATHS[self.route], QUERIES[self.query]);
        let mut request = post(Some(user(["a", "b"][self.subject])), &uri, &self.body());
        let headers = request.headers_mut();
        headers.remove(header::CONTENT_TYPE);
        headers.insert(header::HOST, HOSTS[self.host].parse().unwrap());
        let others = [
            (header::CONTENT_TYPE, TYPES[self.content_type]),
            (header::ACCEPT, ACCEPTED[self.accept]),
        ];
        for (name, value) in others {
            value.map(|value| headers.insert(name, value.parse().unwrap()));
        }
        context(&request).set_route("route");
        request
    }

    /// Returns the key, or `None` for a request that bypasses the cache.
    fn key(&self) -> Option<ModelKey> {
        if TEMPERATURES[self.temperature] == "1" || STORE[self.store] == Some("true") {
            return None;
        }
        let body = match TYPES[self.content_type] {
            // Not JSON by its head, so each spelling is another body.
            None => self.body(),
            Some(_) if self.settings == 2 => format!("{:?}", STORE[self.store]),
            Some(_) => format!("{} {:?}", self.prompt, STORE[self.store]),
        };
        let numbers = [self.subject, self.route, self.query, self.accept];
        let host = HOSTS[self.host].to_lowercase();
        // The third settings have the epoch of the first.
        Some((self.settings == 1, numbers, host, TYPES[self.content_type], body))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send(Spec),
    Invalidate(Spec),
    InvalidateRoute,
    Expire,
}

fn spec() -> impl Strategy<Value = Spec> {
    // The first value of each is the most likely one.
    let of = |count: usize| prop_oneof![3 => Just(0), 1 => 0..count];
    ((of(3), of(2), of(2), of(2), of(3), of(2)), (of(3), of(2), of(4), of(3), 0..3_usize)).prop_map(
        |((settings, subject, route, query, host, accept), more)| {
            let (content_type, prompt, temperature, store, form) = more;
            Spec {
                settings,
                subject,
                route,
                query,
                host,
                accept,
                content_type,
                prompt,
                temperature,
                store,
                form,
            }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => spec().prop_map(Step::Send),
        2 => spec().prop_map(Step::Invalidate),
        1 => Just(Step::InvalidateRoute),
        1 => Just(Step::Expire),
    ]
}

/// Plays the steps and compares each response with a map by the parts of the keys.
async fn play(steps: Vec<Step>) {
    let (base, clock) = layer(Scope::Identity);
    // All of them share their entries.
    let layers = [
        base.clone(),
        base.clone().key(CacheKey::new().epoch(1)),
        base.key(CacheKey::new().ignore_members(["prompt"])),
    ];
    let upstream = Upstream::numbers();
    let mut stored = HashMap::<ModelKey, usize>::new();
    for step in steps {
        match step {
            Step::Send(spec) => {
                let calls = upstream.calls();
                let key = spec.key();
                let expected = key.as_ref().and_then(|key| stored.get(key)).copied();
                let body = body_of(&layers[spec.settings], &upstream, spec.request()).await;
                assert_eq!(body, completion(expected.unwrap_or(calls)), "{spec:?}");
                assert_eq!(upstream.calls() - calls, usize::from(expected.is_none()), "{spec:?}");
                key.map(|key| stored.insert(key, expected.unwrap_or(calls)));
            }
            Step::Invalidate(spec) => {
                layers[spec.settings].invalidate(&spec.request());
                spec.key().map(|key| stored.remove(&key));
            }
            Step::InvalidateRoute => {
                layers[0].invalidate_route("route");
                stored.clear();
            }
            Step::Expire => {
                clock.advance(Duration::from_secs(300));
                stored.clear();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_request_is_a_hit_if_and_only_if_its_key_is_known(steps in vec(step(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(play(steps));
    }
}
