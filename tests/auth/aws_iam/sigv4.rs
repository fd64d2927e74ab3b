//! Which signatures are accepted, and the response to all others.

use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::Channel;
use tower_inference::{
    auth::{AuthLayer, aws_iam::SigningCredential},
    identity::Proof,
    rejection::Refusal,
    secret::Secret,
};

use super::{
    super::jwt,
    sign::{
        DATE, ID, NOW, Outcome, Signing, clock_at, credential, send, sha256, sigv4, sigv4_with,
    },
};

fn layer() -> AuthLayer {
    AuthLayer::new(sigv4())
}

fn is_invalid(outcome: &Outcome, detail: &str) {
    assert_eq!((outcome.refusal(), outcome.calls), (Some(Refusal::InvalidSignature), 0));
    assert!(outcome.detail().contains(detail), "{}", outcome.detail());
    assert_eq!(outcome.status, 401);
    assert_eq!(outcome.headers["www-authenticate"], "AWS4-HMAC-SHA256");
}

#[tokio::test]
async fn verified_caller_has_the_identity_of_its_credential() {
    let outcome = send(&layer(), Signing::default().request("POST", "/v1/chat", "{}")).await;
    let seen = outcome.seen.unwrap();
    let identity = &seen.identity;
    assert_eq!((identity.proof(), identity.issuer()), (Proof::AwsIam, "aws-sigv4"));
    assert_eq!((identity.subject(), identity.tenant()), (ID, Some("acme")));
    assert_eq!(identity.credential_id(), Some(ID));
    assert!(identity.has_scope("infer"));
    assert_eq!(seen.body, "{}");
    // As in API Gateway, no inner service receives the signature.
    assert!(!seen.headers.contains_key("authorization"));
}

#[tokio::test]
async fn every_signed_part_counts() {
    let signed = || Signing::default().request("POST", "/v1/chat", "{}");
    assert_eq!(send(&layer(), signed()).await.status, 200);
    type Tamper = fn(&mut Request<http_body_util::Full<Bytes>>);
    let tampered: [Tamper; 6] = [
        |request| *request.method_mut() = http::Method::PUT,
        |request| *request.uri_mut() = "/v1/chat/".parse().unwrap(),
        |request| *request.uri_mut() = "/v1/./chat".parse().unwrap(),
        |request| *request.uri_mut() = "/v1/chat?a=1".parse().unwrap(),
        |request| {
            request.headers_mut().insert("host", HeaderValue::from_static("other.example"));
        },
        |request| *request.body_mut() = "{ }".into(),
    ];
    for tamper in tampered {
        let mut request = signed();
        tamper(&mut request);
        is_invalid(&send(&layer(), request).await, "the signature does not match");
    }
}

#[tokio::test]
async fn unknown_key_wrong_secret_and_wrong_token_have_one_response() {
    let signing = Signing::default();
    let wrong_secret = Signing { secret: "another secret", ..Signing::default() };
    let mut unknown = signing.request("GET", "/", "");
    let authorization = unknown.headers()["authorization"].to_str().unwrap().replace(ID, "AKID2");
    unknown.headers_mut().insert("authorization", authorization.parse().unwrap());
    let mut unneeded_token = signing.request("GET", "/", "");
    unneeded_token.headers_mut().insert("x-amz-security-token", HeaderValue::from_static("t"));
    let mut wrong_signature = signing.request("GET", "/", "");
    let authorization = wrong_signature.headers()["authorization"].to_str().unwrap();
    let authorization = format!("{}{}", &authorization[..authorization.len() - 64], "0".repeat(64));
    wrong_signature.headers_mut().insert("authorization", authorization.parse().unwrap());

    let mut responses = Vec::new();
    for request in [unknown, wrong_secret.request("GET", "/", ""), unneeded_token, wrong_signature]
    {
        let outcome = send(&layer(), request).await;
        is_invalid(&outcome, "the signature does not match");
        responses.push((outcome.status, outcome.headers, outcome.text));
    }
    assert!(responses.windows(2).all(|pair| pair[0] == pair[1]), "{responses:#?}");
}

#[tokio::test]
async fn session_token_must_be_the_one_of_the_credential() {
    let layer = AuthLayer::new(sigv4_with(credential().session_token(Secret::new("token-1"))));
    let with_token = |token: &'static str| {
        let mut request = Signing::default().request("GET", "/", "");
        request.headers_mut().insert("x-amz-security-token", HeaderValue::from_static(token));
        request
    };
    let outcome = send(&layer, with_token("token-1")).await;
    assert!(!outcome.seen.unwrap().headers.contains_key("x-amz-security-token"));
    is_invalid(&send(&layer, with_token("token-2")).await, "does not match");
    is_invalid(&send(&layer, Signing::default().request("GET", "/", "")).await, "does not match");
    let presigned = Signing::default().presigned("/", "60", "&X-Amz-Security-Token=token-1");
    assert_eq!(send(&layer, presigned).await.status, 200);
}

#[tokio::test]
async fn date_is_within_five_minutes_of_the_clock() {
    for (now, passes) in
        [(NOW - 301, false), (NOW - 300, true), (NOW + 300, true), (NOW + 301, false)]
    {
        let layer = AuthLayer::new(sigv4().clock(clock_at(now).shared()));
        let outcome = send(&layer, Signing::default().request("GET", "/", "")).await;
        assert_eq!(outcome.status == 200, passes, "{now}");
    }
    // The date of the scope is another day.
    let mut request = Signing::default().request("GET", "/", "");
    let authorization = request.headers()["authorization"].to_str().unwrap();
    let authorization = authorization.replace("/20270115/", "/20270114/");
    request.headers_mut().insert("authorization", authorization.parse().unwrap());
    is_invalid(&send(&layer(), request).await, "another day");
}

#[tokio::test]
async fn presigned_requests_expire_and_lose_their_signature() {
    let presigned = |expires| Signing::default().presigned("/a", expires, "");
    let at = |now: u64| AuthLayer::new(sigv4().clock(clock_at(now).shared()));
    let outcome = send(&at(NOW + 60), presigned("60")).await;
    assert_eq!(outcome.seen.unwrap().uri, "/a");
    is_invalid(&send(&at(NOW + 61), presigned("60")).await, "expired");
    is_invalid(&send(&at(NOW - 301), presigned("60")).await, "ahead");
    assert_eq!(send(&at(NOW + 900), presigned("900")).await.status, 200);
    is_invalid(&send(&at(NOW), presigned("901")).await, "exceeds the maximum");
    for expires in ["0", "-1", "1.5", "", "x", "9999999999"] {
        is_invalid(&send(&at(NOW), presigned(expires)).await, "`X-Amz-Expires`");
    }
    let layer = AuthLayer::new(sigv4().max_expires(std::time::Duration::from_secs(30)));
    is_invalid(&send(&layer, presigned("60")).await, "exceeds the maximum");
    let mut tampered = presigned("60");
    let uri = tampered.uri().to_string().replace("Expires=60", "Expires=90");
    *tampered.uri_mut() = uri.parse().unwrap();
    is_invalid(&send(&layer, tampered).await, "exceeds");
}

#[tokio::test]
async fn parameters_have_any_order_and_space() {
    let request = Signing::default().request("GET", "/", "");
    let value = request.headers()["authorization"].to_str().unwrap().to_owned();
    let (_, parts) = value.split_once(' ').unwrap();
    let [credential, signed, signature] = parts.split(", ").collect::<Vec<_>>().try_into().unwrap();
    for spelling in [
        format!("AWS4-HMAC-SHA256 {signature},{signed},{credential}"),
        format!("aws4-hmac-sha256   {signed} ,  {credential} ,{signature}  "),
    ] {
        let mut request = Signing::default().request("GET", "/", "");
        request.headers_mut().insert("authorization", spelling.parse().unwrap());
        assert_eq!(send(&layer(), request).await.status, 200, "{spelling}");
    }
    for malformed in [
        "AWS4-HMAC-SHA256".to_owned(),
        "AWS4-HMAC-SHA256 ".to_owned(),
        format!("AWS4-HMAC-SHA256 {credential}, {signed}"),
        format!("AWS4-HMAC-SHA256 {credential}, {signed}, {signature}, {signature}"),
        format!("AWS4-HMAC-SHA256 {credential}, {signed}, {signature}, X=1"),
        format!("AWS4-HMAC-SHA256 {credential}, {signed}, Signature=00"),
        format!("AWS4-HMAC-SHA256 Credential={ID}, {signed}, {signature}"),
        format!("AWS4-HMAC-SHA256 {credential}, SignedHeaders=host;x-amz-date;host, {signature}"),
        format!("AWS4-HMAC-SHA256 {credential}, SignedHeaders=Host;x-amz-date, {signature}"),
    ] {
        let mut request = Signing::default().request("GET", "/", "");
        request.headers_mut().insert("authorization", malformed.parse().unwrap());
        is_invalid(&send(&layer(), request).await, "malformed");
    }
    let mut asymmetric = Signing::default().request("GET", "/", "");
    let other = value.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256");
    asymmetric.headers_mut().insert("authorization", other.parse().unwrap());
    is_invalid(&send(&layer(), asymmetric).await, "the algorithm is not AWS4-HMAC-SHA256");
}

#[tokio::test]
async fn host_and_date_are_signed() {
    let empty = sha256(b"");
    for (headers, names, detail) in [
        (format!("x-amz-date:{DATE}\n"), "x-amz-date", "`host` is not signed"),
        ("host:gw.example\n".to_owned(), "host", "the date is not signed"),
    ] {
        let canonical = format!("GET\n/\n\n{headers}\n{names}\n{empty}");
        let mut request = Signing::default().request("GET", "/", "");
        let authorization = Signing::default().authorization(&canonical);
        request.headers_mut().insert("authorization", authorization.parse().unwrap());
        is_invalid(&send(&layer(), request).await, detail);
    }
}

#[tokio::test]
async fn authority_of_http2_is_the_host() {
    let mut request = Signing::default().request("GET", "/v1", "");
    *request.uri_mut() = "https://gw.example/v1".parse().unwrap();
    request.headers_mut().remove("host");
    assert_eq!(send(&layer(), request).await.status, 200);
    // Two hosts mean different requests to different readers.
    let mut request = Signing::default().request("GET", "/v1", "");
    *request.uri_mut() = "https://evil.example/v1".parse().unwrap();
    is_invalid(&send(&layer(), request).await, "two different hosts");
    let mut request = Signing::default().request("GET", "/v1", "");
    request.headers_mut().append("host", HeaderValue::from_static("gw.example"));
    is_invalid(&send(&layer(), request).await, "two different hosts");
    let mut request = Signing::default().request("GET", "/v1", "");
    request.headers_mut().remove("host");
    is_invalid(&send(&layer(), request).await, "no host");
}

#[tokio::test]
async fn signature_for_another_server_is_rejected_where_hosts_are_named() {
    // That server sends the request on, with the host that was signed.
    let relayed = || Signing::default().request("GET", "/", "");
    let layer_of = |hosts: &[&'static str]| AuthLayer::new(sigv4().hosts(hosts.iter().copied()));
    assert_eq!(send(&layer(), relayed()).await.status, 200);
    for own in ["GW.example", "gw.example"] {
        assert_eq!(send(&layer_of(&["x.example", own]), relayed()).await.status, 200);
    }
    for other in [&[][..], &["x.example"], &["gw.example:443"], &["gw.example.evil.example"]] {
        is_invalid(&send(&layer_of(other), relayed()).await, "another host");
        let presigned = Signing::default().presigned("/", "60", "");
        is_invalid(&send(&layer_of(other), presigned).await, "another host");
    }
}

#[tokio::test]
async fn signed_headers_are_joined_and_must_be_present() {
    let empty = sha256(b"");
    let canonical = format!(
        "GET\n/\n\nhost:gw.example\nx-a:1  2,3\nx-amz-date:{DATE}\n\nhost;x-a;x-amz-date\n{empty}"
    )
    .replace("1  2", "1 2");
    let request = |values: &[&'static str]| {
        let mut request = Signing::default().request("GET", "/", "");
        let authorization = Signing::default().authorization(&canonical);
        request.headers_mut().insert("authorization", authorization.parse().unwrap());
        for value in values {
            request.headers_mut().append("x-a", HeaderValue::from_static(value));
        }
        request
    };
    assert_eq!(send(&layer(), request(&[" 1   2 ", "3"])).await.status, 200);
    is_invalid(&send(&layer(), request(&["3", "1 2"])).await, "does not match");
    is_invalid(&send(&layer(), request(&[])).await, "a signed header is missing");
}

#[tokio::test]
async fn date_header_may_stand_in_for_the_amz_date() {
    let (empty, http) = (sha256(b""), "Fri, 15 Jan 2027 08:00:00 GMT");
    let canonical = format!("GET\n/\n\ndate:{http}\nhost:gw.example\n\ndate;host\n{empty}");
    let mut request = Signing::default().request("GET", "/", "");
    let authorization = Signing::default().authorization(&canonical);
    request.headers_mut().insert("authorization", authorization.parse().unwrap());
    request.headers_mut().insert("date", HeaderValue::from_static(http));
    // `x-amz-date` counts if both are there, and it is not signed.
    let mut both = Request::new(http_body_util::Full::<Bytes>::default());
    both.headers_mut().clone_from(request.headers());
    is_invalid(&send(&layer(), both).await, "the date is not signed");
    request.headers_mut().remove("x-amz-date");
    assert_eq!(send(&layer(), request).await.status, 200);
}

#[tokio::test]
async fn scope_is_the_one_of_the_gateway() {
    for signing in [
        Signing { region: "eu-west-1", ..Signing::default() },
        Signing { service: "s3", ..Signing::default() },
    ] {
        is_invalid(
            &send(&layer(), signing.request("GET", "/", "")).await,
            "another region or service",
        );
    }
    let bedrock = Signing { service: "bedrock", ..Signing::default() };
    let layer = AuthLayer::new(sigv4().service("bedrock"));
    assert_eq!(send(&layer, bedrock.request("GET", "/", "")).await.status, 200);
}

#[tokio::test]
async fn path_is_the_one_on_the_wire_and_encoded_once_more() {
    let empty = sha256(b"");
    let request = |signed: &str, wire: &str, service: &'static str| {
        let signing = Signing { service, ..Signing::default() };
        let canonical = format!(
            "GET\n{signed}\n\nhost:gw.example\nx-amz-date:{DATE}\n\nhost;x-amz-date\n{empty}"
        );
        let mut request = signing.request("GET", wire, "");
        let authorization = signing.authorization(&canonical);
        request.headers_mut().insert("authorization", authorization.parse().unwrap());
        request
    };
    let plain = layer();
    let s3 = AuthLayer::new(sigv4().service("s3"));
    let lenient = AuthLayer::new(sigv4().dangerous_normalized_paths());
    for (layer, signed, wire, service, passes) in [
        (&plain, "/a%252Fb", "/a%2Fb", "execute-api", true),
        (&plain, "/a%2Fb", "/a%2Fb", "execute-api", false),
        (&plain, "/x/y", "/x//y", "execute-api", false),
        (&plain, "/x//y", "/x//y", "execute-api", true),
        (&s3, "/a%2Fb//c", "/a%2Fb//c", "s3", true),
        (&s3, "/a%252Fb", "/a%2Fb", "s3", false),
        (&lenient, "/x/y", "/x//z/../y", "execute-api", true),
        (&lenient, "/x//y", "/x//y", "execute-api", true),
        (&lenient, "/x/y", "/x/z", "execute-api", false),
    ] {
        let outcome = send(layer, request(signed, wire, service)).await;
        assert_eq!(outcome.status == 200, passes, "{signed} for {wire}");
    }
}

#[tokio::test]
async fn one_request_has_one_credential() {
    let refused = |outcome: Outcome| {
        assert_eq!((outcome.refusal(), outcome.calls), (Some(Refusal::InvalidRequest), 0));
    };
    let both_kinds = AuthLayer::new(jwt()).or(sigv4());
    for layer in [layer(), both_kinds.clone()] {
        let mut twice = Signing::default().request("GET", "/", "");
        let value = twice.headers()["authorization"].clone();
        twice.headers_mut().append("authorization", value);
        refused(send(&layer, twice).await);

        let mut both_forms = Signing::default().request("GET", "/", "");
        *both_forms.uri_mut() = Signing::default().presigned("/", "60", "").uri().clone();
        refused(send(&layer, both_forms).await);

        let mut and_bearer = Signing::default().presigned("/", "60", "");
        and_bearer.headers_mut().insert("authorization", HeaderValue::from_static("Bearer x"));
        refused(send(&layer, and_bearer).await);
    }
    for request in
        [Signing::default().request("GET", "/", ""), Signing::default().presigned("/", "60", "")]
    {
        assert_eq!(send(&both_kinds, request).await.status, 200);
    }
    let none = send(&both_kinds, Request::new(http_body_util::Full::default())).await;
    assert_eq!(none.refusal(), Some(Refusal::MissingCredentials));
    assert!(none.detail().contains("an AWS Signature Version 4"));
    let schemes: Vec<_> = none.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(schemes, ["Bearer", "AWS4-HMAC-SHA256"]);
}

#[tokio::test]
async fn presigned_parameters_occur_once_in_their_spelling() {
    for (from, to) in [
        ("X-Amz-Date=", "x-amz-date="),
        ("X-Amz-Expires=60", "X-Amz-Expires=60&X-Amz-Expires=60"),
        ("X-Amz-Expires=60", "X-Amz-Expires=60&X%2DAmz-Expires=60"),
        ("X-Amz-Expires=60", "X-Amz-Expires=60&X-Amz-Other=1"),
        ("X-Amz-Expires=60", "X-Amz-Expires=6+0"),
        ("X-Amz-Expires=60&", ""),
    ] {
        let mut request = Signing::default().presigned("/", "60", "");
        let uri = request.uri().to_string().replace(from, to);
        *request.uri_mut() = uri.parse().unwrap();
        is_invalid(&send(&layer(), request).await, "malformed");
    }
}

#[tokio::test]
async fn lengths_and_counts_are_bounded() {
    let with_query = |query: String| {
        let mut request = Signing::default().request("GET", "/", "");
        *request.uri_mut() = format!("/?{query}").parse().unwrap();
        request
    };
    is_invalid(&send(&layer(), with_query("a&".repeat(257))).await, "too long");
    is_invalid(&send(&layer(), with_query("a".repeat(33_000))).await, "too long");
    let with_names = |names: String| {
        let mut request = Signing::default().request("GET", "/", "");
        let value = request.headers()["authorization"].to_str().unwrap();
        let value = value.replace("host;x-amz-date", &format!("host;x-amz-date{names}"));
        request.headers_mut().insert("authorization", value.parse().unwrap());
        request
    };
    let many: String = (0..64).map(|number| format!(";h{number}")).collect();
    is_invalid(&send(&layer(), with_names(many)).await, "too long");
    is_invalid(&send(&layer(), with_names(format!(";{}", "a".repeat(9_000)))).await, "too long");
    let mut long = with_names(";x-long".into());
    long.headers_mut().insert("x-long", "a".repeat(33_000).parse().unwrap());
    is_invalid(&send(&layer(), long).await, "too long");
}

#[tokio::test]
async fn used_signature_is_rejected() {
    let clock = clock_at(NOW);
    let layer = AuthLayer::new(sigv4().clock(clock.shared()).reject_replays(2));
    let request = |path: &str| Signing::default().request("GET", path, "");
    assert_eq!(send(&layer, request("/1")).await.status, 200);
    is_invalid(&send(&layer, request("/1")).await, "used before");
    assert_eq!(send(&layer, request("/2")).await.status, 200);
    let full = send(&layer, request("/3")).await;
    assert_eq!((full.refusal(), full.calls), (Some(Refusal::Overloaded), 0));
    // A forged signature takes no room.
    let forged = Signing { secret: "another secret", ..Signing::default() };
    is_invalid(&send(&layer, forged.request("GET", "/4", "")).await, "does not match");
    clock.advance(std::time::Duration::from_secs(301));
    let later = Signing { date: "20270115T080501Z", ..Signing::default() };
    assert_eq!(send(&layer, later.request("GET", "/3", "")).await.status, 200);
    // By default, a request can be repeated.
    let plain = super::sigv4::layer();
    for _ in 0..2 {
        assert_eq!(send(&plain, request("/1")).await.status, 200);
    }
}

#[tokio::test]
async fn used_signature_is_rejected_though_its_second_body_arrives_late() {
    let clock = clock_at(NOW);
    let layer = AuthLayer::new(sigv4().clock(clock.shared()).reject_replays(9));
    let request = || Signing::default().request("POST", "/v1/chat", "{}");
    assert_eq!(send(&layer, request()).await.status, 200);
    // The head arrives in the last second, and the body when the signature is forgotten.
    clock.advance(std::time::Duration::from_secs(300));
    let (mut sender, body) = Channel::<Bytes, std::convert::Infallible>::new(1);
    let late = async {
        clock.advance(std::time::Duration::from_secs(1));
        sender.send_data("{}".into()).await.unwrap();
        drop(sender);
    };
    let (outcome, ()) = tokio::join!(send(&layer, request().map(|_| body)), late);
    is_invalid(&outcome, "expired");
}

#[test]
fn secrets_are_not_printed() {
    let credential: SigningCredential = credential().session_token(Secret::new("token-1"));
    let settings = format!("{:?} {:?} {:?}", sigv4(), layer(), credential);
    assert!(settings.contains("us-east-1") && settings.contains("SigV4"));
    assert!(!settings.contains("wJalr") && !settings.contains("token-1"), "{settings}");
}
