//! The trace and the span of a request.

use std::pin::Pin;

use super::*;

#[test]
fn the_span_has_the_ids_and_what_an_exporter_reads() {
    let spans = Spans::default();
    let _listens = listen(&spans);
    for fields in [&[TRACEPARENT][..], &[]] {
        let mut request = request(&[]);
        for field in fields {
            request.headers_mut().append("traceparent", field.parse().unwrap());
        }
        let context = RequestContext::ensure(request.extensions_mut());
        now(RequestIdLayer::new().layer(Once(|_| Response::new(()))).call(request)).unwrap();

        let trace = context.trace_id().map(|id| id.as_str().to_owned());
        assert_eq!(trace.as_deref(), fields.first().map(|_| TRACE));
        let (name, made) = spans.made().pop().unwrap();
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut named = vec![own(("request_id", context.request_id().unwrap()))];
        named.extend(trace.map(|id| ("trace_id".to_owned(), id)));
        let rest = [("otel.kind", "server"), ("otel.name", "GET"), ("http.request.method", "GET")];
        named.extend(rest.map(own));
        assert_eq!((name, made), ("request".to_owned(), named));
    }
}

/// Everything that asks which span it is in.
#[derive(Clone)]
struct Logs(Next);

#[derive(Clone, Copy)]
enum Next {
    Answers,
    Waits,
}

struct LogsFuture(Next);

struct LogsBody(usize);

impl Service<Request<()>> for Logs {
    type Response = Response<LogsBody>;
    type Error = Infallible;
    type Future = LogsFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<()>) -> LogsFuture {
        tracing::info!("call");
        LogsFuture(self.0)
    }
}

impl Future for LogsFuture {
    type Output = Result<Response<LogsBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        tracing::info!("poll");
        match self.0 {
            Next::Answers => Poll::Ready(Ok(Response::new(LogsBody(2)))),
            Next::Waits => Poll::Pending,
        }
    }
}

impl Drop for LogsFuture {
    fn drop(&mut self) {
        tracing::info!("drop");
    }
}

impl Body for LogsBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        tracing::info!("frame");
        let left = self.0.checked_sub(1);
        self.0 = left.unwrap_or_default();
        Poll::Ready(left.map(|_| Ok(Frame::data(Bytes::from_static(b"x")))))
    }
}

impl Drop for LogsBody {
    fn drop(&mut self) {
        tracing::info!("drop body");
    }
}

#[test]
fn call_polls_frames_and_drops_are_in_the_span() {
    let spans = Spans::default();
    let _listens = listen(&spans);
    let mut service = RequestIdLayer::new().layer(Logs(Next::Answers));
    let body = now(service.call(request(&[]))).unwrap().into_body();
    tracing::info!("outside");
    assert_eq!(now(body.collect()).unwrap().to_bytes(), "xx");
    assert_eq!(
        spans.events(),
        [
            ("call", Some(1)),
            ("poll", Some(1)),
            ("drop", Some(1)),
            ("outside", None),
            ("frame", Some(1)),
            ("frame", Some(1)),
            ("frame", Some(1)),
            ("drop body", Some(1)),
        ]
        .map(|(event, span)| (event.to_owned(), span))
    );
    assert_eq!(spans.open(), 0);
}

#[test]
fn a_cancelled_request_is_dropped_in_its_span() {
    let spans = Spans::default();
    let _listens = listen(&spans);
    let mut service = RequestIdLayer::new().layer(Logs(Next::Waits));
    let mut future = Box::pin(service.call(request(&[])));
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(future);
    // Before its first poll:
    drop(service.call(request(&[])));
    let events = [("call", 1), ("poll", 1), ("drop", 1), ("call", 2), ("drop", 2)];
    assert_eq!(spans.events(), events.map(|(event, span)| (event.to_owned(), Some(span))));
    assert_eq!(spans.open(), 0);
}

#[test]
fn there_is_no_span_when_nobody_listens() {
    let spans = Spans { deaf: true, ..Spans::default() };
    let _listens = listen(&spans);
    let ids = exchange(&RequestIdLayer::new(), request(&[]));
    assert!(is_ours(ids.only()));
    assert_eq!(spans.made(), []);
}
