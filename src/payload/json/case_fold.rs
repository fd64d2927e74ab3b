#[cfg(any(feature = "throttle", feature = "transform"))]
use std::borrow::Cow;

/// Whether a reader that ignores case takes both names for one.
pub(crate) fn is_alike(name: &str, other: &str) -> bool {
    if name.is_ascii() && other.is_ascii() {
        return name.eq_ignore_ascii_case(other);
    }
    is_folded_alike(name, other)
}

/// Removes the case of a name if the result is ASCII of at most `longest` bytes. The result can be
/// looked up among many ASCII names without folding the name for each of them.
#[cfg(any(feature = "throttle", feature = "transform"))]
pub(crate) fn fold_to_ascii(name: &str, longest: usize) -> Option<Cow<'_, str>> {
    if name.is_ascii() {
        return (name.len() <= longest).then_some(Cow::Borrowed(name));
    }
    let mut folded = String::new();
    for char in name.chars().flat_map(fold) {
        if !char.is_ascii() || folded.len() == longest {
            return None;
        }
        folded.push(char);
    }
    Some(Cow::Owned(folded))
}

pub(crate) fn is_folded_alike(name: &str, other: &str) -> bool {
    name.chars().flat_map(fold).eq(other.chars().flat_map(fold))
}

/// Removes the case of a character. Go also folds the long s and the Kelvin sign into `s` and `k`.
/// Each is reached in one direction only, so both directions apply.
pub(crate) fn fold(char: char) -> impl Iterator<Item = char> {
    char.to_uppercase().flat_map(char::to_lowercase)
}
