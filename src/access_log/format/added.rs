//! Writes what a log has beyond the facts of the layers: the program's own values and bodies.

use crate::{
    access_log::content::{Content, ContentKind},
    context::AddedValue,
    json_object::{JsonObject, member_name},
    record::{Record, RecordedBody},
};

/// Writes the share of records that this one stands for, whatever the chosen fields are. Sums over a
/// sampled log would be wrong without it.
pub(super) fn sample_rate(object: &mut JsonObject, record: &Record<'_>) {
    if let Some(rate) = record.sample_rate() {
        object.push(member_name!("sample_rate"));
        object.display(rate);
    }
}

/// Writes the member `values` unless the program added none.
pub(super) fn added_values(object: &mut JsonObject, record: &Record<'_>) {
    if record.added_values().is_empty() {
        return;
    }
    object.push(member_name!("values"));
    let start = object.open();
    added_members(object, record);
    object.close(start);
}

/// Writes the values that the program added as members.
pub(crate) fn added_members(object: &mut JsonObject, record: &Record<'_>) {
    for (name, value) in record.added_values() {
        object.name(record.text(name));
        added_value(object, record, value);
    }
}

/// Writes a value after its name.
fn added_value(object: &mut JsonObject, record: &Record<'_>, value: &AddedValue) {
    match value {
        AddedValue::Text(text) => object.string(record.text(text)),
        AddedValue::Integer(number) => object.display(number),
        AddedValue::Float(number) if number.is_finite() => object.display(number),
        // JSON has no such number.
        AddedValue::Float(number) => object.string(&number.to_string()),
        AddedValue::Flag(flag) => object.display(flag),
    }
}

/// Writes a body as an object after its name. Its text has at most `most` bytes.
pub(super) fn body(
    object: &mut JsonObject,
    content: &Content,
    body: &RecordedBody<'_>,
    most: usize,
) {
    let start = object.open();
    match &content.0 {
        ContentKind::Truncated { max_bytes } => {
            let excerpt = body.excerpt((*max_bytes).min(most));
            object.text(member_name!("text"), excerpt.as_ref().map(|excerpt| &*excerpt.text));
            object.text(member_name!("coding"), body.coding());
            object.number(member_name!("bytes"), Some(body.bytes()));
            let cut = excerpt.map_or_else(|| body.bytes(), |excerpt| excerpt.cut_bytes);
            object.number(member_name!("cut_bytes"), Some(cut));
        }
        ContentKind::Pseudonym(pseudonyms) => {
            let pseudonym = body.digest().map(|digest| pseudonyms.content_digest(&digest));
            object.text(member_name!("pseudonym"), pseudonym.as_deref());
            object.text(member_name!("coding"), body.coding());
            object.number(member_name!("bytes"), Some(body.bytes()));
        }
    }
    object.close(start);
}
