use std::fmt;

use http::StatusCode;

/// The reason of a rejection.
///
/// Each reason has a stable slug and a name among the [response types] of API Gateway. The docs give
/// slug and status. Where two statuses are given the second is that of
/// [`ApiGateway`](super::RejectionFormat::ApiGateway).
///
/// [response types]: https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// `missing-credentials` (401). The request has no credentials.
    MissingCredentials,
    /// `invalid-request` (400). The request has more than one credential (RFC 6750 section 3.1).
    InvalidRequest,
    /// `invalid-token` (401). The token is not valid. Its age is not the reason.
    InvalidToken,
    /// `expired-token` (401). The token is past its expiry.
    ExpiredToken,
    /// `invalid-api-key` (401 or 403). The API key is unknown.
    InvalidApiKey,
    /// `invalid-signature` (401 or 403). The signature of the request does not match.
    InvalidSignature,
    /// `insufficient-scope` (403). The token lacks a required scope.
    InsufficientScope,
    /// `forbidden` (403). The caller is not allowed to do this.
    Forbidden,
    /// `not-found` (404 or 403). No route matches.
    NotFound,
    /// `method-not-allowed` (405 or 403). The route does not accept this method.
    MethodNotAllowed,
    /// `identity-provider-unavailable` (503). The keys that verify tokens, or the result for a
    /// credential, are not available.
    IdentityProviderUnavailable,
    /// `throttled` (429). A rate or concurrency limit is reached.
    Throttled,
    /// `quota-exceeded` (429). The quota of the period is used up.
    QuotaExceeded,
    /// `exceeds-limit` (400). One request exceeds what its limit ever allows at once. Waiting does not
    /// help.
    ExceedsLimit,
    /// `throttle-unavailable` (503). The store of the limits is not available.
    ThrottleUnavailable,
    /// `payload-too-large` (413). The body exceeds a bound of bytes, depth or values.
    PayloadTooLarge,
    /// `payload-timeout` (408). The body did not arrive in time.
    PayloadTimeout,
    /// `unsupported-media-type` (415). The media type or the content coding is not supported.
    UnsupportedMediaType,
    /// `malformed-payload` (400). The body is not valid for its media type.
    MalformedPayload,
    /// `invalid-parameters` (400). A header or a query parameter is missing or not valid.
    InvalidParameters,
    /// `invalid-payload` (422 or 400). A value in the body is not valid.
    InvalidPayload,
    /// `overloaded` (503). The gateway has too much in flight.
    Overloaded,
    /// `audit-unavailable` (503). The audit trail cannot take the record of a request.
    AuditUnavailable,
    /// `model-loading` (503). The model is not ready yet.
    ModelLoading,
    /// `upstream-unavailable` (502). The upstream cannot be reached or did not complete its response.
    UpstreamUnavailable,
    /// `upstream-token-unavailable` (503). The gateway has no usable token for the upstream at this
    /// moment.
    UpstreamTokenUnavailable,
    /// `upstream-timeout` (504). The upstream did not respond in time.
    UpstreamTimeout,
    /// `not-cached` (504). The request wants a cached response and there is none (RFC 9111 section
    /// 5.2.1.7).
    NotCached,
    /// `invalid-upstream-response` (502). The upstream's response does not match its schema.
    InvalidUpstreamResponse,
    /// `misconfigured` (500). The gateway lacks a layer that a handler needs.
    Misconfigured,
}

/// Everything that a responder needs to know about a refusal.
pub(super) struct Row {
    pub(super) slug: &'static str,
    pub(super) title: &'static str,
    pub(super) status: StatusCode,
    pub(super) gateway_status: StatusCode,
    pub(super) gateway_type: &'static str,
    /// The `message` of API Gateway.
    pub(super) gateway_message: &'static str,
    /// The `x-amzn-errortype` of API Gateway.
    pub(super) gateway_error: &'static str,
    /// The `error.type` of OpenAI.
    pub(super) openai_type: &'static str,
    /// A code of gRPC's `google.rpc.Code`.
    pub(super) grpc_status: u8,
}

macro_rules! rows {
    ($($variant:ident: $slug:literal, $title:literal, $status:ident / $gateway_status:ident,
        $gateway_type:literal, $gateway_message:literal, $gateway_error:literal,
        $openai_type:literal, $grpc_status:literal;)*) => {
        impl Refusal {
            /// Every refusal, for tables and tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            pub(super) const fn row(self) -> Row {
                match self {
                    $(Self::$variant => Row {
                        slug: $slug,
                        title: $title,
                        status: StatusCode::$status,
                        gateway_status: StatusCode::$gateway_status,
                        gateway_type: $gateway_type,
                        gateway_message: $gateway_message,
                        gateway_error: $gateway_error,
                        openai_type: $openai_type,
                        grpc_status: $grpc_status,
                    },)*
                }
            }
        }
    };
}

rows! {
    MissingCredentials: "missing-credentials", "Credentials are missing",
        UNAUTHORIZED / UNAUTHORIZED, "UNAUTHORIZED", "Unauthorized", "UnauthorizedException",
        "authentication_error", 16;
    InvalidRequest: "invalid-request", "The request has more than one credential",
        BAD_REQUEST / BAD_REQUEST, "DEFAULT_4XX", "Bad Request", "BadRequestException",
        "invalid_request_error", 3;
    InvalidToken: "invalid-token", "The token is not valid",
        UNAUTHORIZED / UNAUTHORIZED, "UNAUTHORIZED", "Unauthorized", "UnauthorizedException",
        "authentication_error", 16;
    ExpiredToken: "expired-token", "The token has expired",
        UNAUTHORIZED / UNAUTHORIZED, "EXPIRED_TOKEN", "The security token included in the request is expired",
        "ExpiredTokenException", "authentication_error", 16;
    InvalidApiKey: "invalid-api-key", "The API key is not valid",
        UNAUTHORIZED / FORBIDDEN, "INVALID_API_KEY", "Forbidden", "ForbiddenException",
        "authentication_error", 16;
    InvalidSignature: "invalid-signature", "The signature is not valid",
        UNAUTHORIZED / FORBIDDEN, "INVALID_SIGNATURE", "The request signature does not match",
        "InvalidSignatureException", "authentication_error", 16;
    InsufficientScope: "insufficient-scope", "The token lacks a required scope",
        FORBIDDEN / FORBIDDEN, "ACCESS_DENIED", "Forbidden", "ForbiddenException",
        "permission_error", 7;
    Forbidden: "forbidden", "This is not allowed",
        FORBIDDEN / FORBIDDEN, "ACCESS_DENIED", "User is not authorized to access this resource",
        "AccessDeniedException", "permission_error", 7;
    NotFound: "not-found", "No route matches",
        NOT_FOUND / FORBIDDEN, "RESOURCE_NOT_FOUND", "Missing Authentication Token",
        "MissingAuthenticationTokenException", "invalid_request_error", 12;
    MethodNotAllowed: "method-not-allowed", "The route does not accept this method",
        METHOD_NOT_ALLOWED / FORBIDDEN, "RESOURCE_NOT_FOUND", "Missing Authentication Token",
        "MissingAuthenticationTokenException", "invalid_request_error", 12;
    IdentityProviderUnavailable: "identity-provider-unavailable",
        "The identity provider is not available",
        SERVICE_UNAVAILABLE / SERVICE_UNAVAILABLE, "AUTHORIZER_FAILURE", "Service Unavailable",
        "ServiceUnavailableException", "server_error", 14;
    Throttled: "throttled", "Too many requests",
        TOO_MANY_REQUESTS / TOO_MANY_REQUESTS, "THROTTLED", "Too Many Requests",
        "TooManyRequestsException", "rate_limit_error", 8;
    QuotaExceeded: "quota-exceeded", "The quota is used up",
        TOO_MANY_REQUESTS / TOO_MANY_REQUESTS, "QUOTA_EXCEEDED", "Limit Exceeded",
        "LimitExceededException", "rate_limit_error", 8;
    ExceedsLimit: "exceeds-limit", "The request exceeds what its limit allows at once",
        BAD_REQUEST / BAD_REQUEST, "DEFAULT_4XX", "Bad Request", "BadRequestException",
        "invalid_request_error", 3;
    ThrottleUnavailable: "throttle-unavailable", "The store of the limits is not available",
        SERVICE_UNAVAILABLE / SERVICE_UNAVAILABLE, "DEFAULT_5XX", "Service Unavailable",
        "ServiceUnavailableException", "server_error", 14;
    PayloadTooLarge: "payload-too-large", "The body is too large",
        PAYLOAD_TOO_LARGE / PAYLOAD_TOO_LARGE, "REQUEST_TOO_LARGE", "Request Too Long",
        "RequestTooLargeException", "invalid_request_error", 8;
    PayloadTimeout: "payload-timeout", "The body did not arrive in time",
        REQUEST_TIMEOUT / REQUEST_TIMEOUT, "DEFAULT_4XX", "Request Timeout",
        "RequestTimeoutException", "invalid_request_error", 4;
    UnsupportedMediaType: "unsupported-media-type", "The media type is not supported",
        UNSUPPORTED_MEDIA_TYPE / UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE",
        "Unsupported Media Type", "UnsupportedMediaTypeException", "invalid_request_error", 3;
    MalformedPayload: "malformed-payload", "The body cannot be read",
        BAD_REQUEST / BAD_REQUEST, "BAD_REQUEST_BODY", "Invalid request body",
        "BadRequestException", "invalid_request_error", 3;
    InvalidParameters: "invalid-parameters", "The parameters are not valid",
        BAD_REQUEST / BAD_REQUEST, "BAD_REQUEST_PARAMETERS", "Invalid request parameters",
        "BadRequestException", "invalid_request_error", 3;
    InvalidPayload: "invalid-payload", "A value in the body is not valid",
        UNPROCESSABLE_ENTITY / BAD_REQUEST, "BAD_REQUEST_BODY", "Invalid request body",
        "BadRequestException", "invalid_request_error", 3;
    Overloaded: "overloaded", "The gateway has too much in flight",
        SERVICE_UNAVAILABLE / SERVICE_UNAVAILABLE, "DEFAULT_5XX", "Service Unavailable",
        "ServiceUnavailableException", "server_error", 14;
    AuditUnavailable: "audit-unavailable", "The audit trail is not available",
        SERVICE_UNAVAILABLE / SERVICE_UNAVAILABLE, "DEFAULT_5XX", "Service Unavailable",
        "ServiceUnavailableException", "server_error", 14;
    ModelLoading: "model-loading", "The model is not ready yet",
        SERVICE_UNAVAILABLE / SERVICE_UNAVAILABLE, "INTEGRATION_FAILURE", "Service Unavailable",
        "ServiceUnavailableException", "server_error", 14;
    UpstreamUnavailable: "upstream-unavailable", "The upstream cannot be reached",
        BAD_GATEWAY / BAD_GATEWAY, "INTEGRATION_FAILURE", "Internal server error",
        "InternalServerErrorException", "server_error", 14;
    UpstreamTokenUnavailable: "upstream-token-unavailable",
        "The token of the upstream is not available",
        SERVICE_UNAVAILABLE / SERVICE_UNAVAILABLE, "INTEGRATION_FAILURE", "Service Unavailable",
        "ServiceUnavailableException", "server_error", 14;
    UpstreamTimeout: "upstream-timeout", "The upstream did not respond in time",
        GATEWAY_TIMEOUT / GATEWAY_TIMEOUT, "INTEGRATION_TIMEOUT", "Endpoint request timed out",
        "InternalServerErrorException", "server_error", 4;
    NotCached: "not-cached", "No response is in the cache",
        GATEWAY_TIMEOUT / GATEWAY_TIMEOUT, "DEFAULT_5XX", "Endpoint request timed out",
        "InternalServerErrorException", "invalid_request_error", 5;
    InvalidUpstreamResponse: "invalid-upstream-response", "The upstream's response is not valid",
        BAD_GATEWAY / BAD_GATEWAY, "INTEGRATION_FAILURE", "Internal server error",
        "InternalServerErrorException", "server_error", 13;
    Misconfigured: "misconfigured", "The gateway is not configured for this request",
        INTERNAL_SERVER_ERROR / INTERNAL_SERVER_ERROR, "API_CONFIGURATION_ERROR",
        "Internal server error", "InternalServerErrorException", "server_error", 13;
}

impl Refusal {
    /// Returns the stable name. `type` ends with it, logs have it and clients may match on it.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        self.row().slug
    }

    /// Returns a short description, which is the same for every request.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.row().title
    }

    /// Returns the status of the response in the [`Problem`](super::RejectionFormat::Problem) format.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.row().status
    }

    /// Returns the name of the response type of API Gateway.
    #[must_use]
    pub const fn gateway_type(self) -> &'static str {
        self.row().gateway_type
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.slug())
    }
}
