/// Returns whether a member explains an error in words.
///
/// The names come from vLLM before 0.10 and Cohere, FastAPI, DashScope, AWS Lambda, LMDeploy and
/// Qianfan.
pub(crate) fn explains(name: &[u8]) -> bool {
    matches!(name, b"message" | b"detail" | b"msg") || names_error(name) && !is_code(name)
}

/// Returns whether a member has an error for its value unless that is `null`, `false`, 0 or empty.
///
/// The names include `error_code` of Qianfan, `errorMessage` of AWS Lambda and `Error` of Tencent.
pub(crate) fn names_error(name: &[u8]) -> bool {
    // Coze sends it with the code 0 in each response.
    name != b"last_error" && name.windows(5).any(|part| part.eq_ignore_ascii_case(b"error"))
}

fn is_code(name: &[u8]) -> bool {
    matches!(name, b"error" | b"errors" | b"error_code" | b"error_type" | b"errorType")
}

/// Returns whether this member of the root is the result of a task.
///
/// The names come from Hugging Face's tasks, TEI, Triton and Bedrock, and from the tokenizers of vLLM,
/// TGI, llama.cpp and Anthropic.
pub(crate) fn is_task_result(name: &[u8]) -> bool {
    matches!(
        name,
        b"summary_text"
            | b"translation_text"
            | b"answer"
            | b"label"
            | b"labels"
            | b"score"
            | b"scores"
            | b"sequence"
            | b"entity"
            | b"entity_group"
            | b"token_str"
            | b"embedding"
            | b"similarities"
            | b"text_output"
            | b"generation"
            | b"completion"
            | b"tokens"
            | b"tokenize_response"
            | b"input_tokens"
            | b"prompt"
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
