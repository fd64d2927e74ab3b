use std::{error::Error, fmt, str::FromStr};

use crate::{
    error_debug::debug_as_message,
    payload::json::{case_fold::is_folded_alike, node::array_index},
};

/// A parsed JSON pointer (RFC 6901).
///
/// ```
/// use tower_inference::payload::Pointer;
///
/// let pointer: Pointer = "/stream_options/include_usage".parse()?;
/// assert_eq!(pointer, Pointer::new(["stream_options", "include_usage"]));
/// assert!("stream_options".parse::<Pointer>().is_err());
/// # Ok::<(), tower_inference::payload::PointerError>(())
/// ```
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Pointer {
    tokens: Box<[PointerToken]>,
}

/// One step of a pointer.
#[derive(Clone, Eq, Hash, PartialEq)]
pub(crate) struct PointerToken {
    pub(crate) name: Box<str>,
    /// The name as JSON and a colon, ready to be written before a value.
    pub(crate) written: Box<str>,
    name_bits: u64,
}

impl Pointer {
    /// Creates a pointer through members of these names. Without names it points to the whole
    /// document.
    pub fn new<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Self {
        Self { tokens: names.into_iter().map(|name| PointerToken::new(name.as_ref())).collect() }
    }

    pub(crate) const fn tokens(&self) -> &[PointerToken] {
        &self.tokens
    }

    /// Returns the pointer of the first `count` steps as text.
    pub(crate) fn prefix(&self, count: usize) -> String {
        let mut text = String::new();
        for token in self.tokens.iter().take(count) {
            text.push('/');
            text.push_str(&token.name.replace('~', "~0").replace('/', "~1"));
        }
        text
    }
}

impl FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Self, PointerError> {
        if text.is_empty() {
            return Ok(Self::new::<&str>([]));
        }
        let tokens = text.strip_prefix('/').ok_or(PointerError)?.split('/');
        let name = |token: &str| {
            let mut escapes = token.split('~').skip(1);
            let legal = escapes.all(|escape| escape.starts_with(['0', '1']));
            legal.then(|| token.replace("~1", "/").replace("~0", "~")).ok_or(PointerError)
        };
        Ok(Self::new(tokens.map(name).collect::<Result<Vec<_>, _>>()?))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix(self.tokens.len()))
    }
}

impl fmt::Debug for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pointer({self})")
    }
}

impl PointerToken {
    fn new(name: &str) -> Self {
        let written = format!("{}:", serde_json::Value::from(name));
        Self { name: name.into(), written: written.into(), name_bits: name_bits(name) }
    }

    /// Returns false if no name with these [`name_bits`] matches this one.
    pub(crate) const fn may_match_any(&self, name_bits: u64) -> bool {
        self.name_bits & name_bits != 0
    }

    /// Returns the index of an array element: digits without a leading zero (section 4).
    pub(crate) fn index(&self) -> Option<usize> {
        array_index(&self.name)
    }

    /// Compares the name of a member with this one.
    pub(crate) fn compare(&self, name: &str) -> NameMatch {
        let own = &*self.name;
        // ASCII names of different lengths differ.
        if own.len() == name.len() {
            if own == name {
                return NameMatch::Same;
            }
            if own.eq_ignore_ascii_case(name) {
                return NameMatch::OtherCase;
            }
        }
        if (name.is_ascii() && own.is_ascii()) || !is_folded_alike(own, name) {
            return NameMatch::Different;
        }
        NameMatch::OtherCase
    }
}

/// Returns one of 64 bits, which is equal for names that differ only in case. Returns all bits for
/// a name beyond ASCII, whose case folding can change its length.
pub(crate) fn name_bits(name: &str) -> u64 {
    if !name.is_ascii() {
        return u64::MAX;
    }
    // Clears the bit of lower case.
    let fold = |byte: Option<&u8>| byte.map_or(0, |byte| u32::from(byte & !0x20));
    let bytes = name.as_bytes();
    let mixed = fold(bytes.first()) ^ (fold(bytes.last()) << 1) ^ ((bytes.len() as u32) << 2);
    1 << (mixed % 64)
}

/// The result of comparing two names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NameMatch {
    Same,
    /// Equal for a reader that ignores case.
    OtherCase,
    Different,
}

/// The text is no JSON pointer (RFC 6901 section 3). A pointer is empty or starts with a slash.
/// Each tilde in it is followed by 0 or 1.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct PointerError;

impl fmt::Display for PointerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a JSON pointer (RFC 6901): expected a slash before each name, such as \
             /stream_options/include_usage, and ~0 or ~1 for a tilde or a slash in a name",
        )
    }
}

debug_as_message!(PointerError);

impl Error for PointerError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_round_trip() {
        for text in ["", "/", "/a", "/a/0/b", "/a~1b/m~0n", "/~01", "//", "/\"\\\u{2603}"] {
            let pointer: Pointer = text.parse().unwrap();
            assert_eq!(pointer.to_string(), text);
        }
        for text in ["a", "/~", "/~2", "/a~/b", "#/a"] {
            assert_eq!(text.parse::<Pointer>(), Err(PointerError), "{text}");
        }
    }

    #[test]
    fn names_match_as_in_go() {
        let token = PointerToken::new("max_tokens");
        assert_eq!(token.compare("max_tokens"), NameMatch::Same);
        for name in ["Max_Tokens", "MAX_TOKENS", "max_to\u{212a}ens", "max_token\u{17f}"] {
            assert_eq!(token.compare(name), NameMatch::OtherCase, "{name}");
            assert!(token.may_match_any(name_bits(name)));
        }
        for name in ["", "max_token", "maxTokens", "max-tokens", "max_tokens ", "max_tokénsé"] {
            assert_eq!(token.compare(name), NameMatch::Different, "{name}");
        }
        let token = PointerToken::new("straße");
        assert_eq!(token.compare("STRASSE"), NameMatch::OtherCase);
        assert!(token.may_match_any(name_bits("STRASSE")));
    }
}
