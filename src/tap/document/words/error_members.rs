/// Returns whether a member explains an error in words.
///
/// The names come from vLLM before 0.10 and Cohere, FastAPI, DashScope, AWS Lambda, LMDeploy and
/// Qianfan.
pub(crate) fn explains(name: &[u8]) -> bool {
    matches!(
        name,
        b"message"
            | b"detail"
            | b"msg"
            | b"errorMessage"
            | b"error_message"
            | b"error_msg"
            | b"error_description"
    )
}

/// Returns whether an error without an `error` object may have this member.
///
/// An object with any other member holds more than an error.
pub(crate) fn belongs_to_errors(name: &[u8]) -> bool {
    explains(name)
        || matches!(
            name,
            b"object"
                | b"type"
                | b"title"
                | b"status"
                | b"status_code"
                | b"statusCode"
                | b"code"
                | b"error"
                | b"errors"
                | b"error_code"
                | b"error_type"
                | b"errorType"
                | b"param"
                | b"id"
                | b"request_id"
                | b"requestId"
                | b"trace_id"
                | b"instance"
                | b"timestamp"
                | b"created"
                | b"path"
                | b"success"
                | b"stackTrace"
                | b"documentation_url"
        )
}
