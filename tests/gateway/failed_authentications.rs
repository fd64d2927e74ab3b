//! Failed authentications: `--auth-failures` and `--trusted-proxy` over HTTP.

#[cfg(target_os = "linux")]
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use tokio::net::TcpSocket;

use crate::{
    client::{CHAT, post, send, send_over_http1, slug},
    process::{Gateway, run},
};

const PATH: &str = "/v1/chat/completions";
const WRONG: &str = "nonsense";

/// Two guesses an hour: the third does not come back while a test runs.
const TWO: [&str; 2] = ["--auth-failures", "2/h"];

/// Asks over a connection that comes from this loopback address.
#[cfg(target_os = "linux")]
async fn ask_from(from: Ipv4Addr, gateway: SocketAddr, token: &str) -> StatusCode {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(IpAddr::V4(from), 0)).unwrap();
    let stream = socket.connect(gateway).await.unwrap();
    send_over_http1(stream, post(PATH, token, CHAT)).await.status()
}

/// Asks as a proxy does that has heard `forwarded`.
async fn ask_for(forwarded: &'static str, gateway: &Gateway, token: &str) -> StatusCode {
    let mut request = post(PATH, token, CHAT);
    request.headers_mut().insert("x-forwarded-for", HeaderValue::from_static(forwarded));
    send(gateway.address, request).await.status()
}

// Other systems have no second loopback address unless they are told to.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_address_that_has_guessed_too_often_is_refused_and_others_are_not() {
    let (mut gateway, banner) = Gateway::demo(TWO).await;
    let token = banner.token();
    let [guesser, other] = [Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2)];

    for _ in 0..3 {
        // Neither is a guess: no token, and one that holds.
        assert_eq!(ask_from(guesser, gateway.address, "").await, StatusCode::UNAUTHORIZED);
        assert_eq!(ask_from(guesser, gateway.address, token).await, StatusCode::OK);
    }
    for _ in 0..2 {
        assert_eq!(ask_from(guesser, gateway.address, WRONG).await, StatusCode::UNAUTHORIZED);
    }
    // Whatever comes next, and be it right.
    for next in [WRONG, token, ""] {
        let refused = send(gateway.address, post(PATH, next, CHAT)).await;
        let wait = refused.headers()[RETRY_AFTER].to_str().unwrap().parse::<u64>().unwrap();
        assert!((1..=1800).contains(&wait), "{wait}");
        assert_eq!(slug(refused, StatusCode::TOO_MANY_REQUESTS).await, "throttled");
    }
    assert_eq!(ask_from(other, gateway.address, token).await, StatusCode::OK);
    assert_eq!(ask_from(other, gateway.address, WRONG).await, StatusCode::UNAUTHORIZED);

    let record = gateway.said(r#""status":429"#).await;
    assert!(record.contains(r#""limit":"auth-failures""#), "{record}");
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_address_it_names_counts() {
    let flags = TWO.into_iter().chain(["--trusted-proxy", "10.0.0.0/8"]);
    let flags = flags.chain(["--trusted-proxy", "127.0.0.1"]);
    let (gateway, banner) = Gateway::demo(flags).await;
    let token = banner.token();

    // What stands left of the proxy's own word was sent by the guesser, and changes nothing.
    for forwarded in ["203.0.113.7", "198.51.100.1, 203.0.113.7, 10.1.2.3"] {
        assert_eq!(ask_for(forwarded, &gateway, WRONG).await, StatusCode::UNAUTHORIZED);
    }
    for forwarded in ["203.0.113.7", "203.0.113.8, 203.0.113.7"] {
        assert_eq!(ask_for(forwarded, &gateway, token).await, StatusCode::TOO_MANY_REQUESTS);
    }
    for forwarded in ["203.0.113.8", "203.0.113.7, 203.0.113.8"] {
        assert_eq!(ask_for(forwarded, &gateway, token).await, StatusCode::OK);
    }
}

#[tokio::test]
async fn only_a_trusted_proxy_can_name_another_address() {
    let flags = TWO.into_iter().chain(["--trusted-proxy", "10.0.0.0/8"]);
    let (gateway, banner) = Gateway::demo(flags).await;
    for forwarded in ["203.0.113.7", "203.0.113.8"] {
        assert_eq!(ask_for(forwarded, &gateway, WRONG).await, StatusCode::UNAUTHORIZED);
    }
    let refused = ask_for("203.0.113.9", &gateway, banner.token()).await;
    assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn an_invalid_network_is_reported_at_start() {
    for network in ["proxy.example", "10.0.0.1/8", "10.0.0.0/33"] {
        let output = run(TWO.into_iter().chain(["--trusted-proxy", network])).await;
        assert_eq!(output.status.code(), Some(1), "{network}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with("gateway: --trusted-proxy: "), "{said}");
        assert!(output.stdout.is_empty());
    }
}
