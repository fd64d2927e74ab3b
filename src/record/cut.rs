/// Returns as many whole characters of `text` as fit into `longest` bytes.
pub(super) fn cut(text: &str, longest: usize) -> &str {
    if text.len() <= longest {
        return text;
    }
    let end = (0..=longest.min(text.len())).rfind(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_string_is_cut_between_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abc", 2), "ab");
        assert_eq!(cut("é€", 5), "é€");
        assert_eq!(cut("é€", 4), "é");
        assert_eq!(cut("é€", 1), "");
        assert_eq!(cut("", 0), "");
    }
}
