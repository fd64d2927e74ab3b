//! One GET request through the user's HTTP client.

use std::{future::poll_fn, pin::pin, time::Duration};

use bytes::{Buf, Bytes};
use http::{HeaderValue, Request, Response, StatusCode, Uri, header::ACCEPT};
use http_body::Body;
use tower_service::Service;

use crate::auth::keys::error::KeysError;

#[derive(Clone, Copy)]
pub(crate) struct ReadLimits {
    pub(crate) max_bytes: usize,
    pub(crate) timeout: Duration,
}

/// Returns the body of the response. The timeout covers the whole exchange.
pub(crate) async fn http_get<C, Q, B>(
    client: C,
    uri: Uri,
    limits: ReadLimits,
) -> Result<Bytes, KeysError>
where
    C: Service<Request<Q>, Response = Response<B>>,
    Q: Default,
    B: Body,
{
    let body = send_and_read(client, uri, limits.max_bytes);
    tokio::time::timeout(limits.timeout, body).await.unwrap_or(Err(KeysError::Timeout))
}

async fn send_and_read<C, Q, B>(
    mut client: C,
    uri: Uri,
    max_bytes: usize,
) -> Result<Bytes, KeysError>
where
    C: Service<Request<Q>, Response = Response<B>>,
    Q: Default,
    B: Body,
{
    let mut request = Request::new(Q::default());
    *request.uri_mut() = uri;
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    poll_fn(|cx| client.poll_ready(cx)).await.map_err(|_| KeysError::Unreachable)?;
    let response = client.call(request).await.map_err(|_| KeysError::Unreachable)?;
    if response.status() != StatusCode::OK {
        return Err(KeysError::Status(response.status().as_u16()));
    }

    let mut body = pin!(response.into_body());
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(KeysError::TooLarge);
    }
    let mut content = Vec::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|_| KeysError::Unreachable)?;
        let Ok(mut data) = frame.into_data() else { continue };
        if data.remaining() > max_bytes - content.len() {
            return Err(KeysError::TooLarge);
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
