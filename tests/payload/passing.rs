//! A complete gateway on sockets: a hyper server, the layer, a hyper client and a recording
//! upstream.

use std::{convert::Infallible, fs, net::SocketAddr, path::Path, process::Stdio};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use http_body_util::{BodyExt, Channel, channel::Sender};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::Command,
};
use tower::{BoxError, Layer, Service, service_fn};
use tower_inference::{
    auth::{AuthLayer, Jwt, Keys},
    payload::{Payload, PayloadLayer},
};

use crate::{
    codings::Coding,
    token::{self, Signer},
    wire::{RawUpstream, Seen},
};

// === the gateway ===

/// Serves on a port of its own.
async fn serve<S, R>(service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    R: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ended = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

type HyperClient = Client<HttpConnector, Payload>;

/// A gateway to `upstream`, which it speaks to in the caller's version.
fn to(
    upstream: SocketAddr,
) -> impl Service<Request<Payload>, Response = Response<Incoming>, Error = BoxError, Future: Send>
+ Clone
+ Send
+ 'static {
    let one: HyperClient = Client::builder(TokioExecutor::new()).build_http();
    let two: HyperClient = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    service_fn(move |mut request: Request<Payload>| {
        let path = request.uri().path_and_query().unwrap().clone();
        let upstream = Uri::builder().scheme("http").authority(upstream.to_string());
        *request.uri_mut() = upstream.path_and_query(path).build().unwrap();
        let client = if request.version() == Version::HTTP_2 { &two } else { &one };
        let response = client.request(request);
        async { Ok(response.await?) }
    })
}

async fn gateway(layer: PayloadLayer) -> (SocketAddr, RawUpstream) {
    let response = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    let upstream = RawUpstream::answering(&response[..]).await;
    (serve(layer.layer(to(upstream.address))).await, upstream)
}

/// What comes up to the end of a head.
async fn read_head(caller: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(caller.read_u8().await.unwrap());
    }
    String::from_utf8(read).unwrap()
}

/// Sends `head` and `body` as they are; gives the status line of the final response.
async fn send_raw(gateway: SocketAddr, head: &str, body: &[u8]) -> String {
    let mut caller = TcpStream::connect(gateway).await.unwrap();
    caller.write_all(head.as_bytes()).await.unwrap();
    caller.write_all(body).await.unwrap();
    loop {
        let head = read_head(&mut caller).await;
        if !head.starts_with("HTTP/1.1 100 ") {
            return head.lines().next().unwrap().to_owned();
        }
    }
}

/// The head and the body of the next request that the upstream sees.
async fn seen(upstream: &mut RawUpstream) -> (String, Vec<u8>) {
    loop {
        if let Seen::Request(mut request) = upstream.next().await {
            let end = request.windows(4).position(|at| at == b"\r\n\r\n").unwrap() + 4;
            let body = request.split_off(end);
            return (String::from_utf8(request).unwrap().to_lowercase(), body);
        }
    }
}

// === numbers ===

#[tokio::test]
async fn numbers_keep_their_digits_on_the_way_upstream() {
    let digits = "7".repeat(100_000);
    let numbers = [
        "9223372036854775808",
        "18446744073709551616",
        "-9223372036854775809",
        &digits,
        "-0",
        "-0.0",
        "1e400",
        "1e-400",
        "0.1000",
        "1E+2",
        "1.0",
        "100e-2",
    ];
    let list = numbers.join(" , ");
    let body = format!("{{\"model\":\"m\", \"seed\" :{},\"list\":[{list}]\n}}", numbers[0]);
    let layers = [PayloadLayer::new(), PayloadLayer::bytes(), PayloadLayer::streamed()];
    let plain = layers.map(|layer| (layer, None));
    let coded = [Coding::Gzip, Coding::Brotli, Coding::Zstd]
        .map(|coding| (PayloadLayer::new().decompress(), Some(coding)));
    for (layer, coding) in plain.into_iter().chain(coded) {
        let (gateway, mut upstream) = gateway(layer.clone()).await;
        let sent =
            coding.map_or_else(|| body.clone().into(), |coding| coding.code(body.as_bytes()));
        let coding = coding
            .map(|coding| format!("content-encoding: {}\r\n", coding.name()))
            .unwrap_or_default();
        let head = format!(
            "POST /v1/embeddings HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n\
             {coding}content-length: {}\r\n\r\n",
            sent.len()
        );
        assert_eq!(send_raw(gateway, &head, &sent).await, "HTTP/1.1 200 OK");
        let (head, forwarded) = seen(&mut upstream).await;
        assert!(forwarded == body.as_bytes(), "{layer:?} {coding}");
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{head}");
        assert!(!head.contains("content-encoding"), "{head}");
    }
}

// === sounds and pictures ===

struct Capture {
    name: String,
    head: String,
    content_type: Option<String>,
    body: Vec<u8>,
}

/// The recorded requests that are not JSON.
fn binary_captures() -> Vec<Capture> {
    let mut captures = Vec::new();
    for client in ["hf", "js", "curl"] {
        let file = format!("tests/data/captures/{client}.json");
        let file = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let file: Value = serde_json::from_str(&file).unwrap();
        for (name, capture) in file.as_object().unwrap() {
            for request in capture["requests"].as_array().unwrap() {
                let text = |member: &str| request[member].as_str().unwrap().to_owned();
                let fields: Vec<_> = request["headers"].as_array().unwrap().iter().collect();
                let fields = fields.iter().map(|field| {
                    (field[0].as_str().unwrap().to_lowercase(), field[1].as_str().unwrap())
                });
                let content_type = fields
                    .clone()
                    .find_map(|(name, value)| (name == "content-type").then(|| value.to_owned()));
                if text("method") != "POST" || content_type.as_deref() == Some("application/json") {
                    continue;
                }
                let fields: String =
                    fields.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                let head = format!("POST {} HTTP/1.1\r\n{fields}\r\n", text("target"));
                // The recording left two megabytes out.
                let body = BASE64_STANDARD.decode(text("body_b64"));
                let body = body.unwrap_or_else(|_| vec![0xff; 2_000_000]);
                captures.push(Capture {
                    name: format!("{client}/{name}"),
                    head,
                    content_type,
                    body,
                });
            }
        }
    }
    captures
}

#[tokio::test]
async fn recorded_audio_and_images_pass_unchanged() {
    let captures = binary_captures();
    let names: Vec<_> = captures.iter().map(|capture| &*capture.name).collect();
    assert_eq!(
        names,
        [
            "hf/asr_bytes",
            "hf/image_classification_bytes",
            "hf/image_classification_pathlike",
            "js/hfjs_asr",
            "js/hfjs_image_classification",
            "curl/post_2mb_expect_100",
        ]
    );
    assert_eq!(captures.iter().filter(|capture| capture.content_type.is_none()).count(), 2);
    for layer in [PayloadLayer::streamed(), PayloadLayer::bytes()] {
        let (gateway, mut upstream) = gateway(layer).await;
        for Capture { name, head, content_type, body } in &captures {
            assert_eq!(send_raw(gateway, head, body).await, "HTTP/1.1 200 OK", "{name}");
            let (forwarded, bytes) = seen(&mut upstream).await;
            assert!(bytes == *body, "{name}");
            let types: Vec<_> =
                forwarded.lines().filter_map(|line| line.strip_prefix("content-type: ")).collect();
            assert_eq!(types, content_type.iter().collect::<Vec<_>>(), "{name}");
        }
    }
    // Where JSON is expected, none of them is read.
    let (gateway, _upstream) = gateway(PayloadLayer::new()).await;
    for Capture { name, head, .. } in &captures {
        let status = send_raw(gateway, head, b"").await;
        assert_eq!(status, "HTTP/1.1 415 Unsupported Media Type", "{name}");
    }
}

// === expect: 100-continue (RFC 9110 section 10.1.1) ===

/// A gateway that asks who calls; with a token that it takes.
async fn guarded(layer: PayloadLayer) -> (SocketAddr, RawUpstream, String) {
    let signer = Signer::es256();
    let keys = Keys::from_jwks(signer.jwks()).unwrap();
    let auth = AuthLayer::new(Jwt::new(keys, token::ISSUER, token::AUDIENCE));
    let response = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    let upstream = RawUpstream::answering(&response[..]).await;
    let service = auth.layer(layer.layer(to(upstream.address)));
    (serve(service).await, upstream, signer.sign(&token::claims()))
}

const JSON: &str = "content-type: application/json\r\n";

#[tokio::test]
async fn accepted_client_receives_100_continue() {
    let gzip = Coding::Gzip.code(b"[1]");
    let coded = format!("{JSON}content-encoding: gzip\r\n");
    for (layer, fields, body) in [
        (PayloadLayer::new(), JSON, &b"[1]"[..]),
        (PayloadLayer::bytes(), "", b"[1]"),
        (PayloadLayer::streamed(), "", b"[1]"),
        (PayloadLayer::new().decompress(), &coded, &gzip),
    ] {
        let (gateway, mut upstream, token) = guarded(layer.clone()).await;
        let mut caller = TcpStream::connect(gateway).await.unwrap();
        let head = format!(
            "POST / HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\n\
             expect: 100-continue\r\n{fields}content-length: {}\r\n\r\n",
            body.len()
        );
        caller.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(read_head(&mut caller).await, "HTTP/1.1 100 Continue\r\n\r\n", "{layer:?}");
        caller.write_all(body).await.unwrap();
        assert!(read_head(&mut caller).await.starts_with("HTTP/1.1 200 OK\r\n"), "{layer:?}");
        assert_eq!(seen(&mut upstream).await.1, b"[1]");
    }
}

#[tokio::test]
async fn rejected_client_receives_no_100_continue() {
    let length = "content-length: 3\r\n";
    for (layer, authorized, fields, status) in [
        (PayloadLayer::new(), false, format!("{JSON}{length}"), 401),
        (PayloadLayer::streamed(), false, format!("{JSON}{length}"), 401),
        (PayloadLayer::new(), true, length.into(), 415),
        (PayloadLayer::new(), true, format!("content-type: audio/flac\r\n{length}"), 415),
        (PayloadLayer::new(), true, format!("{JSON}content-encoding: br\r\n{length}"), 415),
        (PayloadLayer::bytes(), true, format!("content-encoding: br\r\n{length}"), 415),
        (
            PayloadLayer::new().decompress(),
            true,
            format!("{JSON}content-encoding: br, br\r\n{length}"),
            415,
        ),
        (PayloadLayer::new(), true, format!("{JSON}content-length: 10485761\r\n"), 413),
        (PayloadLayer::bytes(), true, "content-length: 10485761\r\n".into(), 413),
        (PayloadLayer::streamed(), true, "content-length: 10485761\r\n".into(), 413),
        (
            PayloadLayer::new().decompress(),
            true,
            format!("{JSON}content-encoding: br\r\ncontent-length: 10485761\r\n"),
            413,
        ),
    ] {
        let (gateway, _upstream, token) = guarded(layer.clone()).await;
        let authorization =
            if authorized { format!("authorization: Bearer {token}\r\n") } else { String::new() };
        let head = format!(
            "POST / HTTP/1.1\r\nhost: h\r\n{authorization}expect: 100-continue\r\n{fields}\r\n"
        );
        let mut caller = TcpStream::connect(gateway).await.unwrap();
        caller.write_all(head.as_bytes()).await.unwrap();
        let response = read_head(&mut caller).await;
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status} ")),
            "{layer:?} {head}: {response}"
        );
    }
}

/// What curl does with 2,000,000 bytes: the final status, how many it sent, and whether it was told
/// to. `None` where there is no curl.
async fn curl(gateway: SocketAddr, arguments: &[&str]) -> Option<(String, bool)> {
    let mut command = Command::new("curl");
    command
        // It waits for the response to what it expects for as long as a test is let run.
        .args(["--silent", "--verbose", "--http1.1", "--expect100-timeout", "600"])
        .args(["--output", "-", "--write-out", "\n%{http_code} %{size_upload}"])
        .args(["--noproxy", "*", "--data-binary", "@-"])
        .args(["--header", "content-type: application/octet-stream"])
        .args(arguments)
        .arg(format!("http://{gateway}/models/vit-image-class"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let Ok(mut child) = command.spawn() else {
        eprintln!("skipped: curl is not there");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&vec![0xff; 2_000_000]).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(log.to_lowercase().contains("\n> expect: 100-continue"), "{log}");
    let out = String::from_utf8(output.stdout).unwrap();
    let line = out.lines().last().unwrap().to_owned();
    Some((line, log.contains("\n< HTTP/1.1 100 Continue")))
}

#[tokio::test]
async fn curl_sends_two_megabytes_after_100_continue() {
    for layer in [PayloadLayer::bytes(), PayloadLayer::streamed()] {
        let (gateway, mut upstream, token) = guarded(layer).await;
        let authorization = format!("authorization: Bearer {token}");
        let Some(sent) = curl(gateway, &["--header", &authorization]).await else { return };
        assert_eq!(sent, ("200 2000000".to_owned(), true));
        assert!(seen(&mut upstream).await.1 == vec![0xff; 2_000_000]);
    }
    for (layer, authorized, status) in [
        (PayloadLayer::bytes(), false, "401 0"),
        (PayloadLayer::new(), true, "415 0"),
        (PayloadLayer::bytes().max_body_bytes(1_999_999), true, "413 0"),
    ] {
        let (gateway, _upstream, token) = guarded(layer).await;
        let authorization = format!("authorization: Bearer {token}");
        let arguments = ["--header", &*authorization];
        let arguments = if authorized { &arguments[..] } else { &[] };
        let Some(sent) = curl(gateway, arguments).await else { return };
        assert_eq!(sent, (status.to_owned(), false));
    }
}

// === gRPC ===

/// A message with its prefix: not compressed, and so many bytes (gRPC over HTTP/2).
fn message(text: &str) -> Bytes {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[0][..], &length, text.as_bytes()].concat().into()
}

/// Gives back each message when it comes, and a status in the end.
async fn echo(
    request: Request<Incoming>,
) -> Result<Response<impl Body<Data = Bytes, Error = hyper::Error>>, Infallible> {
    assert_eq!(request.headers()["content-type"], "application/grpc");
    assert_eq!(request.headers()["te"], "trailers");
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let body = request.into_body().with_trailers(async { Some(Ok(trailers)) });
    Ok(Response::builder().header("content-type", "application/grpc").body(body).unwrap())
}

/// Calls over HTTP/2: gives where messages are put, and the response.
async fn call(gateway: SocketAddr) -> (Sender<Bytes, Infallible>, Response<Incoming>) {
    let client: Client<_, Channel<Bytes, Infallible>> =
        Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let (mut messages, body) = Channel::new(1);
    let request = Request::post(format!("http://{gateway}/demo.Chat/Talk"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    messages.send_data(message("0")).await.unwrap();
    (messages, client.request(request.body(body).unwrap()).await.unwrap())
}

#[tokio::test]
async fn grpc_stream_passes_in_both_directions() {
    let upstream = serve(service_fn(echo)).await;
    let gateway = serve(PayloadLayer::streamed().layer(to(upstream))).await;
    // The head is there before the caller has said all.
    let (mut messages, mut response) = call(gateway).await;
    assert_eq!(response.status(), StatusCode::OK);
    for (heard, said) in [("0", "1"), ("1", "2"), ("2", "3")] {
        // Each message goes out only when the one before has come back.
        let frame = response.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), message(heard));
        messages.send_data(message(said)).await.unwrap();
    }
    drop(messages);
    let frame = response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), message("3"));
    let trailers = response.body_mut().frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
}

#[tokio::test]
async fn grpc_stream_is_rejected_with_a_grpc_status() {
    let upstream = serve(service_fn(echo)).await;
    let gateway = serve(PayloadLayer::new().layer(to(upstream))).await;
    // Though the stream stays open.
    let (_messages, mut response) = call(gateway).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    // INVALID_ARGUMENT.
    assert_eq!(response.headers()["grpc-status"], "3");
    assert!(response.body_mut().frame().await.is_none());
}
