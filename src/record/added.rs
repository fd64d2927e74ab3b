//! Writes the values that the program added. Every JSON that has them writes them alike.

use super::record::Record;
use crate::{
    context::AddedValue,
    json_object::{JsonObject, member_name},
};

/// Writes the member `values` unless the program added none.
pub(crate) fn added_values(object: &mut JsonObject, record: &Record<'_>) {
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
