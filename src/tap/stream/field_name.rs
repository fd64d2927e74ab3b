/// Returns whether a line with this name is a field of an event.
///
/// Other names are ignored (WHATWG HTML section 9.2.6), but text between the events is no field.
pub(super) fn is_field(name: &[u8], has_value: bool) -> bool {
    let known = matches!(name, b"data" | b"event" | b"id" | b"retry")
        || name.eq_ignore_ascii_case(b"error");
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    known || has_value && name.iter().all(word)
}
