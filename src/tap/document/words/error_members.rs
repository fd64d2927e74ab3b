use super::bounded_word::BoundedWord;

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

/// Returns the same for a name that may be longer than any known word, which then names no error.
pub(crate) fn names_known_error(name: &[u8]) -> bool {
    name.len() <= BoundedWord::MAX && names_error(name)
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
