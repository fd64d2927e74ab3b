use serde_json::Value;

use super::{
    document::Document,
    fault::{JsonError, JsonFault},
    kind::Kind,
    node::Node,
    parse::{
        arena::Arena,
        slot::ValueSlot,
        string::{contents, unescape},
    },
};

impl Document {
    /// Converts the document to a `serde_json` value. Allocates for each string, array and object.
    ///
    /// # Errors
    ///
    /// Returns [`JsonFault::NumberOutOfRange`] if a number fits none of `u64`, `i64` and a finite
    /// `f64`. An example is `1e400`.
    pub fn to_value(&self) -> Result<Value, JsonError> {
        self.root().to_value()
    }
}

impl Node<'_> {
    /// Converts the value to a `serde_json` value.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Document::to_value`].
    pub fn to_value(self) -> Result<Value, JsonError> {
        let slots = self.arena().slots.get(self.index_range());
        // Slots are read backwards, so the elements of an array are ready before the array. The
        // first element is on top.
        let mut ready = Vec::new();
        for slot in slots.unwrap_or_default().iter().rev() {
            let value = value_of(self.arena(), slot, &mut ready)?;
            ready.push(value);
        }
        Ok(ready.pop().unwrap_or_default())
    }
}

/// Converts one slot. Its elements or members are at the end of `ready`, the first one last.
fn value_of(arena: &Arena, slot: &ValueSlot, ready: &mut Vec<Value>) -> Result<Value, JsonError> {
    let mut take = || ready.pop().unwrap_or_default();
    Ok(match slot.kind() {
        Kind::Null => Value::Null,
        Kind::Bool => slot.is_true().into(),
        Kind::Number => {
            let digits = arena.text.get(slot.start as usize..slot.end as usize);
            // serde_json parses the number itself, so the value equals that of its own parser.
            let number = serde_json::from_str(digits.unwrap_or_default());
            let error = JsonError::new(JsonFault::NumberOutOfRange, slot.start as usize);
            Value::Number(number.map_err(|_| error)?)
        }
        Kind::String => unescape(contents(&arena.text, slot)).into(),
        Kind::Array => (0..slot.len()).map(|_| take()).collect(),
        Kind::Object => {
            let members = (0..slot.len()).map(|_| match (take(), take()) {
                (Value::String(name), value) => (name, value),
                (_, value) => (String::new(), value),
            });
            Value::Object(members.collect())
        }
    })
}
