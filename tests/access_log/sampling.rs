//! Sampling: a share of the successful requests and each of the others.

use std::collections::BTreeSet;

use tower_inference::{
    access_log::{Emf, Lines, Sampling},
    rejection::{Refusal, Rejection, RejectionFormat},
};

use super::*;

fn sampled(sampling: Sampling, format: Format) -> Log {
    Log::of(|sink| AccessLogLayer::sink(Lines::new(sink, format).sampling(sampling)))
}

fn serve(log: &Log, id: Option<&str>, status: u16) {
    let service = log.layer.layer(answering(move |_| {
        Response::builder().status(status).body(Empty::<Bytes>::new()).unwrap()
    }));
    let mut request = get("/");
    if let Some(id) = id {
        let context = RequestContext::ensure(request.extensions_mut());
        context.set_request_id(HeaderValue::try_from(id).unwrap());
    }
    now(service.oneshot(request)).unwrap();
}

/// The ids of the records.
fn shown(log: &Log) -> BTreeSet<String> {
    log.records().iter().map(|record| record["request_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_share_of_the_successes_is_shown_with_its_rate() {
    let log = sampled(Sampling::new(0.1).unwrap(), Format::json());
    for id in 0..5_000 {
        serve(&log, Some(&format!("id-{id}")), 200);
    }
    let records = log.records();
    assert!((400..600).contains(&records.len()), "{}", records.len());
    assert!(records.iter().all(|record| record["sample_rate"] == 0.1));

    // Requests without an id count by their number.
    let log = sampled(Sampling::new(0.5).unwrap(), Format::json());
    (0..1_000).for_each(|_| serve(&log, None, 200));
    assert!((400..600).contains(&log.records().len()), "{}", log.records().len());
}

#[test]
fn rejections_failures_and_slow_requests_are_all_shown() {
    let sampling = Sampling::new(0.0).unwrap().slower_than(Duration::from_secs(2));
    let log = sampled(sampling, Format::json());
    for number in 0..200 {
        serve(&log, Some(&format!("fine-{number}")), 200);
        serve(&log, Some(&format!("bad-{number}")), 400);
        serve(&log, Some(&format!("failed-{number}")), 500);
        let service = log.layer.layer(answering(|request: Request<_>| {
            let context = RequestContext::of(request.extensions()).unwrap();
            let responder = RejectionFormat::Problem.for_request(&request);
            responder.respond::<Empty<Bytes>>(Rejection::new(Refusal::Throttled), context)
        }));
        let response = now(service.oneshot(get("/rejected"))).unwrap();
        now(response.into_body().collect()).unwrap();
        // Cancelled: its body is not read.
        let service = log.layer.layer(answering(|_| Response::new(Full::new(Bytes::from("a")))));
        drop(now(service.oneshot(get("/cancelled"))).unwrap());
        let clock = log.clock.clone();
        let service = log.layer.layer(answering(move |_| {
            clock.advance(Duration::from_secs(2));
            Response::new(Empty::<Bytes>::new())
        }));
        now(service.oneshot(get("/slow"))).unwrap();
    }
    let records = log.records();
    assert_eq!(records.len(), 5 * 200);
    assert!(records.iter().all(|record| record["sample_rate"] == 1));
    let is = |record: &Value| record["status"] == 200 && record["path"] == "/";
    assert!(!records.iter().any(is));
}

#[test]
fn whether_a_request_is_shown_depends_on_key_and_id() {
    let ids: Vec<_> = (0..500).map(|id| format!("id-{id}")).collect();
    let shown_with = |sampling: Sampling| {
        let log = sampled(sampling, Format::json());
        ids.iter().for_each(|id| serve(&log, Some(id), 200));
        shown(&log)
    };
    let rate = |rate| Sampling::new(rate).unwrap().key([7; 16]);
    assert_eq!(shown_with(rate(0.3)), shown_with(rate(0.3)));
    assert!(shown_with(rate(0.6)).is_superset(&shown_with(rate(0.3))));
    assert_ne!(shown_with(rate(0.3)), shown_with(rate(0.3).key([8; 16])));
    assert_ne!(shown_with(Sampling::new(0.3).unwrap()), shown_with(Sampling::new(0.3).unwrap()));
    assert_eq!(shown_with(rate(1.0)).len(), 500);
    assert_eq!(shown_with(rate(0.0)).len(), 0);
}

#[test]
fn other_sinks_get_each_record_without_a_rate() {
    let all = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&all);
    let log = Log::of(|sink| {
        let lines = Lines::new(sink, Format::json()).sampling(Sampling::new(0.0).unwrap());
        AccessLogLayer::sink(lines).and(move |record: &Record<'_>| {
            assert_eq!(record.sample_rate(), None);
            *counted.lock().unwrap() += 1;
        })
    });
    (0..100).for_each(|_| serve(&log, None, 200));
    assert_eq!((*all.lock().unwrap(), log.records().len()), (100, 0));
}

#[test]
fn metrics_of_a_document_are_of_all_requests() {
    let emf = Format::emf(Emf::new("n").unwrap());
    let log = sampled(Sampling::new(0.0).unwrap(), emf);
    serve(&log, Some("id-1"), 200);
    serve(&log, Some("id-2"), 503);
    let [left_out, shown] = <[Value; 2]>::try_from(log.records()).unwrap();
    assert_eq!((&left_out["Count"], &shown["Count"]), (&json!(1), &json!(1)));
    assert_eq!((&left_out["5XXError"], &shown["5XXError"]), (&json!(0), &json!(1)));
    assert!(left_out.get("request_id").is_none() && left_out.get("path").is_none());
    assert_eq!((&shown["request_id"], &shown["sample_rate"]), (&json!("id-2"), &json!(1)));
}

#[test]
fn the_rate_is_written_whatever_the_fields_are() {
    for format in [Format::json(), Format::api_gateway()] {
        let none: [&str; 0] = [];
        let log = sampled(Sampling::new(1.0).unwrap(), format.fields(none).unwrap());
        serve(&log, None, 200);
        assert_eq!(log.record(), json!({ "sample_rate": 1 }));
    }
}

#[test]
fn a_rate_is_between_0_and_1() {
    for rate in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        let error = Sampling::new(rate).unwrap_err();
        assert_eq!(error.to_string(), "a sampling rate is a number between 0 and 1");
    }
}
