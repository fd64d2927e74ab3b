use super::{
    choices::{candidates, choices},
    generated::text,
    media::images,
    output::message,
    result_end::ResultEnd,
    scores::{classes, is_class},
    value::{all, explains, has, is_filled, is_number, is_text},
    vectors::vectors,
};
use crate::payload::{Kind, Node};

/// Returns the end of the result of any task: of a server whose model decides.
pub(super) fn task(root: Node<'_>) -> Option<ResultEnd> {
    let holds = vectors(root).is_some() || classes(root);
    if holds {
        return Some(ResultEnd::Stated);
    }
    match root.kind() {
        // Classes of tables are numbers or strings.
        Kind::Array if all(root, |one| is_text(one) || is_number(one)) => Some(ResultEnd::Stated),
        Kind::Array => ResultEnd::of_all(root.elements().map(one)),
        _ => one(root),
    }
}

/// Returns the end of one result.
fn one(one: Node<'_>) -> Option<ResultEnd> {
    if one.kind() != Kind::Object || explains(one) {
        return None;
    }
    if let Some(predictions) = one.get("predictions") {
        return ResultEnd::of_all(predictions.elements().map(prediction));
    }
    let succeeded = has(one, "status", |status| {
        matches!(status.as_str().as_deref(), Some("succeeded" | "completed"))
    });
    let told = has(one, "summary_text", is_text)
        || has(one, "translation_text", is_text)
        // A recording may be silent.
        || has(one, "text", |text| text.kind() == Kind::String)
        || has(one, "outputs", |outputs| all(outputs, |output| has(output, "data", is_filled)))
        || has(one, "output", is_filled) && succeeded
        || has(one, "similarities", |scores| all(scores, is_number))
        || images(one);
    let end = text(one).or_else(|| choices(one)).or_else(|| candidates(one));
    end.or_else(|| message(one)).or_else(|| told.then_some(ResultEnd::Stated))
}

/// Returns the end of a prediction of Vertex AI or KServe. A string is text of TGI, which tells no end.
fn prediction(prediction: Node<'_>) -> Option<ResultEnd> {
    if is_text(prediction) {
        return Some(ResultEnd::Unstated);
    }
    let holds = is_number(prediction) || vectors(prediction).is_some() || is_class(prediction);
    if holds && !explains(prediction) { Some(ResultEnd::Stated) } else { one(prediction) }
}
