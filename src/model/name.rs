//! The syntax of names.

use std::borrow::Cow;

use super::{
    TargetError,
    target::{Provider, ProviderPolicy, Target},
};

/// The maximum length in bytes of a `model` with its suffix.
pub(super) const MAX_LEN: usize = 256;

/// Parses a model of the router: a name of the Hub with an optional `:provider` or `:policy`.
pub(super) fn with_suffix(model: Cow<'_, str>) -> Result<Target<'_>, TargetError> {
    let (name, suffix) = split(model);
    let provider = match suffix {
        None => Provider::Chosen(ProviderPolicy::Fastest),
        Some(suffix) => match ProviderPolicy::from_suffix(&suffix) {
            Some(policy) => Provider::Chosen(policy),
            None if is_word(&suffix) => Provider::Named(suffix),
            None => return Err(TargetError::Name),
        },
    };
    if !is_of_hub(&name) {
        return Err(TargetError::Name);
    }
    Ok(Target::new(name).with_provider(provider))
}

/// Splits at the first colon.
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

/// Returns whether a name is `name` or `owner/name` in the characters of the Hub.
pub(super) fn is_of_hub(name: &str) -> bool {
    name.split('/').count() <= 2 && name.split('/').all(is_word)
}

/// Returns whether a name may be one of a server or a provider: any number of words in a few more
/// characters.
pub(super) fn is_plain(name: &str) -> bool {
    let word = |word: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._@+:".contains(&b);
        !word.is_empty() && !word.starts_with('.') && word.bytes().all(plain)
    };
    // Browsers parse `http:host` as a URL too.
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

/// Returns whether a text is a word of a Hub name or a provider's name.
pub(super) fn is_word(word: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    (1..=96).contains(&word.len())
        && !word.starts_with('.')
        && !word.contains("..")
        && word.bytes().all(plain)
}
