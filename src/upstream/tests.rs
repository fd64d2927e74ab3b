//! Clients do not fill the log.

use std::{
    future::pending,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tower::{ServiceExt as _, service_fn};

use super::{service::Upstream, settings::Settings};
use crate::{
    context::RequestContext,
    log_limit::test_log::{Seconds, assert_once_a_minute, counts},
};

#[derive(Clone, Copy, Debug)]
enum Fault {
    Unreachable,
    NoHead,
    LargeHead,
    NoBody,
    BrokenBody,
    BrokenStart,
    Paused,
}

const ALL: [Fault; 7] = [
    Fault::Unreachable,
    Fault::NoHead,
    Fault::LargeHead,
    Fault::NoBody,
    Fault::BrokenBody,
    Fault::BrokenStart,
    Fault::Paused,
];

enum FaultyBody {
    Text(Option<&'static str>),
    Broken,
    Silent,
}

impl Body for FaultyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text.into())))),
            Self::Broken => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
            Self::Silent => Poll::Pending,
        }
    }
}

async fn respond(fault: Fault) -> io::Result<Response<FaultyBody>> {
    let (status, length, body) = match fault {
        Fault::Unreachable => return Err(io::ErrorKind::ConnectionRefused.into()),
        Fault::NoHead => return pending().await,
        Fault::LargeHead => (200, 20_000, FaultyBody::Text(None)),
        Fault::NoBody => (200, 0, FaultyBody::Silent),
        Fault::BrokenBody => (200, 0, FaultyBody::Broken),
        Fault::BrokenStart => (503, 0, FaultyBody::Broken),
        Fault::Paused => (400, 0, FaultyBody::Text(Some("Bad Request: Invalid state"))),
    };
    let head = Response::builder().status(status).header("x", "x".repeat(length));
    Ok(head.body(body).unwrap())
}

const ENDPOINT: &str = "https://a.endpoints.huggingface.cloud";

/// Sends a request to the upstream of this name.
fn send(settings: &Arc<Settings>, upstream: &str, fault: Fault) {
    let client = service_fn(move |_: Request<()>| respond(fault));
    let service = Upstream::from_parts(client, Arc::clone(settings));
    let mut request = Request::new(());
    RequestContext::ensure(request.extensions_mut()).set_upstream(upstream.into());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let Ok(response) = service.oneshot(request).await;
        let _read = response.into_body().collect().await;
    });
}

fn settings(seconds: &Seconds) -> Arc<Settings> {
    let mut settings = Settings::with_clock(seconds.clock());
    settings.deadlines.first_byte = Duration::ZERO;
    settings.deadlines.head = Duration::ZERO;
    Arc::new(settings)
}

#[test]
fn clients_cause_one_warning_a_minute() {
    for fault in ALL {
        let seconds = Seconds::default();
        let settings = settings(&seconds);
        assert_once_a_minute(&format!("{fault:?}"), &seconds, || send(&settings, ENDPOINT, fault));
    }
}

#[test]
fn one_upstream_does_not_hide_another_one() {
    for fault in ALL {
        let settings = settings(&Seconds::default());
        let other = "https://b.endpoints.huggingface.cloud";
        let counts = counts(|| {
            for upstream in [ENDPOINT, other] {
                send(&settings, upstream, fault);
            }
        });
        assert_eq!(counts, [2, 0], "{fault:?}");
    }
}

#[test]
fn one_event_does_not_hide_another_one() {
    let settings = settings(&Seconds::default());
    let counts = counts(|| ALL.iter().for_each(|fault| send(&settings, ENDPOINT, *fault)));
    // Both faults of a body are one event.
    assert_eq!(counts, [6, 1]);
}
