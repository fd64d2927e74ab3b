//! The reasons of rejected signatures.

use std::fmt;

/// The reason why a signed request is rejected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SigV4Fault {
    /// Several `authorization` headers, both forms, or another credential beside the presigned form.
    SeveralCredentials,
    Malformed(&'static str),
    Algorithm,
    TooLong,
    HostAbsent,
    HostDiffers,
    HostNotSigned,
    OtherHost,
    DateAbsent,
    DateNotSigned,
    SignedHeaderAbsent,
    OtherDate,
    OtherScope,
    NotYetValid,
    Expired,
    ExpiresTooLate,
    UnsignedPayload,
    StreamingPayload,
    PayloadHash,
    NoSignedBodyLayer,
    StoreUnavailable,
    /// The access key is unknown. The client cannot tell it from [`Signature`](Self::Signature).
    AccessKey,
    /// The session token differs. The client cannot tell it from [`Signature`](Self::Signature).
    SessionToken,
    Signature,
    Replayed,
    ReplaysFull,
}

/// The cause for the operator's log.
impl fmt::Display for SigV4Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SeveralCredentials => "the request has several credentials",
            Self::Malformed(part) => return write!(f, "{part} is malformed"),
            Self::Algorithm => "the algorithm is not AWS4-HMAC-SHA256",
            Self::TooLong => "the credential, the query or the signed headers are too long",
            Self::HostAbsent => "the request has no host",
            Self::HostDiffers => "the request has two different hosts",
            Self::HostNotSigned => "`host` is not signed",
            Self::OtherHost => "the request is signed for another host",
            Self::DateAbsent => "`x-amz-date` is missing",
            Self::DateNotSigned => "the date is not signed",
            Self::SignedHeaderAbsent => "a signed header is missing",
            Self::OtherDate => "the date of the credential scope is another day",
            Self::OtherScope => "the credential scope has another region or service",
            Self::NotYetValid => "the date is too far ahead of the server's clock",
            Self::Expired => "the signature is expired",
            Self::ExpiresTooLate => "`X-Amz-Expires` exceeds the maximum",
            Self::UnsignedPayload => "`UNSIGNED-PAYLOAD` is not accepted: sign the body",
            Self::StreamingPayload => {
                "`STREAMING-…` payloads are not supported: sign the whole body"
            }
            Self::PayloadHash => "`x-amz-content-sha256` differs from the body",
            Self::NoSignedBodyLayer => "no `SignedBodyLayer` stands outside of `AuthLayer`",
            Self::StoreUnavailable => "the credential store failed",
            Self::AccessKey => "the access key is unknown",
            Self::SessionToken => "the session token differs",
            Self::Signature => "the signature does not match",
            Self::Replayed => "the signature was used before",
            Self::ReplaysFull => "the store of used signatures is full",
        })
    }
}
