//! How connections are served.

use std::sync::Arc;

use http::{Method, StatusCode};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use crate::{
    client::{CHAT, CHAT_STREAM, bytes, get, json, post, send, send_over_http1, send_over_http2},
    process::{Gateway, unless_hung},
    stub::Folder,
};

#[tokio::test]
async fn health_is_open() {
    let (gateway, _banner) = Gateway::demo::<&str>([]).await;
    let healthy = send(gateway.address, get("/healthz")).await;
    assert_eq!(healthy.status(), StatusCode::OK);
    assert_eq!(bytes(healthy).await, "ok\n");
}

#[tokio::test]
async fn http2_without_tls_is_served_beside_http1() {
    let (gateway, banner) = Gateway::demo::<&str>([]).await;
    let one = send(gateway.address, post("/v1/chat/completions", banner.token(), CHAT)).await;
    assert_eq!(one.version(), http::Version::HTTP_11);
    let one = json(one).await;

    let request = post(&format!("{}/v1/chat/completions", gateway.url), banner.token(), CHAT);
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let two = send_over_http2(stream, without_host(request)).await;
    assert_eq!((two.version(), two.status()), (http::Version::HTTP_2, StatusCode::OK));
    assert_eq!(json(two).await, one);
}

#[tokio::test]
async fn tls_is_served_with_either_version_of_http() {
    let folder = Folder::new("tls");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let cert = folder.write("cert.pem", &made.cert.pem());
    let key = folder.write("key.pem", &made.signing_key.serialize_pem());
    let (gateway, banner) = Gateway::demo(["--tls-cert", &cert, "--tls-key", &key]).await;
    assert!(gateway.url.starts_with("https://"));
    assert!(banner.command("A response").contains(&format!("--cacert '{cert}' https://")));

    let stream = tls(&gateway, &cert, b"h2").await;
    let request = post("https://localhost/v1/chat/completions", banner.token(), CHAT);
    let two = send_over_http2(stream, without_host(request)).await;
    assert_eq!((two.version(), two.status()), (http::Version::HTTP_2, StatusCode::OK));

    let stream = tls(&gateway, &cert, b"http/1.1").await;
    let one = send_over_http1(stream, post("/v1/chat/completions", banner.token(), CHAT)).await;
    assert_eq!((one.version(), one.status()), (http::Version::HTTP_11, StatusCode::OK));
}

async fn tls(gateway: &Gateway, cert: &str, version: &[u8]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(cert).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![version.to_vec()];
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(version));
    stream
}

/// HTTP/2 has `:authority` instead.
fn without_host<B>(mut request: http::Request<B>) -> http::Request<B> {
    request.headers_mut().remove(http::header::HOST);
    request
}

#[tokio::test]
async fn a_late_head_ends_the_connection() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // An empty SETTINGS frame, then the first 9 octets of a HEADERS frame that never comes.
    const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
    const HEADERS: &[u8] = b"\0\0\x40\x01\0\0\0\0\x01";

    let (gateway, _banner) = Gateway::demo(["--head-timeout", "100ms"]).await;
    for slow in [
        b"".to_vec(),
        b"POST /v1/chat/comple".to_vec(),
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\n".to_vec(),
        PREFACE[..10].to_vec(),
        PREFACE.to_vec(),
        [PREFACE, SETTINGS].concat(),
        [PREFACE, SETTINGS, HEADERS].concat(),
    ] {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(&slow).await.unwrap();
        let mut rest = Vec::new();
        // Ends, whether by a close or by a reset.
        let _ended = unless_hung(stream.read_to_end(&mut rest)).await;
    }
}

#[tokio::test]
async fn a_later_head_has_its_time_too() {
    let (gateway, _banner) = Gateway::demo(["--head-timeout", "100ms"]).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: gateway\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok\n") {
        answer.push(unless_hung(stream.read_u8()).await.unwrap());
    }
    stream.write_all(b"GET /hea").await.unwrap();
    let _ended = unless_hung(stream.read_to_end(&mut answer)).await;
    assert!(answer.ends_with(b"ok\n"), "{answer:?}");
}

/// hyper's server of HTTP/2 would send the body.
#[tokio::test]
async fn a_response_to_head_has_no_body_over_http2() {
    let (gateway, _banner) = Gateway::demo([""; 0]).await;
    for (path, status) in [("/healthz", StatusCode::OK), ("/v1/models", StatusCode::UNAUTHORIZED)] {
        let length = bytes(send(gateway.address, get(path)).await).await.len();
        let mut request = without_host(get(&format!("http://gateway{path}")));
        *request.method_mut() = Method::HEAD;
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        let response = send_over_http2(stream, request).await;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers()["content-length"], length.to_string(), "{path}");
        assert!(bytes(response).await.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn a_connection_may_be_idle_for_longer_than_a_head_may_take() {
    let (gateway, banner) = Gateway::demo(["--head-timeout", "50ms"]).await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let first = sender.send_request(get("/healthz")).await.unwrap();
    assert_eq!(bytes(first).await, "ok\n");
    // Half a second goes by.
    let request = post("/v1/chat/completions", banner.token(), CHAT_STREAM);
    assert!(bytes(send(gateway.address, request).await).await.ends_with(b"data: [DONE]\n\n"));
    let second = unless_hung(sender.send_request(get("/healthz"))).await.unwrap();
    assert_eq!(bytes(second).await, "ok\n");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_runtime_has_the_number_of_threads_of_the_flag() {
    let (gateway, _banner) = Gateway::demo(["--threads", "3"]).await;
    let tasks = std::fs::read_dir(format!("/proc/{}/task", gateway.id())).unwrap();
    let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
    let names: Vec<String> = names.filter_map(Result::ok).collect();
    let workers = names.iter().filter(|name| name.starts_with("tokio-r")).count();
    assert_eq!(workers, 3, "{names:?}");
}

#[tokio::test]
async fn one_thread_is_enough() {
    let (gateway, banner) = Gateway::demo(["--threads", "1"]).await;
    let request = post("/v1/chat/completions", banner.token(), CHAT_STREAM);
    assert!(bytes(send(gateway.address, request).await).await.ends_with(b"data: [DONE]\n\n"));
}

#[tokio::test]
async fn a_late_tls_handshake_ends_the_connection() {
    let folder = Folder::new("handshake");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let cert = folder.write("cert.pem", &made.cert.pem());
    let key = folder.write("key.pem", &made.signing_key.serialize_pem());
    let flags = ["--tls-cert", &cert, "--tls-key", &key, "--head-timeout", "100ms"];
    let (gateway, _banner) = Gateway::demo(flags).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let _ended = unless_hung(stream.read_to_end(&mut Vec::new())).await;
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_for_one_to_end() {
    // The one that is served says nothing, and so ends with the time for its head.
    let flags = ["--max-connections", "1", "--head-timeout", "200ms"];
    let (gateway, _banner) = Gateway::demo(flags).await;
    let mut first = TcpStream::connect(gateway.address).await.unwrap();
    let waiting = send(gateway.address, get("/healthz"));
    tokio::pin!(waiting);
    let mut nothing = Vec::new();
    tokio::select! {
        biased;
        _ended = unless_hung(first.read_to_end(&mut nothing)) => {}
        response = &mut waiting => panic!("{} before its turn", response.status()),
    }
    assert_eq!(waiting.await.status(), StatusCode::OK);
}

#[tokio::test]
async fn streams_of_one_connection_are_capped() {
    let (gateway, _banner) = Gateway::demo::<&str>([]).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    // The server's first frame is SETTINGS (RFC 9113 section 3.4): 6 octets a setting.
    let mut head = [0; 9];
    unless_hung(stream.read_exact(&mut head)).await.unwrap();
    assert_eq!(head[3], 4);
    let mut settings = vec![0; usize::from(head[2])];
    unless_hung(stream.read_exact(&mut settings)).await.unwrap();
    let most_streams = [0, 3, 0, 0, 0, 128];
    assert!(settings.chunks(6).any(|setting| setting == most_streams), "{settings:?}");
}

#[tokio::test]
async fn a_stream_may_take_longer_than_a_head() {
    // The demo takes about half a second for it.
    let (gateway, banner) = Gateway::demo(["--head-timeout", "50ms"]).await;
    let request = post("/v1/chat/completions", banner.token(), CHAT_STREAM);
    let stream = bytes(send(gateway.address, request).await).await;
    assert!(stream.ends_with(b"data: [DONE]\n\n"));

    let request =
        post(&format!("{}/v1/chat/completions", gateway.url), banner.token(), CHAT_STREAM);
    let connection = TcpStream::connect(gateway.address).await.unwrap();
    let stream = bytes(send_over_http2(connection, without_host(request)).await).await;
    assert!(stream.ends_with(b"data: [DONE]\n\n"));
}

#[tokio::test]
async fn files_that_are_no_certificate_are_refused() {
    let folder = Folder::new("no-tls");
    let file = folder.write("not.pem", "not a certificate");
    let output = crate::process::run(["--tls-cert", &file, "--tls-key", &file]).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with(&format!("gateway: --tls-key {file}: ")), "{said}");
}
