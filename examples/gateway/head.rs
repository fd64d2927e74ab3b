//! Rejects requests with an ambiguous host.
//!
//! The gateway routes by path alone and never reads the host. A proxy in front of it does. A request
//! that two parties could read as sent to two hosts is rejected with 400 (RFC 9112 sections 3.2 and
//! 3.3, RFC 9113 section 8.3.1).

use std::{
    net::Ipv6Addr,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Bytes, HttpBody},
    http::{
        HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
        header::{EXPECT, HOST, HeaderName, TRANSFER_ENCODING},
        uri::Scheme,
    },
};
use pin_project_lite::pin_project;
use tower::Service;
use tower_inference::{
    body::ResponseBody,
    context::RequestContext,
    rejection::{Refusal, Rejection, RejectionFormat},
};

/// Returns the rejection of a request with an invalid head.
pub(crate) fn refused<T, B>(request: &Request<T>) -> Option<Response<ResponseBody<B>>>
where
    B: HttpBody<Data = Bytes>,
{
    let marks = Marks::of(request.headers());
    if let Some(fault) = fault(request, &marks) {
        let context = RequestContext::of(request.extensions()).cloned().unwrap_or_default();
        let rejection = Rejection::new(Refusal::InvalidParameters).with_detail(fault);
        return Some(RejectionFormat::default().for_request(request).respond(rejection, &context));
    }
    // hyper decodes `chunked` only. Other codings would pass as the body (RFC 9112 section 6.1). An
    // unknown expectation must be rejected (RFC 9110 section 10.1.1).
    let (coded, expects) = (marks.transfer_encoding, marks.expect);
    let status = if coded && lists(request, TRANSFER_ENCODING).any(|coding| !is(coding, "chunked"))
    {
        StatusCode::NOT_IMPLEMENTED
    } else if expects && lists(request, EXPECT).any(|expected| !is(expected, "100-continue")) {
        StatusCode::EXPECTATION_FAILED
    } else {
        return None;
    };
    let mut response = Response::new(ResponseBody::full(Bytes::new()));
    *response.status_mut() = status;
    Some(response)
}

/// Returns the members of a list. Several headers can carry one list (RFC 9110 section 5.6.1).
fn lists<T>(request: &Request<T>, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    let values = request.headers().get_all(name).into_iter();
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
}

fn is(member: &[u8], word: &str) -> bool {
    member.trim_ascii().eq_ignore_ascii_case(word.as_bytes())
}

/// Rejects the requests behind layers of ours, which change the type of the body.
#[derive(Clone)]
pub(crate) struct Checked<S>(pub(crate) S);

impl<S, R, B> Service<Request<R>> for Checked<S>
where
    S: Service<Request<R>, Response = Response<B>>,
    B: HttpBody<Data = Bytes>,
{
    type Response = Response<ResponseBody<B>>;
    type Error = S::Error;
    type Future = CheckedFuture<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    // Not inlined, so that the caller has the future made in its place.
    #[inline(never)]
    fn call(&mut self, request: Request<R>) -> Self::Future {
        match refused(&request) {
            Some(response) => CheckedFuture::Refused { response: Some(Box::new(response)) },
            None => CheckedFuture::passed(&mut self.0, request),
        }
    }
}

pin_project! {
    #[project = CheckedProj]
    pub(crate) enum CheckedFuture<F, B> {
        // `None` after completion. Boxed, because most requests pass.
        Refused { response: Option<Box<Response<ResponseBody<B>>>> },
        Passed { #[pin] future: F },
    }
}

impl<F, B> CheckedFuture<F, B> {
    // Of its own, so that the future is made in its place.
    #[inline(never)]
    fn passed<S, R>(inner: &mut S, request: Request<R>) -> Self
    where
        S: Service<Request<R>, Future = F>,
    {
        Self::Passed { future: inner.call(request) }
    }
}

impl<F, B, E> Future for CheckedFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            CheckedProj::Refused { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(*response)),
                None => Poll::Pending,
            },
            CheckedProj::Passed { future } => {
                future.poll(cx).map_ok(|response| response.map(ResponseBody::inner))
            }
        }
    }
}

/// The headers of interest, found in one pass over all of them.
#[derive(Default)]
struct Marks<'a> {
    host: Option<&'a HeaderValue>,
    several_hosts: bool,
    transfer_encoding: bool,
    expect: bool,
}

impl<'a> Marks<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let mut marks = Self::default();
        for (name, value) in headers {
            if *name == HOST {
                marks.several_hosts |= marks.host.replace(value).is_some();
            }
            marks.transfer_encoding |= *name == TRANSFER_ENCODING;
            marks.expect |= *name == EXPECT;
        }
        marks
    }
}

fn fault<T>(request: &Request<T>, marks: &Marks<'_>) -> Option<&'static str> {
    let (uri, http1) = (request.uri(), request.version() < Version::HTTP_2);
    let host = marks.host;
    if marks.several_hosts {
        return Some("the request has more than one host header");
    }
    if uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS) {
        return Some("the scheme must be http or https");
    }
    // Only CONNECT has the authority form and only OPTIONS has `*` (RFC 9112 sections 3.2.3, 3.2.4).
    let authority_form = uri.authority().is_some() && uri.scheme().is_none();
    if authority_form && request.method() != Method::CONNECT {
        return Some("the request target must be a path, not an authority");
    }
    if uri.path() == "*" && request.method() != Method::OPTIONS {
        return Some("only OPTIONS may have the request target *");
    }
    let authority = match uri.authority() {
        // A request must not have user information (RFC 9110 section 4.2.4).
        Some(authority) => match Authority::of(authority.as_str().as_bytes()) {
            None => return Some("the authority must be a host with an optional port"),
            authority => authority,
        },
        None => None,
    };
    let host = match host {
        Some(host) => match Authority::of(host.as_bytes()) {
            None => return Some("the host header must be a host with an optional port"),
            host => host,
        },
        None if request.version() == Version::HTTP_11 => {
            return Some("the host header is missing");
        }
        None if !http1 && authority.is_none() => return Some("the authority is missing"),
        None => None,
    };
    // One reader decodes once and another one twice (RFC 9112 section 6.1).
    let chunked = |coding: &&[u8]| is(coding, "chunked");
    if marks.transfer_encoding && lists(request, TRANSFER_ENCODING).filter(chunked).nth(1).is_some()
    {
        return Some("the transfer-encoding must name chunked once");
    }
    // In HTTP/1.1 the target overrides a different host header (RFC 9112 section 3.2.2).
    let (Some(host), Some(authority)) = (host, authority) else { return None };
    let differ = !http1 && !host.is(&authority, uri);
    differ.then_some("the host header and the authority must not differ")
}

/// `uri-host [ ":" port ]` (RFC 9110 section 7.2).
struct Authority<'a> {
    host: &'a [u8],
    port: Option<u16>,
}

impl<'a> Authority<'a> {
    fn of(text: &'a [u8]) -> Option<Self> {
        // Colons in brackets belong to an IPv6 address. No name has brackets.
        let end = match text.first() {
            Some(b'[') => text.iter().rposition(|byte| *byte == b']').map_or(0, |at| at + 1),
            _ => 0,
        };
        let colon = text.iter().skip(end).position(|byte| *byte == b':');
        let (host, port) = text.split_at(colon.map_or(text.len(), |colon| end + colon));
        let port = match port.strip_prefix(b":") {
            None | Some(b"") => None,
            // `parse` would accept a sign.
            Some(port) if !port.iter().all(u8::is_ascii_digit) => return None,
            Some(port) => Some(std::str::from_utf8(port).ok()?.parse().ok()?),
        };
        is_host(host).then_some(Self { host, port })
    }

    /// Returns whether both name one server for a request to `uri`.
    fn is(&self, other: &Self, uri: &Uri) -> bool {
        let default = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.unwrap_or(default) == other.port.unwrap_or(default)
    }
}

/// Returns whether `host` is an address in brackets or a name in the characters of RFC 3986 section
/// 3.2.2. It must not be empty (RFC 9110 section 4.2.1).
fn is_host(host: &[u8]) -> bool {
    if let Some(address) = host.strip_prefix(b"[") {
        let address = address.strip_suffix(b"]").and_then(|text| std::str::from_utf8(text).ok());
        return address.is_some_and(|text| text.parse::<Ipv6Addr>().is_ok());
    }
    let legal = |byte: &u8| LEGAL.get(usize::from(*byte)).is_some_and(|legal| *legal);
    !host.is_empty() && host.iter().all(legal)
}

/// The characters of a name, as a table because each request has a host.
const LEGAL: [bool; 256] = {
    let marks = b"-._~%!$&'()*+,;=";
    let mut legal = [false; 256];
    let mut byte = 0;
    while byte < legal.len() {
        legal[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut mark = 0;
    while mark < marks.len() {
        legal[marks[mark] as usize] = true;
        mark += 1;
    }
    legal
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for text in [
            "gateway",
            "gateway.example:8080",
            "gateway_1.svc.cluster.local",
            "127.0.0.1:",
            "[::1]",
            "[::1]:65535",
            "xn--bcher-kva.example",
        ] {
            assert!(Authority::of(text.as_bytes()).is_some(), "{text}");
        }
        for text in [
            "",
            ":80",
            "a:b",
            "a:-1",
            "a:+1",
            "a:65536",
            "a:1:2",
            "user@a",
            "user:word@a",
            "a b",
            "a/b",
            "a?b",
            "a,b:80,c",
            "http://a",
            "[::1",
            "::1",
            "[a]",
            "[]",
            "a]",
            "[::1]x",
            "bücher.example",
            "a\u{7f}",
        ] {
            assert!(Authority::of(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn a_default_port_and_capital_letters_make_no_other_host() {
        let same = |one: &str, other: &str, uri: &'static str| {
            let of = |text| Authority::of(str::as_bytes(text)).unwrap();
            of(one).is(&of(other), &Uri::from_static(uri))
        };
        assert!(same("A.example", "a.example", "https://x"));
        assert!(same("a:443", "a", "https://x"));
        assert!(same("a:80", "a", "http://x"));
        assert!(!same("a:80", "a", "https://x"));
        assert!(!same("a", "b", "https://x"));
        assert!(!same("a:1", "a:2", "https://x"));
    }
}
