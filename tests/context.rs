//! `RequestContext`: values that keep the first or the last setting, and the parsing of trace ids.

use std::sync::Arc;

use http::{Extensions, HeaderValue, StatusCode};
use proptest::prelude::*;
use tower_inference::{
    context::{CacheOutcome, Outcome, RequestContext, StreamEnd, TraceId, Usage},
    identity::{Identity, Proof},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn trace_of(traceparent: &str) -> Option<String> {
    let header = HeaderValue::from_bytes(traceparent.as_bytes()).unwrap();
    TraceId::from_traceparent(&header).map(|id| id.as_str().to_owned())
}

#[test]
fn valid_traceparent_has_a_trace_id() {
    for valid in [
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        // Unknown flags.
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff",
        // Later versions with and without a suffix after a dash (section 3.2.2.1).
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-a-later-version-adds",
        "fe-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
    ] {
        assert_eq!(trace_of(valid).as_deref(), Some(TRACE), "{valid}");
    }
}

#[test]
fn invalid_traceparent_has_no_trace_id() {
    for invalid in [
        "",
        "00",
        "00-",
        "00-4bf92f3577b34da6a3ce929d0e0e4736",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        // Version 00 ends after its flags.
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-012",
        // A suffix of a later version starts with a dash.
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.future",
        // Version ff is forbidden. A version is two hexadecimal digits.
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "000-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ".0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        // All zero.
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        // Uppercase letters and other characters.
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
        // Parts of a wrong length with the right total length.
        "00-4bf92f3577b34da6a3ce929d0e0e47360-0f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba90-7-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7 01",
        " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-1",
    ] {
        assert_eq!(trace_of(invalid), None, "{invalid}");
    }
}

proptest! {
    /// No header causes a panic. A trace id always has 32 digits.
    #[test]
    fn any_traceparent_is_parsed(header in "[0-9a-f-]{0,60}|.{0,60}") {
        if let Ok(value) = HeaderValue::from_bytes(header.as_bytes())
            && let Some(id) = TraceId::from_traceparent(&value)
        {
            prop_assert_eq!(id.as_str().len(), 32);
            prop_assert_eq!(&header[3..35], id.as_str());
        }
    }
}

#[test]
fn clones_and_extensions_share_state() {
    let mut extensions = Extensions::new();
    assert!(RequestContext::of(&extensions).is_none());
    let context = RequestContext::ensure(&mut extensions);
    context.add_attempt();
    RequestContext::ensure(&mut extensions).add_attempt();
    RequestContext::of(&extensions.clone()).unwrap().clone().add_attempt();
    assert_eq!(context.outcome().attempts, 3);
}

#[test]
fn names_keep_their_first_value_and_attempts_their_last() {
    let context = RequestContext::new();
    let names = |context: &RequestContext| {
        let names = [
            context.request_id(),
            context.route(),
            context.stage(),
            context.model(),
            context.target(),
            context.upstream(),
        ];
        names.map(|name| name.map(str::to_owned))
    };
    assert_eq!(names(&context), [const { None }; 6]);
    assert_eq!(context.trace_id(), None);

    for name in ["first", "second"] {
        context.set_request_id(HeaderValue::from_static(name));
        context.set_route(name);
        context.set_stage(name);
        context.set_model(name);
        context.set_target(name);
        context.set_upstream(name.into());
    }
    let trace = |digit: &str| {
        let header = format!("00-{}-00f067aa0ba902b7-01", digit.repeat(32));
        TraceId::from_traceparent(&header.parse().unwrap()).unwrap()
    };
    context.set_trace_id(trace("1"));
    context.set_trace_id(trace("2"));

    let expected = ["first", "first", "first", "first", "second", "second"];
    assert_eq!(names(&context), expected.map(|name| Some(name.to_owned())));
    assert_eq!(context.trace_id(), Some(&trace("1")));
}

#[test]
fn outcome_holds_every_recorded_result() {
    let context = RequestContext::new();
    assert_eq!(context.outcome(), Outcome::default());

    let mut outcome = Outcome::default();
    outcome.rejection = Some("throttled");
    outcome.limited_by = Some("identity".into());
    outcome.shadow_limited_by = Some("global".into());
    outcome.cache = Some(CacheOutcome::Collapsed);
    outcome.fell_back = true;
    outcome.attempts = 2;
    outcome.upstream_status = Some(StatusCode::OK);
    outcome.bytes_in = 5;
    outcome.usage = Some(Usage::default());
    outcome.generated_tokens = 7;
    outcome.stream_end = Some(StreamEnd::Done);
    context.set_outcome(outcome.clone());
    assert_eq!(context.outcome(), outcome);
}

#[test]
fn outcome_keeps_the_first_rejection_and_the_last_results() {
    let context = RequestContext::new();
    let mut usage = Usage::default();
    let steps = [
        ("first", StatusCode::BAD_GATEWAY, CacheOutcome::Bypass, StreamEnd::Cut, 1),
        ("second", StatusCode::OK, CacheOutcome::Hit, StreamEnd::Failed, 2),
        ("third", StatusCode::CREATED, CacheOutcome::Miss, StreamEnd::Done, 3),
    ];
    for (name, status, cache, end, tokens) in steps {
        usage.total_tokens = Some(tokens);
        let mut outcome = context.outcome();
        outcome.rejection = Some(name);
        outcome.limited_by = Some(name.into());
        outcome.shadow_limited_by = Some(name.into());
        outcome.upstream_status = Some(status);
        outcome.cache = Some(cache);
        outcome.stream_end = Some(end);
        outcome.usage = Some(usage);
        context.set_outcome(outcome);

        let outcome = context.outcome();
        assert_eq!(outcome.rejection, Some("first"));
        assert_eq!(outcome.limited_by.as_deref(), Some("first"));
        assert_eq!(outcome.shadow_limited_by.as_deref(), Some("first"));
        assert_eq!(outcome.upstream_status, Some(status));
        assert_eq!((outcome.cache, outcome.stream_end), (Some(cache), Some(end)));
        assert_eq!(outcome.usage, Some(usage));
    }
}

#[test]
fn reading_the_response_can_be_announced() {
    let context = RequestContext::new();
    assert!(!context.response_is_read());
    context.announce_response_is_read();
    assert!(context.response_is_read());
}

#[test]
fn identity_can_be_cleared_and_set_again() {
    let context = RequestContext::new();
    let identity = |subject: &str| Arc::new(Identity::new(Proof::ApiKey, "keys", subject));
    context.set_identity(identity("a"));
    context.clear_identity();
    assert_eq!(context.identity(), None);
    context.set_identity(identity("b"));
    assert_eq!(context.identity().unwrap().subject(), "b");
}

#[test]
fn request_id_that_is_not_text_is_none() {
    let context = RequestContext::new();
    context.set_request_id(HeaderValue::from_bytes(b"\xff").unwrap());
    assert_eq!(context.request_id(), None);
}
