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

/// The bytes of most heads. Those of the SDKs have some 600, and a token more.
const USUAL_HEAD: usize = 1_024;

/// The bytes of a head.
struct Head {
    few: [u8; USUAL_HEAD],
    length: usize,
    // In place of `few`.
    many: Option<Box<[u8]>>,
}

impl Head {
    fn new(length: usize) -> Self {
        let many = (length > USUAL_HEAD).then(|| vec![0; length].into_boxed_slice());
        Self { few: [0; USUAL_HEAD], length, many }
    }

    fn bytes(&self) -> &[u8] {
        match &self.many {
            Some(many) => many,
            None => self.few.get(..self.length).unwrap_or_default(),
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.many {
            Some(many) => many,
            None => self.few.get_mut(..self.length).unwrap_or_default(),
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
    others: Box<[HeaderValue]>,
}

impl SensitiveValues {
    fn of<'a>(values: impl IntoIterator<Item = &'a HeaderValue>) -> Self {
        let mut values = values.into_iter().filter(|value| value.is_sensitive()).cloned();
        Self { first: values.next(), others: values.collect() }
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
        let body = Buffered::of(request.body())?;
        let (method, uri) = (request.method().as_str(), request.uri());
        let parts = [
            uri.scheme_str().unwrap_or_default(),
            if uri.scheme_str().is_some() { "://" } else { "" },
            uri.authority().map_or("", |authority| authority.as_str()),
            uri.path_and_query().map_or("", |path| path.as_str()),
        ];
        let kept = || request.headers().iter().filter(|(name, _)| !is_left_out(name));
        let of_header = |(name, value): (&HeaderName, &HeaderValue)| {
            let value = if value.is_sensitive() { 0 } else { value.len() };
            2 * size_of::<u32>() + name.as_str().len() + value
        };
        let uri_length: usize = parts.iter().map(|part| part.len()).sum();
        let (headers, of_headers) =
            kept().map(of_header).fold((0, 0), |(count, sum), length| (count + 1, sum + length));
        let length = 3 * size_of::<u32>() + method.len() + uri_length + of_headers;
        let mut head = Head::new(length);
        let room = &mut head.bytes_mut();
        put_length(room, headers, 0)?;
        put_length(room, method.len(), 0)?;
        put(room, method.as_bytes())?;
        put_length(room, uri_length, 0)?;
        for part in parts {
            put(room, part.as_bytes())?;
        }
        for (name, value) in kept() {
            put_length(room, name.as_str().len(), 0)?;
            if value.is_sensitive() {
                put_length(room, 0, SENSITIVE)?;
                put(room, name.as_str().as_bytes())?;
            } else {
                put_length(room, value.len(), 0)?;
                put(room, name.as_str().as_bytes())?;
                put(room, value.as_bytes())?;
            }
        }
        let sensitive = SensitiveValues::of(kept().map(|(_, value)| value));
        let context = RequestContext::of(request.extensions()).cloned();
        Some(Self { head, sensitive, body, context })
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

fn put_length(room: &mut &mut [u8], length: usize, flag: u32) -> Option<()> {
    let length = u32::try_from(length).ok().filter(|length| *length < SENSITIVE)?;
    put(room, &(length | flag).to_ne_bytes())
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
