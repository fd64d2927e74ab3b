//! The record of a request: what is set once, what is overwritten, and whose trace it is.

use std::sync::Arc;

use http::{Extensions, HeaderValue, StatusCode};
use proptest::prelude::*;
use tower_inference::{
    context::{RequestContext, StreamEnd, TraceId, Usage},
    identity::{Identity, Proof},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn trace_of(traceparent: &str) -> Option<String> {
    let field = HeaderValue::from_bytes(traceparent.as_bytes()).unwrap();
    TraceId::from_traceparent(&field).map(|id| id.as_str().to_owned())
}

#[test]
fn a_legal_traceparent_gives_its_trace_id() {
    for legal in [
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        // Flags that this version does not know.
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff",
        // Later versions, with and without more after a dash (section 3.2.2.1, versioning).
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-brings",
        "fe-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
    ] {
        assert_eq!(trace_of(legal).as_deref(), Some(TRACE), "{legal}");
    }
}

#[test]
fn an_illegal_traceparent_gives_none() {
    for illegal in [
        "",
        "00",
        "00-",
        "00-4bf92f3577b34da6a3ce929d0e0e4736",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        // Version 00 has nothing after its flags.
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-012",
        // A later one has only what follows a dash.
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.future",
        // Version ff is forbidden; a version is two hexadecimal digits.
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "000-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ".0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        // All zero.
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        // Upper case and other characters.
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
        // Parts of a wrong length whose sum is right.
        "00-4bf92f3577b34da6a3ce929d0e0e47360-0f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba90-7-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7 01",
        " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-1",
    ] {
        assert_eq!(trace_of(illegal), None, "{illegal}");
    }
}

proptest! {
    /// No field makes it panic, and what it takes is always 32 digits.
    #[test]
    fn any_field_is_read(field in "[0-9a-f-]{0,60}|.{0,60}") {
        if let Ok(value) = HeaderValue::from_bytes(field.as_bytes())
            && let Some(id) = TraceId::from_traceparent(&value)
        {
            prop_assert_eq!(id.as_str().len(), 32);
            prop_assert_eq!(&field[3..35], id.as_str());
        }
    }
}

#[test]
fn clones_and_extensions_are_the_same_record() {
    let mut extensions = Extensions::new();
    assert!(RequestContext::of(&extensions).is_none());
    let context = RequestContext::ensure(&mut extensions);
    context.add_attempt();
    RequestContext::ensure(&mut extensions).add_attempt();
    RequestContext::of(&extensions.clone()).unwrap().clone().add_attempt();
    assert_eq!(context.attempts(), 3);
}

#[test]
fn the_first_word_stands() {
    let context = RequestContext::new();
    let blank = (context.request_id(), context.route(), context.stage(), context.upstream());
    assert_eq!(blank, (None, None, None, None));
    assert_eq!((context.model(), context.refusal(), context.trace_id()), (None, None, None));
    assert_eq!((context.limited_by(), context.shadow_limited_by()), (None, None));

    for id in ["first", "second"] {
        context.set_request_id(HeaderValue::from_static(id));
        context.set_route(id);
        context.set_stage(id);
        context.set_upstream(id.into());
        context.set_model(id);
        context.set_refusal(id);
        context.set_limited_by(id.into());
        context.set_shadow_limited_by(id.into());
    }
    let trace = |digit: &str| {
        let field = format!("00-{}-00f067aa0ba902b7-01", digit.repeat(32));
        TraceId::from_traceparent(&field.parse().unwrap()).unwrap()
    };
    context.set_trace_id(trace("1"));
    context.set_trace_id(trace("2"));

    let first = Some("first");
    assert_eq!((context.request_id(), context.route(), context.stage()), (first, first, first));
    assert_eq!((context.upstream(), context.model(), context.refusal()), (first, first, first));
    assert_eq!((context.limited_by(), context.shadow_limited_by()), (first, first));
    assert_eq!(context.trace_id(), Some(&trace("1")));
}

#[test]
fn the_last_word_stands() {
    let context = RequestContext::new();
    assert_eq!((context.upstream_status(), context.usage()), (None, None));
    assert_eq!((context.stream_end(), context.answer_is_read()), (None, false));

    context.set_upstream_status(StatusCode::SERVICE_UNAVAILABLE);
    context.set_upstream_status(StatusCode::OK);
    assert_eq!(context.upstream_status(), Some(StatusCode::OK));

    context.set_usage(Usage::default());
    let mut usage = Usage::default();
    usage.total_tokens = Some(7);
    context.set_usage(usage);
    assert_eq!(context.usage(), Some(usage));

    for end in [StreamEnd::Cut, StreamEnd::Failed, StreamEnd::Done] {
        context.set_stream_end(end);
        assert_eq!(context.stream_end(), Some(end));
    }

    context.add_bytes_in(2);
    context.add_bytes_in(3);
    assert_eq!(context.bytes_in(), 5);

    context.announce_answer_is_read();
    assert!(context.answer_is_read());
}

#[test]
fn an_identity_can_be_forgotten_and_set_again() {
    let context = RequestContext::new();
    let identity = |subject: &str| Arc::new(Identity::new(Proof::ApiKey, "keys", subject));
    context.set_identity(identity("a"));
    context.clear_identity();
    assert_eq!(context.identity(), None);
    context.set_identity(identity("b"));
    assert_eq!(context.identity().unwrap().subject(), "b");
}

#[test]
fn an_id_that_is_not_text_is_none() {
    let context = RequestContext::new();
    context.set_request_id(HeaderValue::from_bytes(b"\xff").unwrap());
    assert_eq!(context.request_id(), None);
}
