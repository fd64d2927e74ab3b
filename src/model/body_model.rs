//! Reads the model's name from the body.

use std::borrow::Cow;

use http::Request;

use super::{TargetError, name::MAX_LEN};
use crate::payload::{DocumentError, Payload, first_json_byte, says_json};

/// Other members by which gateways and servers choose a model or provider.
const CHOOSERS: [&str; 4] = ["models", "provider", "providers", "fallbacks"];

/// Returns the body's `model` for a route where only the body names it.
pub(super) fn required(request: &Request<Payload>) -> Result<Cow<'_, str>, TargetError> {
    of_json(request)?.ok_or(TargetError::Missing)
}

/// Returns the body's `model` for a route that takes only JSON.
pub(super) fn of_json(request: &Request<Payload>) -> Result<Option<Cow<'_, str>>, TargetError> {
    let payload = request.body();
    if payload.is_streamed() {
        return Err(TargetError::Body(DocumentError::Streamed));
    }
    // A form body can also be valid JSON, with another model for its reader.
    if !says_json(request.headers()) {
        return Err(TargetError::MediaType);
    }
    read(payload)
}

/// Returns the body's `model` for a route whose path names the model. Pictures and sounds have none.
pub(super) fn optional(request: &Request<Payload>) -> Result<Option<Cow<'_, str>>, TargetError> {
    let payload = request.body();
    let object = || payload.bytes().and_then(|bytes| first_json_byte(bytes)) == Some(b'{');
    match read(payload) {
        Err(TargetError::Body(_)) if !object() => Ok(None),
        model => model,
    }
}

/// Returns the body's `model` for a route that may take any body. One that cannot be read, as a form, a
/// compressed body or a streamed one, may name a model there.
#[cfg(feature = "hf")]
pub(super) fn on_unknown_route(
    request: &Request<Payload>,
) -> Result<Option<Cow<'_, str>>, TargetError> {
    match read(request.body()) {
        Err(TargetError::Body(DocumentError::Empty)) => Ok(None),
        model => model,
    }
}

fn read(payload: &Payload) -> Result<Option<Cow<'_, str>>, TargetError> {
    let root = payload.document().map_err(TargetError::Body)?.root();
    let mut model = None;
    for chooser in std::iter::once("model").chain(CHOOSERS) {
        for (name, value) in root.alike(chooser) {
            if !name.says("model") {
                return Err(TargetError::Ambiguous);
            }
            model = Some(value);
        }
    }
    let Some(model) = model.filter(|model| !model.is_null()) else { return Ok(None) };
    // An escaped byte takes up to six bytes.
    if model.span().len() > 6 * MAX_LEN + 2 {
        return Err(TargetError::Name);
    }
    let model = model.as_str().ok_or(TargetError::Name)?;
    if model.is_empty() || model.len() > MAX_LEN {
        return Err(TargetError::Name);
    }
    Ok(Some(model))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_go_compares_them() {
        let others: String = (0..40).map(|at| format!(",\"x{at}\":0")).collect();
        for others in ["", &others] {
            let read = |name: &str| {
                let payload = Payload::buffered(format!("{{\"{name}\":\"m\"{others}}}"));
                read(&payload).map(|model| model.map(Cow::into_owned))
            };
            assert_eq!(read("model").unwrap().as_deref(), Some("m"));
            assert_eq!(read("mod\\u0065l").unwrap().as_deref(), Some("m"));
            for name in [
                "Model",
                "MODEL",
                "mOd\\u0045l",
                "model\u{17f}",
                "models",
                "PROVIDER\u{17f}",
                "fallbac\u{212a}s",
            ] {
                assert!(matches!(read(name), Err(TargetError::Ambiguous)), "{name}");
            }
            for name in ["", "mode", "modell", "my_model", "mod\u{e9}l", "\u{ff4d}odel"] {
                assert_eq!(read(name).unwrap(), None, "{name}");
            }
        }
    }
}
