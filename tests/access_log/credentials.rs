//! No credential of a request is in any rendering of its record, whatever fields are chosen.

use std::{fs, path::Path};

use tower_inference::{
    access_log::{Emf, Events},
    explain::explain,
    peer::PeerAddress,
    record::{GenAiConventions, RecordSink},
};

use super::{formats::CONTEXT, *};

/// In each place of a request that may have a credential.
const CREDENTIAL: &str = "s3kr1t-of-the-client";

/// Headers with credentials, and those that repeat a URL with its query.
const HEADERS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "x-amz-security-token",
    "x-forwarded-access-token",
    "referer",
    "origin",
    "forwarded",
    "x-forwarded-for",
    "via",
    "dpop",
    "traceparent",
    "tracestate",
    "baggage",
    "x-amzn-trace-id",
    "content-encoding",
    "host",
];

/// Returns the names of a table in the source of a format.
fn names(file: &str, from: &str, to: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/access_log/format").join(file);
    let source = fs::read_to_string(path).unwrap();
    let table = source.split_once(from).unwrap().1.split_once(to).unwrap().0;
    let names = table.lines().filter_map(|line| line.split('"').nth(1));
    names.map(str::to_owned).collect()
}

fn serve(layer: &AccessLogLayer) {
    for place in ["query", "userinfo"] {
        let uri = match place {
            "query" => format!("/v1/chat/completions?key={CREDENTIAL}&access_token={CREDENTIAL}"),
            _ => format!("http://user:{CREDENTIAL}@gateway.example/v1/models?sig={CREDENTIAL}#x"),
        };
        let mut request = Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
        for name in HEADERS {
            let value = HeaderValue::from_str(&format!("Bearer {CREDENTIAL}")).unwrap();
            request.headers_mut().append(*name, value);
        }
        request.headers_mut().insert("user-agent", HeaderValue::from_static("curl/8"));
        let layer = layer.clone().client_address(PeerAddress::connection());
        let service = layer.layer(answering(|request: Request<_>| {
            let context = RequestContext::of(request.extensions()).unwrap();
            // A program may pass a whole URL on.
            let url = format!("https://user:{CREDENTIAL}@up.example:8443?key={CREDENTIAL}");
            context.set_upstream(url.into());
            context.add_attempt();
            let identity = Identity::new(Proof::Jwt, "https://issuer.example", "ann");
            context.set_identity(Arc::new(identity));
            let mut response = Response::new(Full::new(Bytes::from("hello")));
            for name in ["set-cookie", "location", "x-request-id", "server-timing"] {
                let value = HeaderValue::from_str(CREDENTIAL).unwrap();
                response.headers_mut().insert(name, value);
            }
            response
        }));
        let response = now(service.oneshot(request)).unwrap();
        now(response.into_body().collect()).unwrap();
    }
}

#[test]
fn no_set_of_fields_shows_a_credential() {
    let members = names("members.rs", "members! {\n    Time", "}");
    let members = || members.iter().map(String::as_str).chain(["time"]);
    let attributes = names("open_telemetry.rs", "const ATTRIBUTES", "\n];");
    let json = Format::json().fields(members()).unwrap();
    let open_telemetry = |version| {
        let known = |name: &&String| Format::open_telemetry(version).fields([*name]).is_ok();
        Format::open_telemetry(version).fields(attributes.iter().filter(known)).unwrap()
    };
    let variables = CONTEXT.split_whitespace();
    for format in [
        json.clone(),
        Format::api_gateway().fields(variables).unwrap(),
        open_telemetry(GenAiConventions::V1_41),
        open_telemetry(GenAiConventions::Latest),
        Format::common(),
        Format::combined(),
        Format::emf(Emf::new("n").unwrap()).fields(members()).unwrap(),
    ] {
        let log = Log::format(format.clone());
        serve(&log.layer);
        let text = log.text();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(!text.contains(CREDENTIAL), "{format:?}: {text}");
    }
    let log = Log::format(json);
    serve(&log.layer);
    for line in log.text().lines() {
        let explanation = explain(line).unwrap().to_string();
        assert!(explanation.contains("https://up.example:8443"), "{explanation}");
        assert!(!explanation.contains(CREDENTIAL), "{explanation}");
    }
}

#[test]
fn no_event_shows_a_credential() {
    let members = names("members.rs", "members! {\n    Time", "}");
    let log = Log::new();
    let sink = log.sink.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || sink.clone())
        .with_ansi(false)
        .finish();
    let events = Events::new().fields(members).unwrap();
    tracing::subscriber::with_default(subscriber, || serve(&AccessLogLayer::sink(events)));
    let text = log.text();
    assert!(text.contains("up.example:8443") && !text.contains(CREDENTIAL), "{text}");
}

#[test]
fn no_debug_of_a_record_shows_a_credential() {
    struct Debugs(Arc<Mutex<String>>);

    impl RecordSink for Debugs {
        fn record(&self, record: &Record<'_>) {
            self.0.lock().unwrap().push_str(&format!("{record:?}"));
        }
    }

    let seen = Arc::default();
    serve(&AccessLogLayer::sink(Debugs(Arc::clone(&seen))));
    let seen = seen.lock().unwrap();
    assert!(seen.contains("/v1/models") && !seen.contains(CREDENTIAL), "{seen}");
}
