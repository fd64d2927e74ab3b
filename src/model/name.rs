//! What a name looks like.

use std::borrow::Cow;

use super::{Policy, Provider, Target, TargetError};

/// Bytes of the longest `model`, its suffix included.
pub(super) const MAX_LEN: usize = 256;

/// A model as the router takes it: a name of the Hub, and after a colon a provider or a policy.
pub(super) fn with_suffix(model: Cow<'_, str>) -> Result<Target<'_>, TargetError> {
    let (name, suffix) = split(model);
    let provider = match suffix {
        None => Provider::Chosen(Policy::Fastest),
        Some(suffix) => match Policy::of(&suffix) {
            Some(policy) => Provider::Chosen(policy),
            None if is_word(&suffix) => Provider::Named(suffix),
            None => return Err(TargetError::Name),
        },
    };
    if !is_of_hub(&name) {
        return Err(TargetError::Name);
    }
    Ok(Target::of(name).with_provider(provider))
}

/// What stands before the first colon, and what after it.
pub(super) fn split(model: Cow<'_, str>) -> (Cow<'_, str>, Option<Cow<'_, str>>) {
    match model {
        Cow::Borrowed(model) => match model.split_once(':') {
            Some((name, suffix)) => (name.into(), Some(suffix.into())),
            None => (model.into(), None),
        },
        Cow::Owned(model) => match model.split_once(':') {
            Some((name, suffix)) => (name.to_owned().into(), Some(suffix.to_owned().into())),
            None => (model.into(), None),
        },
    }
}

/// `name` or `owner/name`, of the characters that the Hub allows.
pub(super) fn is_of_hub(name: &str) -> bool {
    name.split('/').count() <= 2 && name.split('/').all(is_word)
}

/// A name that a server or a provider gave: any number of words, of a few characters more.
pub(super) fn is_plain(name: &str) -> bool {
    let word = |word: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._@+:".contains(&b);
        !word.is_empty() && !word.starts_with('.') && word.bytes().all(plain)
    };
    // `http:host` is a URL too, for those who parse as browsers do.
    let scheme = name.split(':').next().filter(|scheme| scheme.len() < name.len());
    let url = scheme.is_some_and(|scheme| {
        scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
    });
    name.len() <= MAX_LEN
        && !url
        && !name.contains("..")
        && !name.contains(":/")
        && name.split('/').all(word)
}

/// A word of a name of the Hub, or of a provider's name.
pub(super) fn is_word(word: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    (1..=96).contains(&word.len())
        && !word.starts_with('.')
        && !word.contains("..")
        && word.bytes().all(plain)
}
