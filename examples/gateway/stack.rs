//! The layers, around the upstream.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    response::Response,
};
use tower::{Layer, Service, ServiceExt, util::BoxCloneSyncService};
use tower_inference::{
    auth::AuthLayer,
    client::HttpsClient,
    hf::HfTokenLayer,
    payload::{Payload, PayloadLayer},
    stack::Stack,
    upstream::UpstreamLayer,
};

use crate::{
    Error,
    routes::{Inference, Stacked},
};

/// What stands behind the open routes: the same for both kinds, but for how the payload travels.
pub(crate) fn inference(
    auth: AuthLayer,
    hf_token: HfTokenLayer,
    max_body: u64,
) -> Result<Inference, Error> {
    let client: HttpsClient<Payload> = HttpsClient::builder().build()?;
    let stack = Stack::new().auth(auth).upstream(UpstreamLayer::new()).hf_token(hf_token);
    let buffered = stack.clone().payload(PayloadLayer::new().limit(max_body));
    let streamed = stack.payload(PayloadLayer::streamed().limit(max_body));
    Ok(Inference {
        buffered: boxed(buffered.layer(client.clone())),
        streamed: boxed(streamed.layer(client)),
    })
}

/// Gives a stack a name, and its answers the body that axum has.
fn boxed<S, B>(stack: S) -> Stacked
where
    S: Service<Request, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes, Error: Into<Error>> + Send + 'static,
{
    BoxCloneSyncService::new(stack.map_response(|response| response.map(Body::new)))
}
