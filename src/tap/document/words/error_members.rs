/// Returns whether a member explains an error in words.
///
/// The names come from vLLM before 0.10 and Cohere, FastAPI, DashScope, AWS Lambda, LMDeploy and
/// Qianfan.
pub(crate) fn explains(name: &[u8]) -> bool {
    matches!(name, b"message" | b"detail" | b"msg") || names_error(name) && !is_code(name)
}

/// Returns whether a member has an error for its value unless that is `null`, `false`, 0 or empty.
///
/// The names include `error_code` of Qianfan, `errorMessage` of AWS Lambda, `Error` of Tencent and
/// `errcode` of WeChat.
pub(crate) fn names_error(name: &[u8]) -> bool {
    match name {
        b"err" | b"errcode" | b"err_code" | b"exception" | b"fault" | b"traceback" => true,
        // Coze sends it with the code 0 in each response.
        b"last_error" => false,
        _ => name.windows(5).any(|part| part.eq_ignore_ascii_case(b"error")),
    }
}

/// Returns whether this number is the status or the code of an error.
///
/// The exceptions are codes of success in gateways of Java and of SiliconFlow.
pub(crate) const fn is_error_code(number: Option<u64>) -> bool {
    match number {
        Some(code) => code >= 400 && !matches!(code, 1_000 | 10_000 | 20_000),
        None => true,
    }
}

fn is_code(name: &[u8]) -> bool {
    matches!(name, b"error" | b"errors" | b"error_code" | b"error_type" | b"errorType")
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
