//! Which headers of an upstream's response pass `HfTokenLayer`, each with why.

#[path = "support/log.rs"]
mod log;
mod support;

use std::{convert::Infallible, future::ready, sync::Mutex};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Empty};
use support::{ScriptedBody, Step};
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    hf::{HfTokenLayer, TokenSource},
    secret::Secret,
};

const TOKEN: &str = "hf_Ab3xYz09QwErTyUiOpAsDfGhJkLzXcVbNm";

/// Speak to browsers for the whole origin, or make them fetch, report or run something.
const TO_BROWSERS: &[(&str, &str)] = &[
    ("accept-ch", "RFC 8942: what browsers send to this origin from now on"),
    ("accept-ch-lifetime", "Client Hints, earlier draft"),
    ("access-control-allow-origin", "Fetch, CORS"),
    ("access-control-allow-credentials", "Fetch, CORS"),
    ("access-control-allow-private-network", "Private Network Access"),
    ("activate-storage-access", "Storage Access Headers"),
    ("alt-svc", "RFC 7838: where else this origin is served"),
    ("attribution-reporting-register-source", "Attribution Reporting"),
    ("attribution-reporting-register-trigger", "Attribution Reporting"),
    ("clear-site-data", "W3C Clear Site Data"),
    ("content-security-policy", "CSP Level 3"),
    ("content-security-policy-report-only", "CSP Level 3"),
    ("critical-ch", "Client Hints Infrastructure"),
    ("cross-origin-embedder-policy", "HTML"),
    ("cross-origin-embedder-policy-report-only", "HTML"),
    ("cross-origin-opener-policy", "HTML"),
    ("cross-origin-opener-policy-report-only", "HTML"),
    ("cross-origin-resource-policy", "Fetch"),
    ("document-isolation-policy", "WICG Document Isolation Policy"),
    ("document-policy", "WICG Document Policy"),
    ("document-policy-report-only", "WICG Document Policy"),
    ("expect-ct", "RFC 9163"),
    ("feature-policy", "Permissions Policy, earlier name"),
    ("integrity-policy", "W3C Subresource Integrity"),
    ("integrity-policy-report-only", "W3C Subresource Integrity"),
    ("link", "RFC 8288 and HTML: preload, preconnect, and more that a browser acts on"),
    ("nel", "W3C Network Error Logging"),
    ("no-vary-search", "Changes which URLs a browser's cache holds for the same"),
    ("observe-browsing-topics", "Topics API"),
    ("origin-agent-cluster", "HTML"),
    ("origin-trial", "Chromium and Firefox: turns features on for the origin"),
    ("permissions-policy", "W3C Permissions Policy"),
    ("permissions-policy-report-only", "W3C Permissions Policy"),
    ("private-network-access-id", "Private Network Access"),
    ("private-network-access-name", "Private Network Access"),
    ("public-key-pins", "RFC 7469"),
    ("public-key-pins-report-only", "RFC 7469"),
    ("referrer-policy", "W3C Referrer Policy"),
    ("refresh", "HTML: navigates elsewhere"),
    ("report-to", "W3C Reporting, earlier form"),
    ("reporting-endpoints", "W3C Reporting"),
    ("require-document-policy", "WICG Document Policy"),
    ("sec-session-registration", "Device Bound Session Credentials, earlier names"),
    ("sec-session-challenge", "Device Bound Session Credentials, earlier names"),
    ("secure-session-registration", "Device Bound Session Credentials"),
    ("secure-session-challenge", "Device Bound Session Credentials"),
    ("service-worker-allowed", "Service Workers"),
    ("set-cookie", "RFC 6265"),
    ("set-cookie2", "RFC 2965"),
    ("set-login", "FedCM Login Status"),
    ("sourcemap", "ECMA-426: debuggers fetch it"),
    ("speculation-rules", "HTML: prefetch and prerender"),
    ("strict-transport-security", "RFC 6797"),
    ("supports-loading-mode", "HTML: consents to prerendering"),
    ("timing-allow-origin", "W3C Resource Timing"),
    ("use-as-dictionary", "RFC 9842: keeps the response to decode others"),
    ("x-content-security-policy", "CSP, earlier name"),
    ("x-dns-prefetch-control", "Browsers: looks up names ahead"),
    ("x-permitted-cross-domain-policies", "Adobe cross-domain policy files"),
    ("x-sourcemap", "ECMA-426, earlier name"),
    ("x-webkit-csp", "CSP, earlier name"),
    ("x-xss-protection", "Removed from browsers, because it could be turned against a page"),
];

/// Are about the gateway's credentials at the upstream.
const ABOUT_CREDENTIALS: &[(&str, &str)] = &[
    ("authentication-info", "RFC 9110 section 11.6.3"),
    ("optional-www-authenticate", "RFC 8053"),
    ("proxy-authenticate", "RFC 9110 section 11.7.1"),
    ("proxy-authentication-info", "RFC 9110 section 11.7.3"),
    ("www-authenticate", "RFC 9110 section 11.6.1"),
];

/// Make a proxy in front of the gateway send something else, or keep the response for others.
const TO_PROXIES: &[(&str, &str)] = &[
    ("akamai-cache-control", "RFC 9213, targeted cache control"),
    ("cdn-cache-control", "RFC 9213"),
    ("cloudflare-cdn-cache-control", "Cloudflare: Origin Cache Control"),
    ("edge-control", "Akamai: caching, and ESI processing"),
    ("surrogate-capability", "W3C Edge Architecture"),
    ("surrogate-control", "W3C Edge Architecture: caching, and ESI processing"),
    ("surrogate-key", "Fastly: under which keys a response is purged"),
    ("vercel-cdn-cache-control", "RFC 9213"),
    ("x-accel-buffering", "nginx ngx_http_proxy_module, proxy_ignore_headers"),
    ("x-accel-charset", "nginx ngx_http_proxy_module"),
    ("x-accel-expires", "nginx ngx_http_proxy_module: keeps the response"),
    ("x-accel-limit-rate", "nginx ngx_http_proxy_module"),
    ("x-accel-redirect", "nginx ngx_http_proxy_module: sends what is at an internal location"),
    ("x-appengine-blobkey", "App Engine: sends a blob instead"),
    ("x-cascade", "Rack: `pass` makes the server try the next application"),
    ("x-envoy-immediate-health-check-fail", "Envoy health_check filter: takes the host out"),
    ("x-envoy-overloaded", "Envoy router filter: stops retries"),
    ("x-envoy-ratelimited", "Envoy router filter"),
    ("x-esi", "Varnish recipes: ESI processing"),
    ("x-lighttpd-send-file", "lighttpd mod_fastcgi"),
    ("x-lighttpd-send-tempfile", "lighttpd mod_fastcgi: sends and deletes a file"),
    ("x-litespeed-cache-control", "LiteSpeed cache: keeps the response"),
    ("x-litespeed-location", "LiteSpeed internal redirect"),
    ("x-lsadc-cache-control", "LiteSpeed web ADC"),
    ("x-reproxy-file", "Perlbal: sends a file"),
    ("x-reproxy-url", "Perlbal: sends what another address gives"),
    ("x-sendfile", "Apache mod_xsendfile, lighttpd"),
    ("x-sendfile2", "lighttpd: ranges of files"),
    ("x-sendfile-temporary", "Apache mod_xsendfile: sends and deletes a file"),
];

/// Pass, and why that is right.
const PASS: &[(&str, &str)] = &[
    ("age", "RFC 9111: of this response"),
    ("cache-control", "RFC 9111: of this response; who lets shared caches in front must vary"),
    ("cf-ray", "for support"),
    ("content-disposition", "RFC 6266: the name of this content"),
    ("content-encoding", "RFC 9110"),
    ("content-language", "RFC 9110"),
    ("content-range", "RFC 9110"),
    ("content-type", "RFC 9110"),
    ("date", "RFC 9110"),
    ("deprecation", "RFC 9745: of the model or the route"),
    ("etag", "RFC 9110"),
    ("grpc-status", "gRPC over HTTP/2"),
    ("location", "RFC 9110: a redirect passes as it is"),
    ("openai-processing-ms", "OpenAI"),
    ("ratelimit", "draft-ietf-httpapi-ratelimit-headers"),
    ("retry-after", "RFC 9110"),
    ("server", "RFC 9110"),
    ("sunset", "RFC 8594"),
    ("vary", "RFC 9110"),
    ("via", "RFC 9110"),
    ("x-amzn-requestid", "for support"),
    ("x-compute-time", "TGI"),
    ("x-content-type-options", "Fetch: can only forbid to guess at this content"),
    ("x-frame-options", "HTML: can only forbid to show this response in a frame"),
    ("x-inference-id", "Inference Providers"),
    ("x-ratelimit-remaining-tokens", "OpenAI"),
    ("x-request-id", "for support"),
    ("x-robots-tag", "of this response, for crawlers that have a token"),
];

fn layer() -> HfTokenLayer {
    let source = TokenSource::value(Secret::new(TOKEN)).unwrap();
    HfTokenLayer::new("https://router.huggingface.co".parse().unwrap(), source)
}

/// What the caller gets of such headers, and of the same as trailers.
async fn received(layer: HfTokenLayer, sent: HeaderMap) -> [HeaderMap; 2] {
    let body = ScriptedBody::new([Step::Trailers(sent.clone())]);
    let mut response = Response::new(body);
    *response.headers_mut() = sent;
    let response = Mutex::new(Some(response));
    let client = service_fn(|_: Request<Empty<Bytes>>| {
        ready(Ok::<_, Infallible>(response.lock().unwrap().take().unwrap()))
    });
    let response = layer.layer(client).oneshot(Request::new(Empty::new())).await.unwrap();
    let (head, body) = response.into_parts();
    let trailers = body.collect().await.unwrap().trailers().cloned().unwrap_or_default();
    [head.headers, trailers]
}

fn one(name: &'static str, value: &str) -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static(name), value.parse().unwrap())])
}

#[tokio::test]
async fn headers_that_speak_for_the_gateway_do_not_pass_unless_they_are_allowed() {
    for (name, why) in TO_BROWSERS.iter().chain(ABOUT_CREDENTIALS).chain(TO_PROXIES) {
        for left in received(layer(), one(name, "x")).await {
            assert!(left.is_empty(), "{name}: {why}");
        }
        let allowing = layer().allow_response_header(HeaderName::from_static(name));
        for left in received(allowing, one(name, "x")).await {
            assert_eq!(left[*name], "x", "{name}");
        }
    }
}

#[tokio::test]
async fn headers_of_the_response_itself_pass() {
    for (name, why) in PASS {
        for left in received(layer(), one(name, "x")).await {
            assert_eq!(left[*name], "x", "{name}: {why}");
        }
    }
}

#[tokio::test]
async fn a_header_that_holds_the_token_in_any_spelling_is_removed() {
    let hex: String = TOKEN.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = TOKEN.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for value in [
        TOKEN.to_owned(),
        format!("Bearer {TOKEN}"),
        TOKEN.to_lowercase(),
        TOKEN.replace('_', "%5f"),
        TOKEN.replace('_', "\\u005f"),
        percent.to_lowercase(),
        percent,
        hex.to_uppercase(),
        hex,
        STANDARD.encode(TOKEN),
        STANDARD.encode(format!("Bearer {TOKEN}")),
        STANDARD.encode(format!("user:{TOKEN}")),
        URL_SAFE_NO_PAD.encode(format!("{{\"token\":\"{TOKEN}\"}}")),
    ] {
        let value = format!("https://a.example/?t={value}&x=1");
        for left in received(layer(), one("x-echo", &value)).await {
            assert!(left.is_empty(), "{value}");
        }
        // Also where its name is allowed.
        let allowing = layer().allow_response_header(HeaderName::from_static("link"));
        for left in received(allowing, one("link", &value)).await {
            assert!(left.is_empty(), "{value}");
        }
    }
}

#[tokio::test]
async fn a_header_whose_name_holds_the_token_is_removed_and_not_named() {
    log::listen(tracing::Level::WARN);
    let name = HeaderName::try_from(format!("x-{TOKEN}")).unwrap();
    let sent = HeaderMap::from_iter([(name, HeaderValue::from_static("1"))]);
    for left in received(layer(), sent).await {
        assert!(left.is_empty());
    }
    let text = log::taken();
    // The upstream repeats it in each response, and a stage warns once a minute.
    assert_eq!(text.matches("[redacted]").count(), 1, "{text}");
    assert!(!text.contains(&TOKEN.to_lowercase()), "{text}");
}
