use std::{borrow::Cow, fmt::Write as _};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{CONTENT_TYPE, WWW_AUTHENTICATE},
};
use serde_json::{Map, Value, json};

use super::{refusal::Refusal, rejection::Rejection};
use crate::{
    body::ResponseBody,
    context::{Layer, RequestContext},
};

/// The format of rejections. A gRPC request gets a gRPC status in both formats.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum RejectionFormat {
    /// `application/problem+json` (RFC 9457) with the `error` member of OpenAI's API.
    #[default]
    Problem,
    /// `{"message": …}` with `x-amzn-errortype` and the statuses of API Gateway.
    ApiGateway,
}

impl RejectionFormat {
    /// Returns the responder for `request`. Call it before the request is passed on.
    pub fn for_request<B>(self, request: &Request<B>) -> Responder {
        self.for_content_type(None, request.headers().get(CONTENT_TYPE))
    }

    /// Returns the responder of a layer of this crate for `request`.
    pub(crate) fn for_layer<B>(self, layer: Layer, request: &Request<B>) -> Responder {
        Responder { layer: Some(layer), ..self.for_request(request) }
    }

    /// Returns the responder for a request with this `content-type`.
    pub(crate) fn for_content_type(
        self,
        layer: Option<Layer>,
        value: Option<&HeaderValue>,
    ) -> Responder {
        let grpc = value.is_some_and(|value| is_grpc(value.as_bytes()));
        Responder { format: self, grpc, layer }
    }
}

/// Matches `application/grpc` with or without a message format or parameters.
///
/// It does not match `application/grpc-web`. Its trailers are in the body.
fn is_grpc(content_type: &[u8]) -> bool {
    content_type.split_at_checked(b"application/grpc".len()).is_some_and(|(start, rest)| {
        start.eq_ignore_ascii_case(b"application/grpc")
            && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
    })
}

/// Renders the rejections of one request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Responder {
    format: RejectionFormat,
    grpc: bool,
    // `None` for the program's own layers and handlers.
    layer: Option<Layer>,
}

impl Responder {
    /// Renders a rejection as a response.
    ///
    /// It records the refusal in `context` and puts the rejection into the extensions of the response.
    pub fn respond<B>(
        self,
        rejection: Rejection,
        context: &RequestContext,
    ) -> Response<ResponseBody<B>> {
        let refusal = rejection.refusal();
        context.set_refusal(refusal.slug());
        if let Some(layer) = self.layer {
            context.reject(layer);
        }
        let id = context.request_id();
        let (status, content_type, body) = if self.grpc {
            // Trailers-only: the head carries the status and no body follows (gRPC over HTTP/2,
            // "Responses").
            (StatusCode::OK, "application/grpc", Bytes::new())
        } else {
            let row = refusal.row();
            let (status, content_type, body) = match self.format {
                RejectionFormat::Problem => {
                    (row.status, "application/problem+json", problem(&rejection, id))
                }
                RejectionFormat::ApiGateway => (
                    row.gateway_status,
                    "application/json",
                    json!({ "message": gateway_message(&rejection) }),
                ),
            };
            (status, content_type, Bytes::from(body.to_string()))
        };

        let mut response = Response::new(ResponseBody::full(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        for (name, value) in rejection.headers() {
            headers.append(name, value);
        }
        if refusal.status() == StatusCode::UNAUTHORIZED {
            // A 401 has at least one challenge (RFC 9110 section 11.6.1).
            headers.entry(WWW_AUTHENTICATE).or_insert(HeaderValue::from_static("Bearer"));
        }
        if self.grpc {
            headers.insert(GRPC_STATUS, HeaderValue::from(u16::from(refusal.row().grpc_status)));
            headers.insert(GRPC_MESSAGE, grpc_message(rejection.detail()));
        } else if self.format == RejectionFormat::ApiGateway {
            let error = HeaderValue::from_static(refusal.row().gateway_error);
            headers.insert(AMZN_ERROR_TYPE, error);
            if let Some(id) = id.and_then(|id| HeaderValue::from_str(id).ok()) {
                headers.insert(AMZN_REQUEST_ID, id);
            }
        }
        response.extensions_mut().insert(rejection);
        response
    }
}

const AMZN_ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const AMZN_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

fn problem(rejection: &Rejection, id: Option<&str>) -> Value {
    let row = rejection.refusal().row();
    let mut problem = Map::new();
    let mut member = |name: &str, value: Value| problem.insert(name.to_owned(), value);
    member("type", format!("urn:tower-inference:refusal:{}", row.slug).into());
    member("title", row.title.into());
    member("status", row.status.as_u16().into());
    member("detail", rejection.detail().into());
    let error = json!({
        "message": rejection.detail(),
        "type": row.openai_type,
        "code": row.slug.replace('-', "_"),
    });
    member("error", error);
    if let Some(id) = id {
        member("instance", id.into());
    }
    if let Some(position) = rejection.position() {
        member("position", position.into());
    }
    if !rejection.violations().is_empty() {
        let errors = rejection.violations().iter();
        let errors = errors.map(
            |own| json!({ "pointer": own.pointer, "keyword": own.keyword, "detail": own.detail }),
        );
        member("errors", errors.collect());
    }
    Value::Object(problem)
}

/// Returns the `message` of API Gateway.
///
/// It is the same for every rejection of one refusal, except that `invalid-parameters` names the
/// required parameters that are missing or blank.
fn gateway_message(rejection: &Rejection) -> Cow<'static, str> {
    let message = Cow::Borrowed(rejection.refusal().row().gateway_message);
    if rejection.refusal() != Refusal::InvalidParameters {
        return message;
    }
    let missing = rejection.violations().iter().filter(|own| own.keyword == "required");
    let names = missing.filter_map(|own| own.pointer.rsplit('/').next());
    let names: Vec<_> = names.map(|name| name.replace("~1", "/").replace("~0", "~")).collect();
    if names.is_empty() {
        return message;
    }
    format!("Missing required request parameters: [{}]", names.join(", ")).into()
}

/// Percent-encodes everything except printable ASCII without `%` (gRPC over HTTP/2,
/// "Status-Message").
fn grpc_message(detail: &str) -> HeaderValue {
    let mut encoded = String::with_capacity(detail.len());
    for byte in detail.bytes() {
        match byte {
            b' '..=b'$' | b'&'..=b'~' => encoded.push(char::from(byte)),
            _ => {
                let _infallible = write!(encoded, "%{byte:02X}");
            }
        }
    }
    HeaderValue::try_from(encoded).unwrap_or(HeaderValue::from_static(""))
}
