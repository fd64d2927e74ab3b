//! The parties, and how they end connections.

use std::{sync::Arc, time::Duration};

use rcgen::{CertificateParams, KeyPair};
use tokio::{net::TcpListener, time::advance};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs::default_provider,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};
use tower_inference::{
    client::{Builder, HttpsClient},
    upstream::UpstreamLayer,
};

use crate::{
    caller::{CHAT, Caller, HELLO, Outcome, settle, stopped},
    http1::{Act, Server},
    http2,
};

/// A row: who, what it does, where that is written, what we do. Its test follows.
macro_rules! row {
    ($name:ident, $party:literal, $shape:literal, $source:literal, $ours:literal, $test:expr) => {
        #[doc = concat!($party, " | ", $shape, " | ", $source, " | ", $ours)]
        #[tokio::test]
        async fn $name() {
            println!("{} | {} | {} | {}", $party, $shape, $source, $ours);
            $test.await;
        }
    };
}

// === HTTP/1.1, on a connection that has been used before ===

row!(
    uvicorn_closes_an_idle_connection,
    "uvicorn, and so vLLM (VLLM_HTTP_TIMEOUT_KEEP_ALIVE) and SGLang",
    "closes after 5 s without a request; the next one meets the FIN",
    "uvicorn settings, --timeout-keep-alive; basetenlabs/truss#2648; hyperium/hyper#2275",
    "sent once more: 200",
    async { assert_eq!(reused(&[&[Act::Answer, Act::CloseAfter(1)]]).await, AGAIN) }
);
row!(
    uvicorn_closes_before_a_list_of_models,
    "uvicorn",
    "the same, before a GET",
    "basetenlabs/truss#2648; RFC 9110 section 9.2.2",
    "sent once more: 200",
    async {
        let server = Server::start(&[&[Act::Answer, Act::CloseAfter(1)]]).await;
        let caller = caller_of(&server);
        caller.warm().await;
        let outcome = caller.get("/v1/models").await;
        assert_eq!(seen(outcome, &server), AGAIN);
    }
);
row!(
    node_destroys_an_idle_socket,
    "Node.js (Express, Next.js)",
    "destroys the socket after keepAliveTimeout, 5 s before nodejs/node#62782; the next request meets an RST",
    "Node.js, server.keepAliveTimeout; apache/apisix#11638",
    "sent once more: 200",
    async { assert_eq!(reused(&[&[Act::Answer, Act::ResetAfter(1)]]).await, AGAIN) }
);
row!(
    gunicorn_closes_after_the_request_was_written,
    "gunicorn (keepalive, a few seconds), hypercorn (keep_alive_timeout 5 s)",
    "the whole request lies in the socket's buffer when the worker closes it: RST",
    "gunicorn settings, keepalive; hypercorn configuration, keep_alive_timeout",
    "sent once more: 200",
    async { assert_eq!(reused(&[&[Act::Answer, Act::ResetAfter(usize::MAX)]]).await, AGAIN) }
);
row!(
    cpp_httplib_counts_requests,
    "llama.cpp (cpp-httplib, keep-alive 5 s, 100 requests)",
    "says connection: close with its last response, and closes",
    "cpp-httplib, CPPHTTPLIB_KEEPALIVE_MAX_COUNT; RFC 9112 section 9.6",
    "the next request opens a connection: 200 at the first attempt",
    async { assert_eq!(reused(&[&[Act::AnswerLast]]).await, FRESH) }
);
row!(
    nginx_counts_requests_or_reloads,
    "nginx (keepalive_timeout 75 s, keepalive_requests 1000), gunicorn (max_requests)",
    "closes right behind a response that did not say so: idle connections at a reload",
    "nginx, ngx_http_core_module keepalive_requests; control, SIGHUP",
    "200; the connection is found closed, or the request is sent once more",
    async {
        let last = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        let seen = reused(&[&[Act::Say(last)]]).await;
        assert_eq!((seen.status, seen.connections), (200, 2));
    }
);
row!(
    load_balancers_close_after_a_minute,
    "AWS ALB (idle 60 s), Envoy (idle_timeout 1 h), over TLS",
    "close_notify and FIN, the request on its way",
    "Elastic Load Balancing, connection idle timeout; RFC 8446 section 6.1",
    "sent once more: 200",
    async { assert_eq!(reused_tls(&[&[Act::Answer, Act::CloseAfter(1)]]).await, AGAIN) }
);
row!(
    tls_that_ends_without_close_notify,
    "servers that are killed, and proxies of bytes, over TLS",
    "FIN or RST without close_notify",
    "rustls manual, unexpected EOF; RFC 8446 section 6.1",
    "sent once more: 200",
    async {
        assert_eq!(reused_tls(&[&[Act::Answer, Act::Truncate]]).await, AGAIN);
        assert_eq!(reused_tls(&[&[Act::Answer, Act::ResetAfter(1)]]).await, AGAIN);
    }
);
row!(
    tgi_and_tei_restart,
    "TGI, TEI (axum: no keep-alive time), any server at a rolling update",
    "all connections of the pool end at once, and a new server listens",
    "Kubernetes, termination of pods; hyper, graceful_shutdown",
    "each of the requests that meet it is answered 200",
    async {
        const POOLED: usize = 16;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dies = |nth| {
            if nth < POOLED { vec![Act::Answer, Act::CloseAfter(1)] } else { Vec::new() }
        };
        let server = Server::listen(listener, dies, None);
        let caller = caller_of(&server);
        let chats = |count: usize| {
            let chats: Vec<_> = (0..count)
                .map(|_| {
                    let caller = caller.clone();
                    tokio::spawn(async move { caller.chat().await })
                })
                .collect();
            async move {
                let mut outcomes = Vec::new();
                for chat in chats {
                    outcomes.push(chat.await.unwrap());
                }
                outcomes
            }
        };
        chats(POOLED).await;
        settle().await;
        for outcome in chats(POOLED).await {
            assert_eq!((outcome.status, outcome.whole), (200, true));
        }
    }
);
row!(
    a_response_that_breaks_off_in_its_head,
    "any server that is killed",
    "the connection ends after some bytes of the response's head",
    "RFC 9112 section 8",
    "502, asked once: it had begun to answer",
    async {
        assert_eq!(reused(&[&[Act::Answer, Act::Say("H")]]).await, ONCE);
        assert_eq!(reused(&[&[Act::Answer, Act::Say("HTTP/1.1 200 OK\r\nx: ")]]).await, ONCE);
    }
);
row!(
    an_interim_response_and_the_end,
    "proxies that send 103 Early Hints, servers that send 100 Continue or 102 Processing",
    "an interim response, and then the connection ends",
    "RFC 9110 section 15.2; RFC 8297",
    "502, asked once: it had begun to answer",
    async {
        for interim in ["100 Continue", "102 Processing", "103 Early Hints"] {
            let interim: &'static str = format!("HTTP/1.1 {interim}\r\n\r\n").leak();
            assert_eq!(reused(&[&[Act::Answer, Act::Interim(interim)]]).await, ONCE, "{interim}");
        }
    }
);
row!(
    a_generation_that_breaks_off,
    "vLLM, TGI: a worker dies while it generates",
    "the stream ends in the middle of the body",
    "vLLM, EngineDeadError; RFC 9112 section 8",
    "the response breaks off, asked once",
    async {
        let half = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\ndata: {}\r\n";
        let server = Server::start(&[&[Act::Answer, Act::Say(half)]]).await;
        let caller = caller_of(&server);
        caller.warm().await;
        let outcome = caller.chat().await;
        assert_eq!(outcome, Outcome { status: 200, attempts: 1, whole: false });
        assert_eq!((server.requests(), server.connections()), (2, 1));
    }
);
row!(
    a_request_timeout_for_an_idle_connection,
    "Apache (mod_reqtimeout), HAProxy, classic ELB",
    "408 and the end of the connection, as the response to whatever comes next",
    "RFC 9110 section 15.5.9; haproxy, timeout http-request",
    "408 as it came, asked once: a response is not judged",
    async {
        let late = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let seen = reused(&[&[Act::Answer, Act::Say(late)]]).await;
        assert_eq!(seen, Seen { status: 408, attempts: 1, requests: 1, connections: 1 });
    }
);
row!(
    a_path_that_was_forgotten,
    "NAT gateways (AWS 350 s, Azure 4 min), firewalls, conntrack",
    "the connection is half-open: no byte and no end arrives any more",
    "Amazon VPC, NAT gateway idle timeout; Azure Load Balancer, TCP idle timeout",
    "504 at the deadline of UpstreamLayer, asked once; the pool's idle times are below theirs",
    stopped(async {
        let server = Server::start(&[&[Act::Answer, Act::Silence]]).await;
        let caller = caller_of(&server);
        caller.warm().await;
        let chat = tokio::spawn(async move { caller.chat().await });
        server.has_seen(2).await;
        // The deadline for the head of a response is five minutes.
        advance(Duration::from_secs(301)).await;
        let expected = Seen { status: 504, attempts: 1, requests: 1, connections: 1 };
        assert_eq!(seen(chat.await.unwrap(), &server), expected);
    })
);

// === HTTP/1.1, on a new connection ===

row!(
    a_server_that_closes_new_connections,
    "servers that crash at a request, or while they start; forwarded ports behind which nobody is",
    "each connection ends with its first request",
    "RFC 9110 section 9.2.2: without a reason to think that it was not processed",
    "502, asked once: a new connection is no stale one",
    async {
        for act in [Act::CloseAfter(1), Act::ResetAfter(1), Act::CloseAfter(usize::MAX)] {
            let script = [act];
            let server = Server::start(&[&script, &script]).await;
            let outcome = caller_of(&server).chat().await;
            let requests = server.requests();
            assert_eq!((outcome.status, outcome.attempts, requests), (502, 1, 1));
        }
    }
);
row!(
    a_server_that_closes_the_second_attempt_too,
    "servers that crash at this very request",
    "the reused connection ends, and so does the new one",
    "RFC 9110 section 9.2.2: an automatic retry is not retried",
    "502, asked twice and no more",
    async {
        let dies = &[Act::CloseAfter(usize::MAX)];
        let seen = reused(&[&[Act::Answer, Act::CloseAfter(usize::MAX)], dies, dies]).await;
        assert_eq!(seen, Seen { status: 502, attempts: 2, requests: 2, connections: 2 });
    }
);

// === HTTP/2, on a connection that has been used before ===

row!(
    envoy_drains_a_connection,
    "Envoy (max_connection_duration), ALB, gRPC servers (MAX_CONNECTION_AGE)",
    "GOAWAY whose last stream is below the request's",
    "RFC 9113 sections 6.8 and 8.7; envoyproxy/envoy, draining",
    "sent once more: 200",
    async {
        let below = http2::Act::GoAwayBelow(http2::NO_ERROR);
        assert_eq!(reused2(&[&[http2::Act::Answer, below]]).await, AGAIN);
    }
);
row!(
    a_server_asks_for_calm,
    "servers under attack or load (nginx, gRPC: too_many_pings)",
    "GOAWAY with ENHANCE_YOUR_CALM or INTERNAL_ERROR below the request's stream",
    "RFC 9113 section 8.7",
    "sent once more: 200",
    async {
        for code in [http2::ENHANCE_YOUR_CALM, http2::INTERNAL_ERROR] {
            let below = http2::Act::GoAwayBelow(code);
            assert_eq!(reused2(&[&[http2::Act::Answer, below]]).await, AGAIN, "{code}");
        }
    }
);
row!(
    nginx_refuses_a_stream,
    "nginx (http2_max_concurrent_streams), Envoy under overload",
    "RST_STREAM with REFUSED_STREAM",
    "RFC 9113 section 8.7; nginx, ngx_http_v2_module",
    "sent once more: 200",
    async {
        let refused = http2::Act::Reset(http2::REFUSED_STREAM);
        assert_eq!(reused2(&[&[http2::Act::Answer, refused]]).await, AGAIN);
    }
);
row!(
    hyper_shuts_down_gracefully,
    "hyper (TGI, TEI, this crate's example), Go's net/http",
    "GOAWAY that covers the request, which is answered",
    "RFC 9113 section 6.8; hyper, graceful_shutdown",
    "200 at the first attempt",
    async {
        let seen = reused2(&[&[http2::Act::Answer, http2::Act::GoAwayAndAnswer]]).await;
        assert_eq!(seen, Seen { status: 200, attempts: 1, requests: 1, connections: 1 });
    }
);
row!(
    a_connection_that_ended_while_idle,
    "hypercorn (keep_alive_timeout 5 s), ALB, nginx (keepalive_timeout)",
    "GOAWAY and the end, after a response",
    "RFC 9113 section 9.1",
    "the next request opens a connection: 200 at the first attempt",
    async { assert_eq!(reused2(&[&[http2::Act::AnswerLast]]).await, FRESH) }
);
row!(
    a_server_goes_without_goaway,
    "servers that are killed, load balancers that drop a connection",
    "the end of the connection, without GOAWAY",
    "RFC 9113 section 9.1; a GOAWAY is only a SHOULD there (section 6.8)",
    "sent once more, on inference routes: 200",
    async { assert_eq!(reused2(&[&[http2::Act::Answer, http2::Act::Close]]).await, AGAIN) }
);
row!(
    a_server_goes_with_what_it_has_accepted,
    "servers whose time to drain is over",
    "GOAWAY that covers the request, and the end of the connection",
    "RFC 9113 section 6.8: such a request may have been processed",
    "as without GOAWAY: sent once more on inference routes, and on no other",
    async {
        let scripts: &[&[http2::Act]] = &[&[http2::Act::Answer, http2::Act::GoAwayAndClose]];
        assert_eq!(reused2(scripts).await, AGAIN);
        assert_eq!(reused2_post(scripts, "/v1/fine_tuning/jobs").await, ONCE);
    }
);
row!(
    a_connection_that_is_full_is_drained,
    "servers with SETTINGS_MAX_CONCURRENT_STREAMS reached (nginx 128, ALB 128, hyper 200)",
    "GOAWAY while requests wait for a stream",
    "RFC 9113 sections 5.1.2 and 6.8",
    "each of them opens a connection or is sent once more: 200",
    async {
        let held = http2::Act::AnswerLastWhenTold;
        let server = http2::Server::start(&[&[http2::Act::Answer, held]]).await;
        let caller = caller_of2(&server);
        caller.warm().await;
        let chat = || {
            let caller = caller.clone();
            tokio::spawn(async move { caller.chat().await.status })
        };
        let first = chat();
        server.has_seen(2).await;
        let waiting = [chat(), chat(), chat()];
        settle().await;
        server.go.notify_one();
        assert_eq!(first.await.unwrap(), 200);
        for chat in waiting {
            assert_eq!(chat.await.unwrap(), 200);
        }
    }
);
row!(
    a_stream_that_is_reset_for_another_reason,
    "servers that fail at a request",
    "RST_STREAM with INTERNAL_ERROR, CANCEL or ENHANCE_YOUR_CALM",
    "RFC 9113 section 7",
    "502, asked once: it may have been processed",
    async {
        for code in [1, http2::INTERNAL_ERROR, 8, http2::ENHANCE_YOUR_CALM] {
            let reset = http2::Act::Reset(code);
            assert_eq!(reused2(&[&[http2::Act::Answer, reset]]).await, ONCE, "{code}");
        }
    }
);

// === HTTP/2, on a new connection ===

row!(
    a_server_that_refuses_new_connections,
    "servers under overload",
    "GOAWAY with last stream 0, or REFUSED_STREAM, on each connection",
    "RFC 9113 section 6.8",
    "502, asked once when the connection was new, and twice when it was reused",
    async {
        let refused = http2::Act::Reset(http2::REFUSED_STREAM);
        let server = http2::Server::start(&[&[refused], &[refused]]).await;
        let outcome = caller_of2(&server).chat().await;
        assert_eq!((outcome.status, outcome.attempts, server.requests()), (502, 1, 1));

        let seen = reused2(&[&[http2::Act::Answer, refused], &[refused], &[refused]]).await;
        assert_eq!(seen, Seen { status: 502, attempts: 2, requests: 2, connections: 2 });
    }
);

/// What caller and server saw of one request, after another that left its connection in the pool.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) attempts: u32,
    pub(crate) requests: usize,
    pub(crate) connections: usize,
}

/// Sent once more, on a new connection.
pub(crate) const AGAIN: Seen = Seen { status: 200, attempts: 2, requests: 2, connections: 2 };
/// Failed at the first attempt.
pub(crate) const ONCE: Seen = Seen { status: 502, attempts: 1, requests: 1, connections: 1 };
/// Answered at the first attempt, on a new connection.
const FRESH: Seen = Seen { status: 200, attempts: 1, requests: 1, connections: 2 };

/// A client whose window for a retry is longer than the machine may be busy.
pub(crate) fn builder() -> Builder {
    HttpsClient::builder().retry_window(Duration::from_secs(60))
}

pub(crate) fn caller_of(server: &Server) -> Caller {
    Caller::new(builder(), server.address)
}

pub(crate) fn caller_of2(server: &http2::Server) -> Caller {
    Caller::new(builder().http2_prior_knowledge(), server.address)
}

pub(crate) fn seen(outcome: Outcome, server: &Server) -> Seen {
    let Outcome { status, attempts, .. } = outcome;
    Seen { status, attempts, requests: server.requests() - 1, connections: server.connections() }
}

/// A chat completion on a connection that was used before.
async fn reused(scripts: &[&[Act]]) -> Seen {
    let server = Server::start(scripts).await;
    let caller = caller_of(&server);
    caller.warm().await;
    seen(caller.chat().await, &server)
}

async fn reused_tls(scripts: &[&[Act]]) -> Seen {
    let (builder, acceptor) = self_signed();
    let server = Server::start_with(scripts, Some(acceptor)).await;
    let base = format!("https://localhost:{}", server.address.port());
    let caller = Caller::of(builder, UpstreamLayer::new(), base);
    caller.warm().await;
    seen(caller.chat().await, &server)
}

/// A certificate for `localhost`: who trusts it, and who shows it.
pub(crate) fn self_signed() -> (Builder, TlsAcceptor) {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let builder = builder().root_certificates_pem(certificate.pem().as_bytes());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.into()], key)
        .unwrap();
    (builder, TlsAcceptor::from(Arc::new(config)))
}

async fn reused2(scripts: &[&[http2::Act]]) -> Seen {
    reused2_post(scripts, CHAT).await
}

pub(crate) async fn reused2_post(scripts: &[&[http2::Act]], path: &str) -> Seen {
    let server = http2::Server::start(scripts).await;
    let caller = caller_of2(&server);
    caller.warm().await;
    let Outcome { status, attempts, .. } = caller.post(path, HELLO).await;
    Seen { status, attempts, requests: server.requests() - 1, connections: server.connections() }
}
