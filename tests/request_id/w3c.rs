//! W3C Trace Context, rule by rule. The vectors are our own, in the order of the specification.

use http::HeaderMap;
use tower_inference::context::{Propagator, TraceContext};
use tracing::Span;

use super::*;

const SPAN: &str = "00f067aa0ba902b7";

/// What the inner service gets of the trace headers.
#[derive(Debug)]
struct Forwarded {
    traceparent: Option<String>,
    tracestate: Vec<String>,
    baggage: bool,
    context: RequestContext,
}

impl Forwarded {
    fn trace(&self) -> TraceContext {
        let header = HeaderValue::from_str(self.traceparent.as_deref().unwrap()).unwrap();
        TraceContext::from_traceparent(&header).unwrap()
    }

    /// A trace of ours: a new id, not sampled, no state.
    fn is_new(&self) -> bool {
        let trace = self.trace();
        trace.trace_id().as_str() != TRACE
            && !trace.is_sampled()
            && self.tracestate.is_empty()
            && self.context.trace_id() == Some(trace.trace_id())
            && self.context.parent_span_id().is_none()
    }
}

fn forwarded(layer: &RequestIdLayer, headers: &[(&'static str, &str)]) -> Forwarded {
    let mut request = request(&[]);
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        request.headers_mut().append(*name, value);
    }
    let context = RequestContext::ensure(request.extensions_mut());
    let mut seen = None;
    let inner = |request: Request<()>| {
        let headers = request.headers();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        assert!(headers.get_all("traceparent").iter().count() <= 1);
        seen = Some(Forwarded {
            traceparent: headers.get("traceparent").map(text),
            tracestate: headers.get_all("tracestate").iter().map(text).collect(),
            baggage: headers.contains_key("baggage"),
            context: context.clone(),
        });
        Response::new(())
    };
    now(layer.layer(Once(inner)).call(request)).unwrap();
    seen.unwrap()
}

fn trusting() -> RequestIdLayer {
    RequestIdLayer::new().dangerous_trust_all_peers()
}

fn state(layer: &RequestIdLayer, fields: &[&str]) -> Vec<String> {
    let mut headers = vec![("traceparent", TRACEPARENT)];
    headers.extend(fields.iter().map(|field| ("tracestate", *field)));
    let forwarded = forwarded(layer, &headers);
    assert_eq!(forwarded.trace().trace_id().as_str(), TRACE, "a bad state keeps the trace");
    forwarded.tracestate
}

#[test]
fn a_trace_goes_on_with_a_parent_of_our_own() {
    let forwarded = forwarded(&trusting(), &[("traceparent", TRACEPARENT), ("tracestate", "a=1")]);
    let trace = forwarded.trace();
    assert_eq!(trace.trace_id().as_str(), TRACE);
    assert_ne!(trace.parent_id().as_str(), SPAN);
    assert!(trace.is_sampled());
    assert_eq!(forwarded.tracestate, ["a=1"]);
    assert_eq!(forwarded.context.trace_context(), Some(&trace));
    assert_eq!(forwarded.context.parent_span_id().unwrap().as_str(), SPAN);
}

#[test]
fn a_stranger_does_not_decide_on_sampling() {
    for (flags, random) in [("01", false), ("03", true), ("00", false), ("02", true)] {
        let header = TRACEPARENT.replace("-01", &format!("-{flags}"));
        let forwarded = forwarded(&RequestIdLayer::new(), &[("traceparent", &header)]);
        assert_eq!(forwarded.trace().trace_id().as_str(), TRACE);
        let expected = if random { "-02" } else { "-00" };
        assert!(forwarded.traceparent.unwrap().ends_with(expected), "{flags}");
    }
}

#[test]
fn a_trusted_peer_keeps_its_flags_and_undefined_ones_are_cleared() {
    for (flags, sent) in
        [("00", "00"), ("01", "01"), ("02", "02"), ("03", "03"), ("fd", "01"), ("fc", "00")]
    {
        let header = TRACEPARENT.replace("-01", &format!("-{flags}"));
        let forwarded = forwarded(&trusting(), &[("traceparent", &header)]);
        assert_eq!(forwarded.traceparent.unwrap()[53..], *sent, "{flags}");
    }
}

#[test]
fn a_trace_of_a_stranger_is_restarted_on_request() {
    let layer = RequestIdLayer::new().restart_traces();
    let headers = [("traceparent", TRACEPARENT), ("tracestate", "a=1")];
    assert!(forwarded(&layer, &headers).is_new());

    let layer = layer.trust_inbound(|_, headers| headers.contains_key("via"));
    assert!(forwarded(&layer, &headers).is_new());
    let trusted = forwarded(&layer, &[headers[0], headers[1], ("via", "1.1 balancer")]);
    assert_eq!(trusted.trace().trace_id().as_str(), TRACE);
    assert_eq!(trusted.tracestate, ["a=1"]);
}

#[test]
fn an_invalid_traceparent_starts_a_new_trace_without_a_state() {
    let id = TRACE;
    let long = format!("{TRACEPARENT}-what-the-future-brings");
    for invalid in [
        "".to_owned(),
        "00".to_owned(),
        // Version ff, and one that is no version.
        format!("ff-{id}-{SPAN}-01"),
        format!("0-{id}-{SPAN}-01"),
        format!("000-{id}-{SPAN}-01"),
        format!("0x-{id}-{SPAN}-01"),
        // Version 00 ends after its flags.
        long,
        format!("{TRACEPARENT}-"),
        format!("{TRACEPARENT}."),
        format!("cc-{id}-{SPAN}-01.what"),
        format!("cc-{id}-{SPAN}-01what"),
        // Zero ids.
        format!("00-{}-{SPAN}-01", "0".repeat(32)),
        format!("00-{id}-{}-01", "0".repeat(16)),
        // Lengths.
        format!("00-{}-{SPAN}-01", &id[1..]),
        format!("00-{id}0-{SPAN}-01"),
        format!("00-{id}-{}-01", &SPAN[1..]),
        format!("00-{id}-{SPAN}0-01"),
        format!("00-{id}-{SPAN}-1"),
        format!("00-{id}-{SPAN}-001"),
        // Characters.
        TRACEPARENT.to_uppercase(),
        TRACEPARENT.replace("4bf", "4bg"),
        TRACEPARENT.replace("00f0", ".0f0"),
        TRACEPARENT.replace("-01", "-0x"),
        TRACEPARENT.replace('-', "_"),
        TRACEPARENT.replace("4bf", "é"),
        format!("{TRACEPARENT} "),
        format!("{TRACEPARENT},{TRACEPARENT}"),
    ] {
        let headers = [("traceparent", &*invalid), ("tracestate", "a=1")];
        for layer in [RequestIdLayer::new(), trusting()] {
            let forwarded = forwarded(&layer, &headers);
            assert!(forwarded.is_new(), "{invalid:?} gave {forwarded:?}");
        }
    }
    // Two headers, be they the same.
    let twice = [("traceparent", TRACEPARENT), ("traceparent", TRACEPARENT), ("tracestate", "a=1")];
    assert!(forwarded(&trusting(), &twice).is_new());
}

#[test]
fn a_later_version_is_read_and_sent_as_version_00() {
    for later in ["cc", "01", "fe"] {
        for rest in ["", "-", "-what-the-future-brings"] {
            let header = format!("{later}-{TRACE}-{SPAN}-01{rest}");
            let forwarded = forwarded(&trusting(), &[("traceparent", &header)]);
            assert_eq!(forwarded.trace().trace_id().as_str(), TRACE, "{header}");
            let sent = forwarded.traceparent.unwrap();
            assert!(sent.len() == 55 && sent.starts_with("00-") && sent.ends_with("-01"), "{sent}");
        }
    }
}

#[test]
fn a_request_without_a_trace_gets_one_on_request_only() {
    for headers in [&[][..], &[("tracestate", "a=1")]] {
        let none = forwarded(&RequestIdLayer::new(), headers);
        assert!(none.traceparent.is_none() && none.tracestate.is_empty(), "{none:?}");
        assert!(none.context.trace_id().is_none());
        assert!(forwarded(&RequestIdLayer::new().start_traces(), headers).is_new());
    }
}

#[test]
fn an_id_is_new_for_each_request() {
    let layer = RequestIdLayer::new().start_traces();
    let ids: std::collections::HashSet<_> = (0..1_000)
        .map(|_| forwarded(&layer, &[]).trace())
        .flat_map(|trace| [trace.trace_id().to_string(), trace.parent_id().to_string()])
        .collect();
    assert_eq!(ids.len(), 2_000);
}

#[test]
fn baggage_is_dropped_unless_it_is_allowed() {
    for headers in [&[("baggage", "user=7")][..], &[("baggage", "a=1"), ("baggage", "b=2")]] {
        assert!(!forwarded(&trusting(), headers).baggage);
        assert!(forwarded(&RequestIdLayer::new().forward_baggage(), headers).baggage);
    }
}

#[test]
fn a_state_is_joined_and_passed_on_in_its_order() {
    let layer = trusting();
    assert_eq!(state(&layer, &["foo=1,bar=2"]), ["foo=1,bar=2"]);
    assert_eq!(state(&layer, &["foo=1", "bar=2"]), ["foo=1,bar=2"]);
    assert_eq!(state(&layer, &["foo=1 \t , \t bar=2, \t baz=3"]), ["foo=1,bar=2,baz=3"]);
    assert_eq!(state(&layer, &["foo=1", "", "bar=2,,"]), ["foo=1,bar=2"]);
    assert_eq!(
        state(&layer, &["foo=1", "bar=2,rojo=1,congo=2", "baz=3"]),
        ["foo=1,bar=2,rojo=1,congo=2,baz=3"]
    );
    // A stranger's state goes on with its trace.
    assert_eq!(state(&RequestIdLayer::new(), &["foo=1"]), ["foo=1"]);
    assert_eq!(state(&layer, &[]), [""; 0]);
    assert_eq!(state(&layer, &["", " , "]), [""; 0]);
}

#[test]
fn members_of_a_state_have_the_legal_form() {
    let layer = trusting();
    let (key, tenant, system) = ("z".repeat(256), "t".repeat(241), "v".repeat(14));
    for legal in [
        "a=1",
        "a0_-*/=1",
        "t@v=1",
        "0t@v=1",
        &format!("{key}=1"),
        &format!("{tenant}@{system}=1"),
        "a= b",
        "a=!\"#$%&'()*+-./0:;<>?@[\\]^_`{|}~",
        "a=",
    ] {
        let passed = legal.trim_matches(' ');
        assert_eq!(state(&layer, &[legal]), [passed], "{legal}");
    }
    for illegal in [
        "a",
        "=1",
        "A=1",
        "0a=1",
        "a =1",
        "a\u{e4}=1",
        "a.b=1",
        "t@=1",
        "@v=1",
        "t@0v=1",
        "t@v@w=1",
        "a=1=2",
        "a=\u{e4}",
        "a=b\tc",
        &format!("{key}z=1"),
        &format!("{tenant}t@v=1"),
        &format!("t@{system}v=1"),
        &format!("a={}", "b".repeat(257)),
    ] {
        assert_eq!(state(&layer, &["b=2", illegal]), [""; 0], "{illegal:?}");
    }
}

#[test]
fn a_key_occurs_once() {
    assert_eq!(state(&trusting(), &["foo=1,bar=2,foo=3", "bar=4"]), ["foo=1,bar=2"]);
}

#[test]
fn a_state_has_at_most_32_members() {
    let members: Vec<_> = (1..=40).map(|number| format!("a{number}={number}")).collect();
    let passed = |count: usize| state(&trusting(), &[&members[..count].join(",")]);
    assert_eq!(passed(32), [members[..32].join(",")]);
    assert_eq!(passed(33), [members[..32].join(",")]);
    assert_eq!(passed(40), [members[..32].join(",")]);
}

#[test]
fn long_members_are_cut_first_and_then_those_at_the_end() {
    let layer = trusting();
    let member = |key: &str, length: usize| format!("{key}={}", "x".repeat(length - key.len() - 1));
    // 512 characters pass.
    let full = [member("a", 128), member("b", 128), member("c", 128), member("d", 125)];
    assert_eq!(full.join(",").len(), 512);
    assert_eq!(state(&layer, &[&full.join(",")]), [full.join(",")]);
    // One more: the last member goes.
    let longer = [member("a", 128), member("b", 128), member("c", 128), member("d", 126)];
    assert_eq!(state(&layer, &[&longer.join(",")]), [longer[..3].join(",")]);
    // The one with more than 128 characters goes first, wherever it is.
    let mixed = [member("a", 129), member("b", 128), member("c", 128), member("d", 128)];
    assert_eq!(state(&layer, &[&mixed.join(",")]), [mixed[1..].join(",")]);
    // Of two long ones the last is cut, and the first stays when it fits.
    let two = [member("a", 200), member("b", 250), member("c", 100)];
    assert_eq!(state(&layer, &[&two.join(",")]), [[&*two[0], &two[2]].join(",")]);
    // A long one that fits is not cut.
    let one = [member("a", 258)];
    assert_eq!(state(&layer, &one.each_ref().map(|one| &**one)), one);
}

proptest! {
    #[test]
    fn what_goes_on_is_valid_whatever_comes(
        parents in proptest::collection::vec("[0-9a-f-]{0,60}|(00|cc|ff)-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-x)?", 0..3),
        states in proptest::collection::vec("([a-z@/0-9]{0,4}=[ -~]{0,90},?){0,12}|[ -~\u{e4}]{0,200}", 0..4),
        trusted in any::<bool>(),
        restart in any::<bool>(),
    ) {
        let mut layer = RequestIdLayer::new();
        if trusted { layer = layer.dangerous_trust_all_peers(); }
        if restart { layer = layer.restart_traces(); }
        let mut headers: Vec<_> = parents.iter().map(|parent| ("traceparent", &**parent)).collect();
        headers.extend(states.iter().map(|state| ("tracestate", &**state)));
        let forwarded = forwarded(&layer, &headers);
        prop_assert_eq!(forwarded.traceparent.is_some(), !parents.is_empty());
        if let Some(header) = &forwarded.traceparent {
            let trace = forwarded.trace();
            prop_assert_eq!(header.len(), 55);
            prop_assert_eq!(&trace.traceparent(), &**header);
            prop_assert!(trusted || !trace.is_sampled());
            for parent in &parents {
                prop_assert!(!parent.contains(trace.parent_id().as_str()));
            }
        }
        prop_assert!(forwarded.tracestate.len() <= 1);
        if let Some(sent) = forwarded.tracestate.first() {
            prop_assert!(sent.len() <= 512 && (1..=32).contains(&sent.split(',').count()));
            let keys: Vec<_> = sent.split(',').map(|member| member.split_once('=').unwrap().0).collect();
            let distinct: std::collections::HashSet<_> = keys.iter().collect();
            prop_assert_eq!(distinct.len(), keys.len());
            // What was passed on is passed on unchanged by the next one.
            let again = state(&trusting(), &[sent]);
            prop_assert_eq!(&again[0], sent);
        }
    }
}

/// Writes this `traceparent`, or nothing.
struct Writes(Option<&'static str>);

impl Propagator for Writes {
    fn extract(&self, _span: &Span, _headers: &HeaderMap, _is_trusted: bool) {}

    fn inject(&self, _span: &Span, headers: &mut HeaderMap) {
        if let Some(traceparent) = self.0 {
            headers.insert("traceparent", HeaderValue::from_static(traceparent));
        }
    }
}

/// An exporter that is not installed writes nothing. The upstream would be a sibling of this gateway.
#[test]
fn a_propagator_that_writes_nothing_leaves_no_trace_of_the_client() {
    let headers = [("traceparent", TRACEPARENT), ("tracestate", "a=1")];
    for written in [None, Some("b3")] {
        let layer = trusting().propagator(Writes(written));
        let forwarded = forwarded(&layer, &headers);
        let trace = forwarded.trace();
        assert_eq!(trace.trace_id().as_str(), TRACE);
        assert_ne!(trace.parent_id().as_str(), SPAN);
        assert_eq!(forwarded.tracestate, ["a=1"]);
        assert_eq!(forwarded.context.parent_span_id().unwrap().as_str(), SPAN);
    }
    // Without a trace of the client there is none.
    let layer = trusting().propagator(Writes(None));
    assert!(forwarded(&layer, &[]).traceparent.is_none());
}

/// The state belongs to its trace.
#[test]
fn a_propagator_that_begins_a_trace_drops_the_state_of_another_one() {
    const OTHER: &str = "00-11111111111111111111111111111111-2222222222222222-01";
    const SAME: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-2222222222222222-01";
    let headers = [("traceparent", TRACEPARENT), ("tracestate", "a=1")];
    for (written, state) in [(OTHER, &[][..]), (SAME, &["a=1"])] {
        let layer = RequestIdLayer::new().propagator(Writes(Some(written)));
        let forwarded = forwarded(&layer, &headers);
        assert_eq!(forwarded.traceparent.as_deref(), Some(written));
        assert_eq!(forwarded.tracestate, state);
    }
}
