//! What each layer decided, as the record of the request says it.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{Layer as _, Service, ServiceExt, service_fn};
use tower_inference::{
    access_log::AccessLogLayer,
    context::{Decision, Layer, RequestContext},
    record::{Record, RecordSink},
    test_util::{TestIssuer, TestResponse, TestUpstream},
};

use crate::gateway::{TokioClock, gateway};

/// The decisions of the last request, and who rejected it.
#[derive(Clone, Default)]
struct Last(Arc<Mutex<(String, Option<&'static str>)>>);

impl Last {
    fn take(&self) -> (String, Option<&'static str>) {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl RecordSink for Last {
    fn record(&self, record: &Record<'_>) {
        let decisions = record.decisions();
        *self.0.lock().unwrap() = (decisions.to_string(), decisions.rejected_by());
    }
}

const CHAT: &str =
    r#"{"model":"org/small","messages":[{"role":"user","content":"hello"}],"temperature":0}"#;

async fn send<S, R>(service: S, request: Request<Full<Bytes>>) -> StatusCode
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible>,
    R: Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let Ok(response) = service.oneshot(request).await;
    let status = response.status();
    response.into_body().collect().await.unwrap();
    status
}

const ALL: &str = "peer_throttle=passed route=passed auth=passed throttle=passed payload=passed \
                   schema=passed transform=passed model_rules=passed cache=passed \
                   token_budget=passed fallback=passed upstream=passed hf_token=passed";

#[tokio::test(start_paused = true)]
async fn each_layer_says_what_it_decided() {
    let (clock, last) = (TokioClock::shared(), Last::default());
    let issuer = TestIssuer::new().clock(clock.clone());
    let token = issuer.token("ann").bearer();
    let upstream = TestUpstream::new(TestResponse::chat("hello"))
        .then(TestResponse::unreachable())
        .then(TestResponse::chat("hello"))
        .then(TestResponse::unreachable());
    let log = AccessLogLayer::sink(last.clone());
    let service = gateway(log, &issuer, &clock, upstream.clone());
    let request = |token: &str, method: Method, path: &str, body: &str| {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/json");
        request.header("authorization", token).body(Full::new(body.to_owned().into())).unwrap()
    };
    let chat = |body: &str| request(&token, Method::POST, "/v1/chat/completions", body);

    // Passed by all.
    assert_eq!(send(service.clone(), chat(CHAT)).await, 200);
    assert_eq!(last.take(), (ALL.to_owned(), None));

    // A hit.
    assert_eq!(send(service.clone(), chat(CHAT)).await, 200);
    let outside = ALL.split_once(" cache=").unwrap().0;
    assert_eq!(last.take(), (format!("{outside} cache=responded"), None));

    // The second attempt passes: nothing of the first rejects.
    assert_eq!(send(service.clone(), chat(&CHAT.replace("hello", "second"))).await, 200);
    assert_eq!(last.take(), (ALL.to_owned(), None));

    // Both targets are unreachable.
    assert_eq!(send(service.clone(), chat(&CHAT.replace("hello", "third"))).await, 502);
    let rejected = ALL.replace("upstream=passed", "upstream=rejected");
    assert_eq!(last.take(), (rejected, Some("upstream")));

    // Rejected by each layer: those inside of it have decided nothing.
    for (request, status, layer) in [
        (request(&token, Method::POST, "/admin", CHAT), 404, "route"),
        (request("Bearer no", Method::POST, "/v1/chat/completions", CHAT), 401, "auth"),
        (chat("{"), 400, "payload"),
        (chat(r#"{"model":"org/small"}"#), 422, "schema"),
        (chat(&CHAT.replace("small", "other")), 403, "model_rules"),
    ] {
        assert_eq!(send(service.clone(), request).await, status, "{layer}");
        let (outside, _) = ALL.split_once(&format!("{layer}=")).unwrap();
        let expected = format!("{outside}{layer}=rejected");
        assert_eq!(last.take(), (expected, Some(layer)));
    }
}

#[tokio::test]
async fn a_layer_of_the_program_adds_its_decision() {
    let last = Last::default();
    let handler = service_fn(|request: Request<_>| async move {
        let context = RequestContext::of(request.extensions()).unwrap();
        context.add_decision("guard", Decision::Passed);
        context.add_decision("guard", Decision::Rejected);
        context.add_decision("greeter", Decision::Responded);
        for number in 0..40 {
            // Beyond 16 they are dropped.
            context.add_decision(["a", "b", "c"][number % 3], Decision::Passed);
        }
        let decisions = context.decisions();
        assert_eq!(decisions.of(Layer::Auth), None);
        assert_eq!(decisions.iter().count(), 5);
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
    });
    let service = AccessLogLayer::sink(last.clone()).layer(handler);
    send(service, Request::new(Full::default())).await;
    let expected = "guard=rejected greeter=responded a=passed b=passed c=passed";
    assert_eq!(last.take(), (expected.to_owned(), Some("guard")));
}

#[test]
fn decisions_of_the_program_are_bounded() {
    let context = RequestContext::new();
    for number in 0..100 {
        let name: &'static str = format!("layer_{number}").leak();
        context.add_decision(name, Decision::Passed);
    }
    assert_eq!(context.decisions().iter().count(), 16);
}

#[tokio::test]
async fn a_sink_that_accepts_no_request_is_the_decision_of_its_layer() {
    #[derive(Clone, Default)]
    struct Strict(Last);
    impl RecordSink for Strict {
        fn accepts_requests(&self) -> bool {
            false
        }
        fn record(&self, record: &Record<'_>) {
            self.0.record(record);
        }
    }
    let sink = Strict::default();
    let handler = service_fn(|_: Request<_>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
    });
    let service = AccessLogLayer::sink(sink.clone()).layer(handler);
    assert_eq!(send(service, Request::new(Full::default())).await, 503);
    assert_eq!(sink.0.take(), ("access_log=rejected".to_owned(), Some("access_log")));
}
