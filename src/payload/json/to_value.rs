use serde_json::Value;

use super::{
    document::Document,
    fault::{JsonError, JsonFault},
    kind::Kind,
    node::Node,
    parse::{
        arena::Arena,
        slot::Slot,
        string::{contents, unescape},
    },
};

impl Document {
    /// The same document for users of `serde_json`. Costs an allocation for each string and
    /// container.
    ///
    /// # Errors
    ///
    /// [`JsonFault::NumberOutOfRange`] when a number, such as `1e400`, is none of `u64`, `i64` and a
    /// finite `f64`.
    pub fn to_value(&self) -> Result<Value, JsonError> {
        self.root().to_value()
    }
}

impl Node<'_> {
    /// The value for users of `serde_json`.
    ///
    /// # Errors
    ///
    /// As [`Document::to_value`].
    pub fn to_value(self) -> Result<Value, JsonError> {
        let slots = self.arena().slots.get(self.index_range());
        // From the last slot to the first, so that what an array holds lies ready when its turn
        // comes, first element on top.
        let mut ready = Vec::new();
        for slot in slots.unwrap_or_default().iter().rev() {
            let value = value_of(self.arena(), slot, &mut ready)?;
            ready.push(value);
        }
        Ok(ready.pop().unwrap_or_default())
    }
}

/// The value of a slot. What it holds is taken from the end of `ready`, first element last.
fn value_of(arena: &Arena, slot: &Slot, ready: &mut Vec<Value>) -> Result<Value, JsonError> {
    let mut take = || ready.pop().unwrap_or_default();
    Ok(match slot.kind() {
        Kind::Null => Value::Null,
        Kind::Bool => slot.is_true().into(),
        Kind::Number => {
            let digits = arena.text.get(slot.start as usize..slot.end as usize);
            // By serde_json's own hand, so that the value is what its reader makes of it.
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
