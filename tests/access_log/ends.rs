//! The true end of a request.

use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
};

use http_body::Frame;

use super::*;

/// The end that is recorded when the answer is read to its end, and when it is never polled.
fn ends(
    method: Method,
    make: impl Fn() -> Response<ScriptedBody> + Clone,
) -> [(String, u64, u64); 2] {
    [true, false].map(|read| {
        let log = Log::new();
        let make = make.clone();
        let service = log.layer.layer(answering(move |_| make()));
        let request = Request::builder().method(method.clone()).body(Empty::<Bytes>::new());
        let response = now(service.oneshot(request.unwrap())).unwrap();
        if read {
            let _result = now(response.into_body().collect());
        } else {
            drop(response);
        }
        log.end()
    })
}

fn scripted(status: u16, steps: impl IntoIterator<Item = Step>) -> Response<ScriptedBody> {
    Response::builder().status(status).body(ScriptedBody::new(steps)).unwrap()
}

#[test]
fn a_body_read_to_its_end_is_complete_and_one_never_polled_is_cancelled() {
    let got = ends(Method::GET, || scripted(200, [Step::Data(b"ab"), Step::Data(b"c")]));
    assert_eq!(got, [end("complete", 200, 3), end("cancelled", 200, 0)]);
}

#[test]
fn trailers_and_errors_are_ends() {
    let steps = || [Step::Data(b"ab"), Step::Trailers(trailers("0"))];
    let got = ends(Method::GET, || scripted(200, steps()));
    assert_eq!(got, [end("complete", 200, 2), end("cancelled", 200, 0)]);

    let got = ends(Method::GET, || scripted(200, [Step::Data(b"ab"), Step::Error]));
    assert_eq!(got, [end("failed", 200, 2), end("cancelled", 200, 0)]);
}

#[test]
fn answers_without_a_body_are_complete_with_their_head() {
    for (method, status) in
        [(Method::HEAD, 200), (Method::GET, 204), (Method::GET, 304), (Method::GET, 101)]
    {
        let got = ends(method, || scripted(status, []));
        assert_eq!(got, [0, 1].map(|_| end("complete", status.into(), 0)));
    }
    let zero = || {
        let mut response = scripted(200, []);
        response.headers_mut().insert("content-length", HeaderValue::from_static("0"));
        response
    };
    assert_eq!(ends(Method::GET, zero), [0, 1].map(|_| end("complete", 200, 0)));
}

#[test]
fn the_announced_bytes_and_a_drop_are_complete() {
    let log = Log::new();
    let service = log.layer.layer(answering(|_| {
        Response::new(ScriptedBody::new([Step::Data(b"abc"), Step::Stall]).announce(3))
    }));
    let mut body = now(service.oneshot(get("/"))).unwrap().into_body();
    now(body.frame()).unwrap().unwrap();
    drop(body);
    assert_eq!(log.end(), end("complete", 200, 3));
}

#[test]
fn a_body_dropped_half_way_is_cancelled() {
    let log = Log::new();
    let service = log.layer.layer(answering(|_| scripted(200, [Step::Data(b"abc"), Step::Stall])));
    let mut body = now(service.oneshot(get("/"))).unwrap().into_body();
    now(body.frame()).unwrap().unwrap();
    assert_eq!(log.records().len(), 0);
    drop(body);
    assert_eq!(log.end(), end("cancelled", 200, 3));
}

#[test]
fn a_request_dropped_before_its_head_has_no_status() {
    for polls in [0, 1] {
        let log = Log::new();
        let mut service = log.layer.layer(service_fn(|request: Request<RequestBody<_>>| {
            let context = RequestContext::of(request.extensions()).unwrap().clone();
            context.set_route("chat");
            let said_as_it_goes = SaysOnDrop(context);
            async move {
                let _said = said_as_it_goes;
                pending::<Result<Response<Empty<Bytes>>, Infallible>>().await
            }
        }));
        let mut future = Box::pin(service.call(get("/")));
        for _ in 0..polls {
            let mut cx = Context::from_waker(Waker::noop());
            assert!(future.as_mut().poll(&mut cx).is_pending());
        }
        log.clock.advance(Duration::from_micros(7));
        drop(future);
        assert_eq!(
            log.record(),
            json!({
                "time": "2026-11-23T09:08:07.006Z",
                "method": "GET",
                "path": "/",
                "route": "chat",
                "outcome": "cancelled",
                "bytes_in": 0,
                "bytes_out": 0,
                "total_us": 7,
                // What a layer further in says as it is dropped is part of the record.
                "stream_end": "cut",
            })
        );
    }
}

struct SaysOnDrop(RequestContext);

impl Drop for SaysOnDrop {
    fn drop(&mut self) {
        let mut outcome = self.0.outcome();
        outcome.stream_end = Some(StreamEnd::Cut);
        self.0.set_outcome(outcome);
    }
}

#[test]
fn an_error_of_the_service_passes_and_is_recorded() {
    let log = Log::new();
    let service = log.layer.layer(service_fn(|_: Request<RequestBody<_>>| {
        ready(Err::<Response<Empty<Bytes>>, _>("broken"))
    }));
    assert_eq!(now(service.oneshot(get("/"))).unwrap_err(), "broken");
    assert_eq!(log.end(), end("failed", 0, 0));
}

#[test]
fn a_panic_that_unwinds_through_is_recorded() {
    type Answer = Response<ScriptedBody>;

    // In the call:
    let log = Log::new();
    let mut service = log.layer.layer(service_fn(
        |_: Request<RequestBody<Empty<Bytes>>>| -> Ready<Result<Answer, Infallible>> {
            panic!("scripted")
        },
    ));
    catch_unwind(AssertUnwindSafe(|| drop(service.call(get("/"))))).unwrap_err();
    assert_eq!(log.end(), end("panicked", 0, 0));

    // In the future:
    let log = Log::new();
    let mut service = log
        .layer
        .layer(service_fn(|_: Request<RequestBody<Empty<Bytes>>>| async { panic!("scripted") }));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _never: Result<Response<ResponseBody<ScriptedBody>>, Infallible> =
            now(service.call(get("/")));
    }));
    panicked.unwrap_err();
    assert_eq!(log.end(), end("panicked", 0, 0));

    // In the body:
    let log = Log::new();
    let service = log.layer.layer(answering(|_| Response::new(Panics)));
    let response = now(service.oneshot(get("/"))).unwrap();
    catch_unwind(AssertUnwindSafe(|| now(response.into_body().collect()))).unwrap_err();
    assert_eq!(log.end(), end("panicked", 200, 0));
}

/// As a layer outside does that turns panics into responses.
#[test]
fn a_panic_that_is_caught_before_the_request_is_dropped_is_recorded() {
    let log = Log::new();
    let mut service = log
        .layer
        .layer(service_fn(|_: Request<RequestBody<Empty<Bytes>>>| async { panic!("scripted") }));
    let mut future = Box::pin(service.call(get("/")));
    let mut cx = Context::from_waker(Waker::noop());
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _never: Poll<Result<Response<ResponseBody<ScriptedBody>>, Infallible>> =
            future.as_mut().poll(&mut cx);
    }));
    panicked.unwrap_err();
    drop(future);
    assert_eq!(log.end(), end("panicked", 0, 0));

    let log = Log::new();
    let service = log.layer.layer(answering(|_| Response::new(Panics)));
    let mut body = Box::pin(now(service.oneshot(get("/"))).unwrap().into_body());
    catch_unwind(AssertUnwindSafe(|| drop(body.as_mut().poll_frame(&mut cx)))).unwrap_err();
    drop(body);
    assert_eq!(log.end(), end("panicked", 200, 0));
}

#[test]
fn a_request_that_is_dropped_by_the_panic_of_another_one_is_cancelled() {
    let log = Log::new();
    let mut service = log.layer.layer(service_fn(|_: Request<RequestBody<Empty<Bytes>>>| {
        pending::<Result<Response<ScriptedBody>, Infallible>>()
    }));
    let mut waiting = Box::pin(service.call(get("/")));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    catch_unwind(AssertUnwindSafe(move || {
        let _waiting = waiting;
        panic!("scripted");
    }))
    .unwrap_err();
    assert_eq!(log.end(), end("cancelled", 0, 0));
}

#[derive(Debug)]
struct Panics;

impl Body for Panics {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("scripted");
    }
}

#[tokio::test]
async fn a_service_that_is_not_called_has_no_record() {
    let log = Log::new();
    let mut service = log.layer.layer(answering(|_| Response::new(Empty::<Bytes>::new())));
    ServiceExt::<Request<Empty<Bytes>>>::ready(&mut service).await.unwrap();
    drop(service);
    assert_eq!(log.records().len(), 0);
}

proptest! {
    /// Whatever the body does and wherever it is dropped: its frames are untouched, and there is
    /// one record, of the bytes that were handed on.
    #[test]
    fn each_request_is_recorded_exactly_once(
        steps in proptest::collection::vec(0_u8..5, 0..8),
        polls in 0_usize..12,
    ) {
        let body = || ScriptedBody::new(steps.iter().map(|step| match step {
            0 => Step::Data(b"abc"),
            1 => Step::Data(b""),
            2 => Step::Pending,
            3 => Step::Trailers(trailers("0")),
            _ => Step::Error,
        }).collect::<Vec<_>>());
        let records = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&records);
        let layer = AccessLogLayer::sink(move |record: &Record<'_>| {
            kept.lock().unwrap().push(record.bytes_out());
        });
        let (answer, mut plain) = (Mutex::new(Some(body())), body());
        let service = layer.layer(service_fn(|_: Request<_>| {
            ready(Ok::<_, Infallible>(Response::new(answer.lock().unwrap().take().unwrap())))
        }));
        let mut watched = now(service.oneshot(get("/"))).unwrap().into_body();
        let (mut cx, mut bytes, mut ended) = (Context::from_waker(Waker::noop()), 0, false);
        for _ in 0..polls {
            let expected = pin!(&mut plain).poll_frame(&mut cx);
            let got = pin!(&mut watched).poll_frame(&mut cx);
            prop_assert_eq!(format!("{expected:?}"), format!("{got:?}"));
            match got {
                Poll::Ready(Some(Ok(frame))) if !ended => match frame.data_ref() {
                    Some(data) => bytes += data.len() as u64,
                    None => ended = true,
                },
                Poll::Ready(_) => ended = true,
                Poll::Pending => {}
            }
            prop_assert_eq!(records.lock().unwrap().len(), usize::from(ended));
        }
        drop(watched);
        prop_assert_eq!(&*records.lock().unwrap(), &[bytes]);
    }
}
