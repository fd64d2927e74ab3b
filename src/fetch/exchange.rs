//! One exchange through the user's HTTP client.

use std::{error::Error, future::poll_fn, pin::pin, time::Duration};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header::ACCEPT};
use http_body::Body;
use tower_service::Service;

use super::fault::{FetchFault, short};
use crate::{address_reach::Reach, plain_http::PlainHttpTo};

#[derive(Clone, Copy)]
pub(crate) struct ExchangeLimits {
    pub(crate) max_bytes: usize,
    /// The time from the connection to the last byte.
    pub(crate) timeout: Duration,
    /// Whether any address may be reached without TLS.
    pub(crate) plain_http: bool,
    pub(crate) reach: Reach,
    /// Whether the body of a 400 is read, which names an error of OAuth.
    pub(crate) read_bad_request: bool,
}

pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Empty unless the status is 200, or 400 where that is read. Other bodies are not read.
    pub(crate) body: Bytes,
}

/// Sends a request that asks for JSON. The timeout covers the whole exchange. No redirect is
/// followed.
pub(crate) async fn exchange<C, Q, B>(
    client: C,
    request: Request<Q>,
    limits: ExchangeLimits,
) -> Result<Reply, FetchFault>
where
    C: Service<Request<Q>, Response = Response<B>>,
    C::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body,
{
    let reply = send_and_read(client, request, limits);
    tokio::time::timeout(limits.timeout, reply).await.unwrap_or(Err(FetchFault::Timeout))
}

async fn send_and_read<C, Q, B>(
    mut client: C,
    mut request: Request<Q>,
    limits: ExchangeLimits,
) -> Result<Reply, FetchFault>
where
    C: Service<Request<Q>, Response = Response<B>>,
    C::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body,
{
    let host = request.uri().host().unwrap_or_default().to_owned();
    if !limits.reach.allows_host(&host) {
        return Err(FetchFault::AddressRefused { host: short(host), reach: limits.reach });
    }
    limits.reach.limit(&mut request);
    if limits.plain_http
        && let Some(authority) = request.uri().authority()
        && let Some(permission) = PlainHttpTo::needed(request.uri().scheme(), authority)
    {
        permission.allow(&mut request);
    }
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    let failed = |error: C::Error| FetchFault::of_client(error, &host);
    poll_fn(|cx| client.poll_ready(cx)).await.map_err(failed)?;
    let response = client.call(request).await.map_err(failed)?;
    let (parts, body) = response.into_parts();
    let is_read = parts.status == StatusCode::OK
        || limits.read_bad_request && parts.status == StatusCode::BAD_REQUEST;
    let body = if is_read { read(body, limits.max_bytes).await? } else { Bytes::new() };
    Ok(Reply { status: parts.status, headers: parts.headers, body })
}

/// Reads a body and counts its bytes as they come.
async fn read<B: Body>(body: B, max_bytes: usize) -> Result<Bytes, FetchFault> {
    let mut body = pin!(body);
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(FetchFault::TooLarge);
    }
    let mut content = Vec::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|_| FetchFault::Unreachable(None))?;
        let Ok(mut data) = frame.into_data() else { continue };
        if data.remaining() > max_bytes - content.len() {
            return Err(FetchFault::TooLarge);
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
