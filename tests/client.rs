//! `HttpsClient` against real servers on loopback, with an authority made for the test.

#[path = "support/wire.rs"]
mod wire;

use std::{
    convert::Infallible, error::Error, fmt, future::ready, net::SocketAddr, sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs::default_provider,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    client::{BodyError, BuildError, Builder, HttpsClient, ResponseBody, ResponseFuture},
    hf::{HfTokenLayer, Origin, TokenSource},
    secret::Secret,
    upstream::UpstreamLayer,
};
use wire::{RawUpstream, Seen};

type Client = HttpsClient<Empty<Bytes>>;

/// An authority, and what it vouches for.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root_pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), root_pem }
    }

    /// A server for `name` that answers with the HTTP version it is asked in.
    async fn serve(&self, name: &str, alpn: &[&str]) -> SocketAddr {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate: CertificateDer<'static> =
            params.signed_by(&key, &self.issuer).unwrap().into();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_owned()).collect();

        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let _ended = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), echo())
                        .await;
                });
            }
        });
        address
    }

    fn trusting(&self) -> Builder {
        HttpsClient::builder().root_certificates_pem(self.root_pem.as_bytes())
    }
}

/// Tells the version, the authority and the authorization that it was asked with.
fn echo() -> impl hyper::service::Service<
    Request<hyper::body::Incoming>,
    Response = Response<Full<Bytes>>,
    Error = Infallible,
    Future: Send,
> {
    hyper::service::service_fn(|request: Request<hyper::body::Incoming>| {
        let authorization = request.headers().get("authorization");
        let seen = format!("{:?} {:?}", request.version(), authorization);
        ready(Ok(Response::new(Full::new(Bytes::from(seen)))))
    })
}

fn get(scheme: &str, host: &str, address: SocketAddr) -> Request<Empty<Bytes>> {
    let uri = format!("{scheme}://{host}:{}/", address.port());
    Request::get(uri).body(Empty::new()).unwrap()
}

async fn text<B: http_body::Body<Data = Bytes>>(response: Response<B>) -> String
where
    B::Error: fmt::Debug,
{
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// All messages of an error and its causes.
fn messages(error: &dyn Error) -> String {
    let causes = error.source().map(messages).unwrap_or_default();
    format!("{error}; {causes}")
}

#[tokio::test]
async fn the_server_chooses_the_version_by_alpn() {
    let authority = Authority::new();
    let client: Client = authority.trusting().build_for().unwrap();
    for (alpn, version) in [
        (["h2", "http/1.1"].as_slice(), "HTTP/2.0"),
        (&["h2"], "HTTP/2.0"),
        (&["http/1.1"], "HTTP/1.1"),
        (&[], "HTTP/1.1"),
    ] {
        let address = authority.serve("localhost", alpn).await;
        let response = client.clone().oneshot(get("https", "localhost", address)).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(text(response).await, format!("{version} None"), "{alpn:?}");
    }
}

#[tokio::test]
async fn an_http2_request_may_be_sent_over_http1() {
    let authority = Authority::new();
    let client: Client = authority.trusting().build_for().unwrap();
    let address = authority.serve("localhost", &["http/1.1"]).await;
    let mut request = get("https", "localhost", address);
    *request.version_mut() = Version::HTTP_2;
    assert_eq!(text(client.oneshot(request).await.unwrap()).await, "HTTP/1.1 None");
}

#[tokio::test]
async fn an_address_is_checked_as_a_name_is() {
    let authority = Authority::new();
    let client: Client = authority.trusting().build_for().unwrap();
    let address = authority.serve("127.0.0.1", &["h2"]).await;
    let response = client.oneshot(get("https", "127.0.0.1", address)).await.unwrap();
    assert_eq!(text(response).await, "HTTP/2.0 None");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let client: Client = authority.trusting().build_for().unwrap();
    let address = authority.serve("other.example", &["h2"]).await;
    let error = client.oneshot(get("https", "localhost", address)).await.unwrap_err();
    assert!(error.is_connect());
    assert!(messages(&error).contains("not valid for name"), "{}", messages(&error));
}

#[tokio::test]
async fn an_authority_that_is_not_trusted_is_refused() {
    let address = Authority::new().serve("localhost", &["h2"]).await;
    let clients: [Client; 2] = [
        HttpsClient::builder().build_for().unwrap(),
        Authority::new().trusting().build_for().unwrap(),
    ];
    for client in clients {
        let error = client.oneshot(get("https", "localhost", address)).await.unwrap_err();
        assert!(error.is_connect());
        assert!(messages(&error).contains("invalid peer certificate"), "{}", messages(&error));
    }
}

#[tokio::test]
async fn under_both_layers_the_token_reaches_the_origin_over_tls() {
    let authority = Authority::new();
    let address = authority.serve("localhost", &["h2"]).await;
    let origin = format!("https://localhost:{}", address.port()).parse().unwrap();
    let token = TokenSource::value(Secret::new("hf_example")).unwrap();
    let client: Client = authority.trusting().build_for().unwrap();
    let service = tower::ServiceBuilder::new()
        .layer(UpstreamLayer::new())
        .layer(HfTokenLayer::new(origin, token))
        .service(client);
    let request = Request::get("http://evil.example/").body(Empty::new()).unwrap();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(text(response).await, "HTTP/2.0 Some(\"Bearer hf_example\")");
}

#[test]
fn roots_that_are_none_are_refused() {
    let build = |pem: &[u8]| {
        HttpsClient::builder().root_certificates_pem(pem).build_for::<Empty<Bytes>>().unwrap_err()
    };
    assert_eq!(build(b""), BuildError::NoCertificate(Some("it is empty")));
    assert_eq!(build(b"certificate"), BuildError::NoCertificate(None));
    let key = KeyPair::generate().unwrap().serialize_pem();
    let form = Some("it is PEM: a private key");
    assert_eq!(build(key.as_bytes()), BuildError::NoCertificate(form));
    let bad = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(build(bad), BuildError::BadCertificate { number: 1 });
    let unended = b"-----BEGIN CERTIFICATE-----\nAAAA\n";
    assert_eq!(build(unended), BuildError::BadCertificate { number: 1 });
}

#[tokio::test]
async fn plain_http_is_for_this_machine_unless_allowed_by_name() {
    let mut upstream =
        RawUpstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let strict: Client = HttpsClient::builder().build_for().unwrap();
    let lax: Client = HttpsClient::builder().dangerous_plain_http().build_for().unwrap();

    let local = || get("http", "127.0.0.1", upstream.address);
    assert_eq!(text(strict.clone().oneshot(local()).await.unwrap()).await, "ok");
    assert!(matches!(upstream.next().await, Seen::Request(_)));

    // Every address of this machine is one, but this one is not known to be.
    let other = || get("http", "0.0.0.0", upstream.address);
    let error = strict.oneshot(other()).await.unwrap_err();
    assert!(error.is_connect());
    assert!(messages(&error).contains("plain http"), "{}", messages(&error));
    assert_eq!(text(lax.oneshot(other()).await.unwrap()).await, "ok");
}

#[tokio::test]
async fn the_permission_of_the_address_is_the_only_switch_for_plain_http() {
    let mut upstream =
        RawUpstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let client: Client = HttpsClient::builder().build_for().unwrap();
    let origin = format!("http://0.0.0.0:{}", upstream.address.port());
    let token = TokenSource::value(Secret::new("hf_example")).unwrap();
    let allowed = HfTokenLayer::new(Origin::dangerous_plain_http(&origin).unwrap(), token);
    let request = Request::get("/").body(Empty::new()).unwrap();
    assert_eq!(allowed.layer(client.clone()).oneshot(request).await.unwrap().status(), 200);
    assert!(matches!(upstream.next().await, Seen::Request(_)));

    // The permission is for this address alone.
    let elsewhere = allowed.layer(service_fn(move |mut request: Request<Empty<Bytes>>| {
        *request.uri_mut() = "http://10.255.255.1:1/".parse().unwrap();
        client.clone().oneshot(request)
    }));
    let request = Request::get("/").body(Empty::new()).unwrap();
    let error = elsewhere.oneshot(request).await.unwrap_err();
    assert!(format!("{error:?}").contains("plain http to 10.255.255.1:1"), "{error:?}");
}

#[tokio::test]
async fn with_prior_knowledge_http2_needs_no_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        auto::Builder::new(TokioExecutor::new())
            .http2_only()
            .serve_connection(TokioIo::new(stream), echo())
            .await
    });
    let client: Client = HttpsClient::builder().http2_prior_knowledge().build_for().unwrap();
    let response = client.oneshot(get("http", "127.0.0.1", address)).await.unwrap();
    assert_eq!(text(response).await, "HTTP/2.0 None");
}

#[tokio::test]
async fn with_prior_knowledge_tls_offers_http2_alone() {
    let authority = Authority::new();
    let client: Client = authority.trusting().http2_prior_knowledge().build_for().unwrap();
    let address = authority.serve("localhost", &["h2"]).await;
    let response = client.clone().oneshot(get("https", "localhost", address)).await.unwrap();
    assert_eq!(text(response).await, "HTTP/2.0 None");
    let address = authority.serve("localhost", &["http/1.1"]).await;
    assert!(client.oneshot(get("https", "localhost", address)).await.unwrap_err().is_connect());
}

#[tokio::test]
async fn connecting_has_a_deadline_that_covers_tls() {
    // Accepts, and never says hello.
    let upstream = RawUpstream::answering("").await;
    let builder = HttpsClient::builder().connect_timeout(Duration::from_millis(1));
    let client: Client = builder.build_for().unwrap();
    let error = client.oneshot(get("https", "127.0.0.1", upstream.address)).await.unwrap_err();
    assert!(error.is_connect());
    assert!(messages(&error).contains("timed out"), "{}", messages(&error));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let answer = "HTTP/1.1 302 Found\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n";
    let mut upstream = RawUpstream::answering(answer).await;
    let client: Client = HttpsClient::builder().build_for().unwrap();
    let response = client.oneshot(get("http", "127.0.0.1", upstream.address)).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["location"]),
        (302, &"/again".parse().unwrap())
    );
    assert!(matches!(upstream.next().await, Seen::Request(_)));
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let mut upstream =
        RawUpstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let client: Client = HttpsClient::builder().build_for().unwrap();
    for _ in 0..3 {
        let request = get("http", "127.0.0.1", upstream.address);
        assert_eq!(text(client.clone().oneshot(request).await.unwrap()).await, "ok");
        // Never its end.
        assert!(matches!(upstream.next().await, Seen::Request(_)));
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n";
    let upstream = RawUpstream::answering(answer).await;
    let client: Client = HttpsClient::builder().build_for().unwrap();
    let response = client.oneshot(get("http", "127.0.0.1", upstream.address)).await.unwrap();
    let error = response.into_body().collect().await.unwrap_err();
    assert_eq!(error.to_string(), "the body broke off");
    assert!(error.source().is_some());
}

#[test]
fn the_parts_are_what_their_parts_are() {
    fn check<T: Send + Sync + Unpin + fmt::Debug + 'static>() {}
    check::<Client>();
    check::<Builder>();
    check::<ResponseBody>();
    check::<ResponseFuture<Empty<Bytes>>>();
    check::<tower_inference::client::Error>();
    check::<BodyError>();
}
