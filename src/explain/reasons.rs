//! Why a request was rejected, and what the operator can do.

use super::line::Line;
use crate::{context::Layer, rejection::Refusal};

/// Returns why a layer rejected the request.
pub(super) fn rejection(line: &Line) -> String {
    match (line.refusal(), line.text("limit")) {
        (Some(_), Some(limit)) => format!("its limit {limit} is reached"),
        (Some(refusal), None) => refusal_reason(refusal).to_owned(),
        (None, _) => {
            let slug = line.text("refusal");
            slug.unwrap_or_else(|| "the line does not say why".to_owned())
        }
    }
}

const fn refusal_reason(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::MissingCredentials => "the request has no credential that the layer reads",
        Refusal::InvalidRequest => "the request has more than one credential",
        Refusal::InvalidToken => "the token is not valid",
        Refusal::ExpiredToken => "the credential is past its expiry",
        Refusal::InvalidApiKey => "the API key is unknown",
        Refusal::InvalidSignature => "the signature does not match the request",
        Refusal::InsufficientScope => "the token lacks a scope that the route requires",
        Refusal::Forbidden => "the rules do not allow this caller to do it",
        Refusal::NotFound => "no open route has this path",
        Refusal::MethodNotAllowed => "the route is not open for this method",
        Refusal::IdentityProviderUnavailable => {
            "the keys or the result that verify the credential are not available"
        }
        Refusal::Throttled => "a rate or concurrency limit is reached",
        Refusal::QuotaExceeded => "the quota of the period is used up",
        Refusal::ExceedsLimit => "the request alone exceeds what its limit ever allows at once",
        Refusal::ThrottleUnavailable => "the store of the limits is not available",
        Refusal::PayloadTooLarge => "the body exceeds a bound of bytes, depth or values",
        Refusal::PayloadTimeout => "the body did not arrive in time",
        Refusal::UnsupportedMediaType => "the media type or the content coding is not supported",
        Refusal::MalformedPayload => "the body is not valid for its media type, or broke off",
        Refusal::InvalidParameters => "a header or a query parameter is missing or not valid",
        Refusal::InvalidPayload => "a value in the body is not valid",
        Refusal::Overloaded => "too many requests are in flight",
        Refusal::AuditUnavailable => "the audit trail could not take the record of the request",
        Refusal::ModelLoading => "the model is not ready yet",
        Refusal::UpstreamUnavailable => {
            "the upstream was not reached, or did not complete its response"
        }
        Refusal::UpstreamTokenUnavailable => "the gateway has no usable token for the upstream",
        Refusal::UpstreamTimeout => "the upstream did not respond in time",
        Refusal::NotCached => "the request wants a cached response and there is none",
        Refusal::InvalidUpstreamResponse => {
            "the response of the upstream is not what the layer requires"
        }
        Refusal::Misconfigured => "the gateway lacks a setting or a layer that the request needs",
    }
}

pub(super) const fn refusal_remedy(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::MissingCredentials => {
            "Let the client send a credential. Check that no proxy removes the header authorization."
        }
        Refusal::InvalidRequest => "Let the client send one credential, in one place.",
        Refusal::InvalidToken => {
            "Look at the line of the auth layer in the program's log at this time. It names the \
             claim, the key or the issuer that did not match."
        }
        Refusal::ExpiredToken => {
            "Let the client fetch a new token. Compare the clocks of the client and the gateway if \
             it is new."
        }
        Refusal::InvalidApiKey => {
            "Check that the key was not revoked and that it is one of this gateway and stage."
        }
        Refusal::InvalidSignature => {
            "Check the secret key and the clock of the client, and that no proxy changes what is \
             signed."
        }
        Refusal::InsufficientScope => {
            "Grant the scope to the caller at the identity provider, or change the access rule."
        }
        Refusal::Forbidden => {
            "Compare the caller, the route and the model with the access rules and the model rules."
        }
        Refusal::NotFound => {
            "Correct the path in the client, or open the route with RouteLayer::route."
        }
        Refusal::MethodNotAllowed => {
            "Correct the method in the client, or open the route for it with RouteLayer::route."
        }
        Refusal::IdentityProviderUnavailable => {
            "Check that the gateway reaches the identity provider. The program's log names the \
             address and the error."
        }
        Refusal::Throttled | Refusal::QuotaExceeded => {
            "Let the client wait as long as retry-after says. Raise the limit if the caller is \
             entitled to more."
        }
        Refusal::ExceedsLimit => {
            "Shorten the prompt or the output limit of the request. Waiting does not help."
        }
        Refusal::ThrottleUnavailable => {
            "Check the store of the limits, such as Redis. Requests are rejected until it is back."
        }
        Refusal::PayloadTooLarge => "Send a smaller body, or raise the bounds of PayloadLayer.",
        Refusal::PayloadTimeout => {
            "Check the connection of the client. PayloadLayer::body_timeout sets the time."
        }
        Refusal::UnsupportedMediaType => {
            "Let the client send application/json, or open the route for bodies of other types."
        }
        Refusal::MalformedPayload => {
            "Let the client send valid JSON. The rejection has the position of the fault."
        }
        Refusal::InvalidParameters | Refusal::InvalidPayload => {
            "Correct the request. The rejection names the member and the rule."
        }
        Refusal::Overloaded => {
            "Raise the limit of requests in flight or the queue, add a target, or add replicas."
        }
        Refusal::AuditUnavailable => {
            "Check the disk of the audit trail. Requests are rejected until it can be written."
        }
        Refusal::ModelLoading => {
            "Let the client wait as long as retry-after says, or keep a replica of the model warm."
        }
        Refusal::UpstreamUnavailable => {
            "Check that the upstream runs and that the gateway reaches it. The program's log names \
             the error."
        }
        Refusal::UpstreamTokenUnavailable => {
            "Check the source of the upstream's token. The program's log names it with the error."
        }
        Refusal::UpstreamTimeout => {
            "Check the load of the upstream, or raise the timeout of UpstreamLayer that passed."
        }
        Refusal::NotCached => "Let the client leave out only-if-cached.",
        Refusal::InvalidUpstreamResponse => {
            "Compare the response of the upstream with the schema of the route."
        }
        Refusal::Misconfigured => {
            "Look at the program's log at this time. It names the layer or the setting."
        }
    }
}

/// Returns the layers that may issue a refusal, the usual one first.
pub(super) const fn layers_of(refusal: Refusal) -> &'static [Layer] {
    match refusal {
        Refusal::InvalidRequest
        | Refusal::InvalidToken
        | Refusal::ExpiredToken
        | Refusal::InvalidApiKey
        | Refusal::InvalidSignature
        | Refusal::InsufficientScope
        | Refusal::IdentityProviderUnavailable => &[Layer::Auth],
        Refusal::MissingCredentials => {
            &[Layer::Auth, Layer::Throttle, Layer::Transform, Layer::TokenBudget]
        }
        Refusal::Forbidden => &[Layer::Auth, Layer::ModelRules, Layer::Cache, Layer::Fallback],
        Refusal::NotFound => &[Layer::Route, Layer::Schema],
        Refusal::MethodNotAllowed => &[Layer::Route],
        Refusal::Throttled => {
            &[Layer::Throttle, Layer::PeerThrottle, Layer::TokenBudget, Layer::Upstream]
        }
        Refusal::QuotaExceeded | Refusal::ThrottleUnavailable => {
            &[Layer::Throttle, Layer::PeerThrottle, Layer::TokenBudget]
        }
        Refusal::ExceedsLimit => &[Layer::TokenBudget, Layer::Throttle],
        Refusal::PayloadTooLarge
        | Refusal::PayloadTimeout
        | Refusal::UnsupportedMediaType
        | Refusal::MalformedPayload => &[Layer::Payload],
        Refusal::InvalidParameters => &[Layer::Schema, Layer::Transform],
        Refusal::InvalidPayload => &[Layer::Schema, Layer::Transform, Layer::TokenBudget],
        Refusal::Overloaded => &[Layer::Upstream, Layer::Fallback],
        Refusal::AuditUnavailable => &[Layer::AccessLog],
        Refusal::ModelLoading | Refusal::UpstreamTimeout => &[Layer::Upstream],
        Refusal::UpstreamUnavailable => &[Layer::Upstream, Layer::HfToken],
        Refusal::UpstreamTokenUnavailable => &[Layer::HfToken],
        Refusal::NotCached => &[Layer::Cache],
        Refusal::InvalidUpstreamResponse => &[Layer::Schema, Layer::Upstream],
        Refusal::Misconfigured => &[Layer::Fallback, Layer::Auth],
    }
}
