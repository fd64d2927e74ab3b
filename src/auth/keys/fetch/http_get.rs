//! One GET request through the user's HTTP client.

use std::{error::Error, future::poll_fn, io, pin::pin, time::Duration};

use bytes::{Buf, Bytes};
use http::{HeaderValue, Request, Response, StatusCode, Uri, header::ACCEPT};
use http_body::Body;
use tower_service::Service;

use crate::{auth::keys::error::KeysFault, plain_http::PlainHttpTo};

#[derive(Clone, Copy)]
pub(crate) struct ReadLimits {
    pub(crate) max_bytes: usize,
    pub(crate) timeout: Duration,
    /// Whether any address may be reached without TLS.
    pub(crate) plain_http: bool,
}

/// Returns the body of the response. The timeout covers the whole exchange.
pub(crate) async fn http_get<C, Q, B>(
    client: C,
    uri: Uri,
    limits: ReadLimits,
) -> Result<Bytes, KeysFault>
where
    C: Service<Request<Q>, Response = Response<B>>,
    C::Error: Into<Box<dyn Error + Send + Sync>>,
    Q: Default,
    B: Body,
{
    let body = send_and_read(client, uri, limits);
    tokio::time::timeout(limits.timeout, body).await.unwrap_or(Err(KeysFault::Timeout))
}

async fn send_and_read<C, Q, B>(
    mut client: C,
    uri: Uri,
    limits: ReadLimits,
) -> Result<Bytes, KeysFault>
where
    C: Service<Request<Q>, Response = Response<B>>,
    C::Error: Into<Box<dyn Error + Send + Sync>>,
    Q: Default,
    B: Body,
{
    let mut request = Request::new(Q::default());
    *request.uri_mut() = uri;
    if limits.plain_http
        && let Some(authority) = request.uri().authority()
        && let Some(permission) = PlainHttpTo::needed(request.uri().scheme(), authority)
    {
        permission.allow(&mut request);
    }
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    poll_fn(|cx| client.poll_ready(cx)).await.map_err(unreachable)?;
    let response = client.call(request).await.map_err(unreachable)?;
    if response.status() != StatusCode::OK {
        return Err(KeysFault::Status(response.status().as_u16()));
    }

    let max_bytes = limits.max_bytes;
    let mut body = pin!(response.into_body());
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(KeysFault::TooLarge);
    }
    let mut content = Vec::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|_| KeysFault::Unreachable(None))?;
        let Ok(mut data) = frame.into_data() else { continue };
        if data.remaining() > max_bytes - content.len() {
            return Err(KeysFault::TooLarge);
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            let length = chunk.len();
            content.extend_from_slice(chunk);
            data.advance(length);
        }
    }
    Ok(content.into())
}

/// Keeps the kind of the I/O error among the causes. The message of an error may hold a URL.
fn unreachable(error: impl Into<Box<dyn Error + Send + Sync>>) -> KeysFault {
    let error = error.into();
    let first: &(dyn Error + 'static) = &*error;
    // Bounded because an error may be its own source.
    let causes =
        std::iter::successors(Some(first), |error: &&(dyn Error + 'static)| (*error).source());
    let mut causes = causes.take(16);
    KeysFault::Unreachable(causes.find_map(|error| error.downcast_ref().map(io::Error::kind)))
}
