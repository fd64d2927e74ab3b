//! The variables of API Gateway's access log.
//!
//! Source: <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html>

use std::{borrow::Cow, time::UNIX_EPOCH};

use super::{
    common::ClfTime,
    error::FormatError,
    fields::{Field, Fields, Getter, Value, added},
};
use crate::{
    identity::Proof,
    json_object::JsonObject,
    record::{Record, RequestOutcome},
    rejection::Refusal,
};

/// The variables without `$context.`, each with its value here. A variable without a counterpart has the
/// value that the program added under its name.
const VARIABLES: &[(&str, Getter)] = &[
    ("requestId", |record, _| Value::text(record.request_id())),
    // As in HTTP APIs. REST APIs have a second id.
    ("extendedRequestId", |record, name| or_added(record, name, record.request_id())),
    ("requestTime", |record, _| Value::short(Some(ClfTime(record.time())))),
    ("requestTimeEpoch", |record, _| {
        let since = record.time().duration_since(UNIX_EPOCH).unwrap_or_default();
        Value::number(u64::try_from(since.as_millis()).ok())
    }),
    ("accountId", added),
    ("apiId", added),
    ("stage", |record, _| Value::text(record.stage())),
    ("domainName", added),
    ("domainPrefix", added),
    ("httpMethod", |record, _| Value::text(Some(record.method()))),
    ("path", |record, _| Value::text(Some(record.path()))),
    ("protocol", |record, _| {
        let version = record.http_version();
        version.map_or(Value::None, |version| Value::short(Some(format_args!("HTTP/{version}"))))
    }),
    ("resourceId", added),
    ("resourcePath", |record, _| Value::text(record.route())),
    ("routeKey", |record, _| Value::text(record.route())),
    ("status", |record, _| Value::number(record.status().map(|status| status.as_u16()))),
    ("responseLength", |record, _| Value::Number(record.bytes_out())),
    ("responseLatency", |record, _| Value::number(u64::try_from(record.total().as_millis()).ok())),
    ("dataProcessed", |record, _| {
        Value::Number(record.bytes_in().saturating_add(record.bytes_out()))
    }),
    ("error.message", |record, _| Value::text(refusal(record).map(Refusal::title))),
    ("error.messageString", |record, _| {
        Value::owned(refusal(record).map(|refusal| format!("\"{}\"", refusal.title())))
    }),
    ("error.responseType", |record, _| Value::text(refusal(record).map(Refusal::gateway_type))),
    ("error.validationErrorString", added),
    ("identity.accountId", added),
    ("identity.apiKey", added),
    ("identity.apiKeyId", |record, _| {
        let is_key = record.principal().is_some_and(|caller| caller.proof == Proof::ApiKey);
        Value::text(record.credential_id().filter(|_| is_key))
    }),
    ("identity.caller", |record, _| Value::text(aws_caller(record))),
    ("identity.clientCert.clientCertPem", added),
    ("identity.clientCert.issuerDN", added),
    ("identity.clientCert.serialNumber", added),
    ("identity.clientCert.subjectDN", added),
    ("identity.clientCert.validity.notAfter", added),
    ("identity.clientCert.validity.notBefore", added),
    ("identity.cognitoAuthenticationProvider", added),
    ("identity.cognitoAuthenticationType", added),
    ("identity.cognitoIdentityId", added),
    ("identity.cognitoIdentityPoolId", added),
    ("identity.principalOrgId", added),
    ("identity.sourceIp", |record, _| Value::short(record.client_address())),
    ("identity.user", |record, _| Value::text(aws_caller(record))),
    ("identity.userAgent", |record, _| Value::text(record.user_agent())),
    ("identity.userArn", |record, _| {
        Value::text(aws_caller(record).filter(|name| name.starts_with("arn:")))
    }),
    ("authorizer.error", |record, _| {
        let refusal = refusal(record).filter(|refusal| AUTHORIZER.contains(refusal));
        Value::text(refusal.map(Refusal::slug))
    }),
    ("authorizer.integrationLatency", added),
    ("authorizer.integrationStatus", added),
    ("authorizer.latency", added),
    ("authorizer.principalId", |record, _| {
        Value::text(record.principal().map(|caller| caller.subject))
    }),
    ("authorizer.requestId", added),
    ("authorizer.status", added),
    ("authenticate.error", added),
    ("authenticate.latency", added),
    ("authenticate.status", added),
    ("authorize.error", added),
    ("authorize.latency", added),
    ("authorize.status", added),
    ("integration.error", integration_error),
    ("integration.integrationStatus", integration_status),
    ("integration.latency", integration_latency),
    ("integration.requestId", |record, name| or_added(record, name, record.upstream_request_id())),
    ("integration.status", integration_status),
    ("integrationErrorMessage", integration_error),
    ("integrationLatency", integration_latency),
    ("integrationStatus", integration_status),
    ("waf.error", added),
    ("waf.latency", added),
    ("waf.status", added),
    ("wafResponseCode", added),
    ("webaclArn", added),
    // AWS X-Ray writes the 32 digits of a W3C trace id in two parts after its version.
    ("xrayTraceId", |record, _| {
        let parts = record.trace_id().and_then(|id| id.split_at_checked(8));
        parts
            .map_or(Value::None, |(time, rest)| Value::short(Some(format_args!("1-{time}-{rest}"))))
    }),
    ("customDomain.basePathMatched", added),
    ("awsEndpointRequestId", added),
    ("awsEndpointRequestId2", added),
];

/// The fields by default: those that a gateway of this crate has values for.
const DEFAULT: &[&str] = &[
    "requestId",
    "requestTime",
    "requestTimeEpoch",
    "stage",
    "httpMethod",
    "path",
    "protocol",
    "routeKey",
    "status",
    "responseLength",
    "responseLatency",
    "dataProcessed",
    "error.message",
    "error.responseType",
    "identity.apiKeyId",
    "identity.sourceIp",
    "identity.userAgent",
    "authorizer.error",
    "authorizer.principalId",
    "integration.error",
    "integration.latency",
    "integration.requestId",
    "integration.status",
    "xrayTraceId",
];

/// The rejections of authentication.
const AUTHORIZER: &[Refusal] = &[
    Refusal::MissingCredentials,
    Refusal::InvalidRequest,
    Refusal::InvalidToken,
    Refusal::ExpiredToken,
    Refusal::InvalidApiKey,
    Refusal::InvalidSignature,
    Refusal::InsufficientScope,
    Refusal::Forbidden,
    Refusal::IdentityProviderUnavailable,
];

pub(super) fn default() -> Fields {
    Fields { all: DEFAULT.iter().filter_map(|name| find(name)).collect(), values: true }
}

/// Returns the fields with these names. The names may begin with `$context.`, as in API Gateway.
pub(super) fn named<T: AsRef<str>>(
    names: impl IntoIterator<Item = T>,
) -> Result<Fields, FormatError> {
    Fields::named(names, find)
}

fn find(name: &str) -> Option<Field> {
    let name = name.strip_prefix("$context.").unwrap_or(name);
    if let Some((name, value)) = VARIABLES.iter().find(|(own, _)| *own == name) {
        return Some(Field { name: Cow::Borrowed(name), value: *value });
    }
    // A claim of the token, or a value of a Lambda authorizer.
    let claim = name.strip_prefix("authorizer.")?;
    let claim = claim.strip_prefix("claims.").unwrap_or(claim);
    (!claim.is_empty()).then(|| Field { name: name.to_owned().into(), value: caller_claim })
}

/// Writes each field as a string. One without a value is `-`, as in API Gateway.
pub(super) fn write(object: &mut JsonObject, fields: &Fields, record: &Record<'_>) {
    for field in &*fields.all {
        object.name(&field.name);
        match (field.value)(record, &field.name) {
            Value::Text(text) => object.string(if text.is_empty() { "-" } else { &text }),
            Value::Short(text) => object.string(text.as_str()),
            Value::Number(number) => quoted(object, number),
            Value::Decimal(number) => quoted(object, number),
            Value::Flag(flag) => quoted(object, flag),
            Value::Words(words) => object.string(&words.join(",")),
            Value::None => object.string("-"),
        }
    }
}

fn quoted(object: &mut JsonObject, value: impl std::fmt::Display) {
    object.push(b"\"");
    object.display(value);
    object.push(b"\"");
}

fn refusal(record: &Record<'_>) -> Option<Refusal> {
    let slug = record.refusal()?;
    Refusal::ALL.iter().copied().find(|refusal| refusal.slug() == slug)
}

/// The caller that AWS credentials have proved.
fn aws_caller<'a>(record: &'a Record<'_>) -> Option<&'a str> {
    let caller = record.principal()?;
    (caller.proof == Proof::AwsIam).then_some(caller.subject)
}

fn caller_claim<'a>(record: &'a Record<'_>, name: &'a str) -> Value<'a> {
    let name = name.strip_prefix("authorizer.").unwrap_or(name);
    let name = name.strip_prefix("claims.").unwrap_or(name);
    let claim = record.identity().and_then(|caller| caller.claim(name));
    match claim {
        None => Value::None,
        Some(serde_json::Value::String(text)) => Value::text(Some(record.text(text))),
        Some(other) => Value::owned(Some(record.text(&other.to_string()).to_owned())),
    }
}

/// Returns the value that the program added under the name of the variable, or else this one.
fn or_added<'a>(record: &'a Record<'_>, name: &'a str, own: Option<&'a str>) -> Value<'a> {
    match added(record, name) {
        Value::None => Value::text(own),
        added => added,
    }
}

fn integration_latency<'a>(record: &'a Record<'_>, _: &'a str) -> Value<'a> {
    let time = record.upstream_time().map(|time| time.as_millis());
    Value::number(time.and_then(|time| u64::try_from(time).ok()))
}

fn integration_status<'a>(record: &'a Record<'_>, _: &'a str) -> Value<'a> {
    Value::number(record.upstream_status().map(|status| status.as_u16()))
}

fn integration_error<'a>(record: &'a Record<'_>, _: &'a str) -> Value<'a> {
    let failed = record.attempts() > 0
        && matches!(record.outcome(), RequestOutcome::UpstreamError | RequestOutcome::TimedOut);
    let reason = record.refusal().unwrap_or_else(|| record.outcome().as_str());
    Value::text(failed.then_some(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_by_default_are_variables() {
        assert_eq!(default().all.len(), DEFAULT.len());
    }
}
