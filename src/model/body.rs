//! What the body says of the model.

use std::borrow::Cow;

use http::Request;

use super::{TargetError, name::MAX_LEN};
use crate::payload::{DocumentError, Payload, first_of_json, is_alike, says_json};

/// Other members by which gateways and servers choose what is reached.
const CHOOSERS: [&str; 4] = ["models", "provider", "providers", "fallbacks"];

/// The body's `model`, where it alone says what is reached.
pub(super) fn required(request: &Request<Payload>) -> Result<Cow<'_, str>, TargetError> {
    of_json(request)?.ok_or(TargetError::Missing)
}

/// The body's `model`, where bodies are JSON and nothing else.
pub(super) fn of_json(request: &Request<Payload>) -> Result<Option<Cow<'_, str>>, TargetError> {
    let payload = request.body();
    if payload.is_streamed() {
        return Err(TargetError::Body(DocumentError::Streamed));
    }
    // A form can be valid JSON, and name another model.
    if !says_json(request.headers()) {
        return Err(TargetError::MediaType);
    }
    read(payload)
}

/// The body's `model`, where the path says what is reached and the body may repeat it. Pictures and
/// sounds say nothing.
pub(super) fn optional(request: &Request<Payload>) -> Result<Option<Cow<'_, str>>, TargetError> {
    let payload = request.body();
    let object = || payload.bytes().and_then(|bytes| first_of_json(bytes)) == Some(b'{');
    match read(payload) {
        Err(TargetError::Body(_)) if !object() => Ok(None),
        model => model,
    }
}

fn read(payload: &Payload) -> Result<Option<Cow<'_, str>>, TargetError> {
    let mut model = None;
    for (name, value) in payload.document().map_err(TargetError::Body)?.root().members() {
        if name == "model" {
            model = Some(value);
        } else if is_chooser(&name) {
            return Err(TargetError::Ambiguous);
        }
    }
    let Some(model) = model.filter(|model| !model.is_null()) else { return Ok(None) };
    // Written with escapes, a byte takes up to six.
    if model.span().len() > 6 * MAX_LEN + 2 {
        return Err(TargetError::Name);
    }
    let model = model.as_str().ok_or(TargetError::Name)?;
    if model.is_empty() || model.len() > MAX_LEN {
        return Err(TargetError::Name);
    }
    Ok(Some(model))
}

/// Whether an upstream might take this member for one that chooses, `model` written otherwise
/// included.
fn is_chooser(name: &str) -> bool {
    std::iter::once("model").chain(CHOOSERS).any(|chooser| is_alike(name, chooser))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_as_go_folds_them() {
        for name in
            ["Model", "MODEL", "mOdEl", "model\u{17f}", "PROVIDER\u{17f}", "fallbac\u{212a}s"]
        {
            assert!(is_chooser(name), "{name}");
        }
        for name in ["", "mode", "modell", "my_model", "mod\u{e9}l", "\u{ff4d}odel"] {
            assert!(!is_chooser(name), "{name}");
        }
    }
}
