//! A copy of a request that was sent.

use std::{fmt, mem};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use super::buffered::Buffered;
#[cfg(feature = "client")]
use super::stateless::{is_stateful, is_stateless};
use crate::context::RequestContext;

/// A copy of a request with a buffered body. The body shares its bytes.
///
/// The [`RequestContext`] is the only extension of the copy. Each other one would be an allocation of
/// each request.
pub(crate) struct RequestCopy {
    // The number of headers, the method and the URI, then the name and the value of each header. A
    // `HeaderMap` would be two allocations and one more for each value that owns its bytes. Inline,
    // because each owner of a copy is boxed.
    head: Head,
    sensitive: SensitiveValues,
    body: Buffered,
    context: Option<RequestContext>,
}

/// The bytes of most heads. Those of the SDKs have some 600, and a token more, which is not among
/// them. A box of a copy stays below 1,032 bytes, up to which glibc's allocator is fast.
const USUAL_HEAD: usize = 768;

/// The bytes of a head.
struct Head {
    few: [u8; USUAL_HEAD],
    length: usize,
    // In place of `few`.
    many: Option<Box<[u8]>>,
}

impl Head {
    fn bytes(&self) -> &[u8] {
        match &self.many {
            Some(many) => many.get(..self.length).unwrap_or_default(),
            None => self.few.get(..self.length).unwrap_or_default(),
        }
    }
}

/// Marks a header whose value is one of the sensitive ones.
const SENSITIVE: u32 = 1 << 31;

/// The sensitive values of a head in their order. They share their bytes with the request, because the
/// owner of a token's bytes wipes them and no other copy of them must stay.
#[derive(Default)]
struct SensitiveValues {
    // Most requests have one, which costs no allocation.
    first: Option<HeaderValue>,
    others: Vec<HeaderValue>,
}

impl SensitiveValues {
    fn push(&mut self, value: HeaderValue) {
        if self.first.is_none() {
            self.first = Some(value);
        } else {
            self.others.push(value);
        }
    }

    fn iter(&self) -> impl Iterator<Item = &HeaderValue> {
        self.first.iter().chain(&self.others)
    }
}

impl RequestCopy {
    /// Copies a request without the headers that `is_left_out` selects. `None` when its body is
    /// streamed or of a type that cannot be copied.
    pub(crate) fn of<B: 'static>(
        request: &Request<B>,
        is_left_out: impl Fn(&HeaderName) -> bool,
    ) -> Option<Self> {
        let mut copy = Self {
            head: Head { few: [0; USUAL_HEAD], length: 0, many: None },
            sensitive: SensitiveValues::default(),
            body: Buffered::of(request.body())?,
            context: RequestContext::of(request.extensions()).cloned(),
        };
        let usual = write_head(request, &is_left_out, &mut copy.head.few, &mut copy.sensitive);
        if let Some(length) = usual {
            copy.head.length = length;
        } else {
            let mut many = vec![0; most_bytes(request)].into_boxed_slice();
            copy.sensitive = SensitiveValues::default();
            copy.head.length = write_head(request, &is_left_out, &mut many, &mut copy.sensitive)?;
            copy.head.many = Some(many);
        }
        Some(copy)
    }

    /// Returns the request once more. `None` when the body is of another type than `B`.
    pub(crate) fn request<B: 'static>(&self) -> Option<Request<B>> {
        let mut request = Request::new(self.body.body()?);
        let (method, uri, headers) = self.head()?;
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        if let Some(context) = &self.context {
            request.extensions_mut().insert(context.clone());
        }
        Some(request)
    }

    #[cfg(feature = "client")]
    pub(crate) const fn context(&self) -> Option<&RequestContext> {
        self.context.as_ref()
    }

    /// Whether the upstream keeps something of the request. Such a request is never repeated.
    #[cfg(feature = "client")]
    pub(crate) fn is_stateful(&self) -> bool {
        self.head()
            .is_none_or(|(_, uri, headers)| is_stateful(&uri, &headers, &self.body.payload()))
    }

    /// Whether sending the request twice changes nothing but its cost.
    #[cfg(feature = "client")]
    pub(crate) fn is_stateless(&self) -> bool {
        self.head().is_some_and(|(method, uri, headers)| {
            is_stateless(&method, &uri, &headers, &self.body.payload())
        })
    }

    fn head(&self) -> Option<(Method, Uri, HeaderMap)> {
        let mut rest = self.head.bytes();
        let headers = take_u32(&mut rest)?;
        let method = take_u32(&mut rest)?;
        let method = Method::from_bytes(take(&mut rest, method as usize)?).ok()?;
        let uri = take_u32(&mut rest)?;
        let uri = Uri::try_from(take(&mut rest, uri as usize)?).ok()?;
        let mut headers = HeaderMap::with_capacity(headers as usize);
        let mut sensitive = self.sensitive.iter();
        while !rest.is_empty() {
            let (name, length) = (take_u32(&mut rest)?, take_u32(&mut rest)?);
            let name = HeaderName::from_bytes(take(&mut rest, name as usize)?).ok()?;
            let value = if length == SENSITIVE {
                sensitive.next()?.clone()
            } else {
                HeaderValue::from_bytes(take(&mut rest, length as usize)?).ok()?
            };
            headers.append(name, value);
        }
        Some((method, uri, headers))
    }
}

impl fmt::Debug for RequestCopy {
    // Without headers and body, which hold credentials and prompts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestCopy").finish_non_exhaustive()
    }
}

/// The parts of a URI as it is written.
fn uri_parts(uri: &Uri) -> [&str; 4] {
    [
        uri.scheme_str().unwrap_or_default(),
        if uri.scheme_str().is_some() { "://" } else { "" },
        uri.authority().map_or("", |authority| authority.as_str()),
        uri.path_and_query().map_or("", |path| path.as_str()),
    ]
}

/// Returns a number of bytes that a head has room in.
fn most_bytes<B>(request: &Request<B>) -> usize {
    let uri: usize = uri_parts(request.uri()).iter().map(|part| part.len()).sum();
    let of_header = |(name, value): (&HeaderName, &HeaderValue)| {
        2 * size_of::<u32>() + name.as_str().len() + value.len()
    };
    let headers: usize = request.headers().iter().map(of_header).sum();
    3 * size_of::<u32>() + request.method().as_str().len() + uri + headers
}

/// Writes a head. Returns its length, or `None` when `room` is too small.
fn write_head<B>(
    request: &Request<B>,
    is_left_out: impl Fn(&HeaderName) -> bool,
    room: &mut [u8],
    sensitive: &mut SensitiveValues,
) -> Option<usize> {
    let whole = room.len();
    let rest = &mut &mut *room;
    let (method, uri) = (request.method().as_str(), uri_parts(request.uri()));
    // The number of headers that are kept is at most this.
    put_lengths(rest, request.headers().len(), method.len() as u32)?;
    put(rest, method.as_bytes())?;
    put(rest, &length_of(uri.iter().map(|part| part.len()).sum())?.to_ne_bytes())?;
    for part in uri {
        put(rest, part.as_bytes())?;
    }
    for (name, value) in request.headers() {
        if is_left_out(name) {
            continue;
        }
        let name = name.as_str();
        if value.is_sensitive() {
            put_lengths(rest, name.len(), SENSITIVE)?;
            put(rest, name.as_bytes())?;
            sensitive.push(value.clone());
        } else {
            put_lengths(rest, name.len(), length_of(value.len())?)?;
            put(rest, name.as_bytes())?;
            put(rest, value.as_bytes())?;
        }
    }
    Some(whole - rest.len())
}

fn length_of(length: usize) -> Option<u32> {
    u32::try_from(length).ok().filter(|length| *length < SENSITIVE)
}

/// Writes two numbers in one step.
fn put_lengths(room: &mut &mut [u8], first: usize, second: u32) -> Option<()> {
    let [a, b, c, d] = length_of(first)?.to_ne_bytes();
    let [e, f, g, h] = second.to_ne_bytes();
    put(room, &[a, b, c, d, e, f, g, h])
}

fn put(room: &mut &mut [u8], bytes: &[u8]) -> Option<()> {
    let (to, rest) = mem::take(room).split_at_mut_checked(bytes.len())?;
    to.copy_from_slice(bytes);
    *room = rest;
    Some(())
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_ne_bytes(*taken))
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;
    use http_body_util::Full;

    use super::*;
    use crate::payload::Payload;

    #[test]
    fn a_copy_is_the_request() {
        for uri in ["/v1/models?a=%2F", "https://a.example:8443/p//x?y", "/"] {
            let mut secret = HeaderValue::from_static("Bearer x");
            secret.set_sensitive(true);
            let mut request = Request::post(uri)
                .header("x-a", "1")
                .header("x-a", HeaderValue::from_bytes(b"\xe4").unwrap())
                .header("x-empty", "")
                .header(AUTHORIZATION, secret)
                .body(Payload::buffered("{}"))
                .unwrap();
            let context = RequestContext::ensure(request.extensions_mut());
            context.set_route("r");
            let copy = RequestCopy::of(&request, |_| false).unwrap();
            let again: Request<Payload> = copy.request().unwrap();
            assert_eq!((again.method(), again.uri()), (request.method(), request.uri()));
            assert_eq!(again.headers(), request.headers());
            assert!(again.headers()[AUTHORIZATION].is_sensitive());
            assert_eq!(again.body().bytes().unwrap(), "{}");
            assert_eq!(RequestContext::of(again.extensions()).unwrap().route(), Some("r"));
            let other = RequestCopy::of(&request, |name| name == AUTHORIZATION).unwrap();
            assert_eq!(other.request::<Payload>().unwrap().headers().len(), 3);
            assert!(copy.request::<Full<bytes::Bytes>>().is_none());
        }
    }

    #[test]
    fn a_sensitive_value_is_not_copied() {
        let secrets = ["Bearer hf_one", "hf_two", "hf_three"].map(|secret| {
            let owned = bytes::Bytes::from_owner(secret.as_bytes().to_vec());
            let mut value = HeaderValue::from_maybe_shared(owned).unwrap();
            value.set_sensitive(true);
            value
        });
        let [bearer, two, three] = &secrets;
        let request = Request::post("/")
            .header("x-key", two)
            .header("x-a", "1")
            .header(AUTHORIZATION, bearer)
            .header("x-key", "plain")
            .header("x-key", three)
            .body(Payload::buffered("{}"))
            .unwrap();
        let copy = RequestCopy::of(&request, |_| false).unwrap();
        let head = String::from_utf8_lossy(copy.head.bytes());
        assert!(head.contains("authorization") && !head.contains("hf_"), "{head}");
        let again: Request<Payload> = copy.request().unwrap();
        assert_eq!(again.headers(), request.headers());
        let copied: Vec<_> = again.headers().get_all("x-key").iter().collect();
        assert!(!copied[1].is_sensitive());
        for (copied, value) in
            [&again.headers()[AUTHORIZATION], copied[0], copied[2]].into_iter().zip(&secrets)
        {
            assert!(copied.is_sensitive());
            // One owner, which wipes a token.
            assert_eq!(copied.as_bytes().as_ptr(), value.as_bytes().as_ptr());
        }
    }

    #[test]
    fn a_streamed_body_has_no_copy() {
        let body = Payload::streamed(Full::new(bytes::Bytes::from_static(b"x")));
        assert!(RequestCopy::of(&Request::new(body), |_| false).is_none());
    }
}
