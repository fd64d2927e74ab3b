use std::{error::Error, fmt};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_secretsmanager::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use crate::{causes::causes, printable::Printable};

/// The reason why AWS gave no token. Its text says what to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum AwsFault {
    NoRegion,
    NoCredentials,
    CredentialsFailed,
    CredentialsRejected(Code),
    Denied,
    NotFound,
    NotDecrypted,
    NotAvailable,
    InvalidRequest(Code),
    Throttled,
    FederationDisabled,
    DurationEscalation,
    Unavailable(Code),
    Unreachable,
    TimedOut,
    PlainHttp,
    Garbled,
    NotText,
    Empty,
    NotJson,
    NoMember(Box<str>),
    NotAString(Box<str>),
    IsJson,
}

/// The name that AWS gives an error. It is empty when the response had none.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Code(Box<str>);

impl AwsFault {
    /// Returns the fault of a failed request. The texts of the SDK and of the response are dropped.
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        if let SdkError::ServiceError(response) = error {
            return if response.raw().status().is_success() {
                Self::Garbled
            } else {
                Self::named(response.err().code().unwrap_or_default())
            };
        }
        if let Some(fault) = cause::<Self>(error) {
            return fault.clone();
        }
        match cause::<CredentialsError>(error) {
            Some(CredentialsError::CredentialsNotLoaded(_)) => return Self::NoCredentials,
            Some(_) => return Self::CredentialsFailed,
            None => {}
        }
        match error {
            SdkError::TimeoutError(_) => Self::TimedOut,
            SdkError::DispatchFailure(failure) if failure.is_timeout() => Self::TimedOut,
            SdkError::DispatchFailure(_) => Self::Unreachable,
            SdkError::ConstructionFailure(_) => Self::InvalidRequest(Code::default()),
            _ => Self::Garbled,
        }
    }

    /// Returns the fault of an error code.
    ///
    /// The codes are in the API references of [Secrets Manager] and [STS] and in their common errors.
    ///
    /// [Secrets Manager]: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
    /// [STS]: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetWebIdentityToken.html
    fn named(code: &str) -> Self {
        match code {
            "ResourceNotFoundException" => Self::NotFound,
            "AccessDenied" | "AccessDeniedException" | "NotAuthorized" => Self::Denied,
            "ExpiredToken"
            | "ExpiredTokenException"
            | "IncompleteSignature"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "MissingAuthenticationToken"
            | "OptInRequired"
            | "RequestExpired"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClientException" => Self::CredentialsRejected(Code::new(code)),
            "DecryptionFailure" => Self::NotDecrypted,
            "InvalidRequestException" => Self::NotAvailable,
            "InvalidParameterException"
            | "InvalidParameterValue"
            | "ValidationError"
            | "ValidationException" => Self::InvalidRequest(Code::new(code)),
            "RequestLimitExceeded"
            | "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "TooManyRequestsException" => Self::Throttled,
            "OutboundWebIdentityFederationDisabled"
            | "OutboundWebIdentityFederationDisabledException" => Self::FederationDisabled,
            "SessionDurationEscalation" | "SessionDurationEscalationException" => {
                Self::DurationEscalation
            }
            code => Self::Unavailable(Code::new(code)),
        }
    }
}

impl Code {
    /// Keeps only what a code is made of, because the response may hold anything.
    fn new(code: &str) -> Self {
        let is_code = code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        Self(if is_code { code.into() } else { Box::default() })
    }
}

/// Finds an error among the causes of another one.
fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " ({})", self.0) }
    }
}

impl fmt::Display for AwsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRegion => {
                "no region of AWS is known; set `region`, give the ARN of the secret, or export \
                 AWS_REGION"
            }
            Self::NoCredentials => {
                "no credentials of AWS are found; give the process a role, a profile or the \
                 variables of AWS"
            }
            Self::CredentialsFailed => {
                "the credentials of AWS cannot be loaded; check the profile, the role and the \
                 metadata service"
            }
            Self::CredentialsRejected(code) => {
                return write!(
                    f,
                    "AWS rejects the credentials{code}; check that they are current and that the \
                     clock is right"
                );
            }
            Self::Denied => {
                "AWS denies access; the IAM policy must allow the action, which is \
                 secretsmanager:GetSecretValue (with kms:Decrypt for a customer managed key) or \
                 sts:GetWebIdentityToken"
            }
            Self::NotFound => {
                "the secret or its version AWSCURRENT does not exist; check the name, the account \
                 and the region"
            }
            Self::NotDecrypted => {
                "Secrets Manager cannot decrypt the secret; check that its KMS key is enabled"
            }
            Self::NotAvailable => {
                "the secret cannot be read in its state; it may be scheduled for deletion"
            }
            Self::InvalidRequest(code) => {
                return write!(
                    f,
                    "AWS does not accept the request{code}; check the name of the secret, the \
                     region and the endpoint"
                );
            }
            Self::Throttled => "AWS throttles the requests of this account; fetch less often",
            Self::FederationDisabled => {
                "outbound web identity federation is disabled in this account; an administrator \
                 enables it with iam:EnableOutboundWebIdentityFederation"
            }
            Self::DurationEscalation => {
                "the session of the credentials ends before the token would; set a shorter \
                 `duration`"
            }
            Self::Unavailable(code) => {
                return write!(
                    f,
                    "AWS failed{code}; look at its service health, or at the endpoint if one is set"
                );
            }
            Self::Unreachable => {
                "AWS cannot be reached; check the network, the region and the endpoint"
            }
            Self::TimedOut => "AWS does not respond in time; check the network and the endpoint",
            Self::PlainHttp => {
                "the endpoint is plain http to another machine: every host on the path could read \
                 the secret; use https, or set `endpoint` with Origin::dangerous_plain_http"
            }
            Self::Garbled => {
                "the response is not one of AWS; check the endpoint and what intercepts TLS"
            }
            Self::NotText => "the secret is binary and not UTF-8; store the token as text",
            Self::Empty => "the secret is empty; put the token into it",
            Self::NotJson => {
                "the secret is not a JSON object of unique members; store one, or leave \
                 `json_member` away"
            }
            Self::NoMember(name) => {
                return write!(
                    f,
                    "the secret has no member `{}`; check the name given to `json_member`",
                    Printable(name)
                );
            }
            Self::NotAString(name) => {
                return write!(
                    f,
                    "the member `{}` of the secret is not a string; store the token as a string",
                    Printable(name)
                );
            }
            Self::IsJson => {
                "the secret is JSON; name the member that holds the token with `json_member`"
            }
        })
    }
}

impl Error for AwsFault {}
