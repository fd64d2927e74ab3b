//! The members of a line, ready to be printed.

use serde_json::{Map, Value};

use super::error::ExplainError;
use crate::{
    context::{Decision, Layer},
    printable::printable,
    rejection::Refusal,
};

/// The longest printed value in bytes.
const MAX_VALUE_BYTES: usize = 512;
/// As many attempts as are read of a line.
const MAX_ATTEMPTS: usize = 16;
/// As many decisions as are read of a line.
const MAX_DECISIONS: usize = 64;

/// A line of the access log.
pub(super) struct Line(Map<String, Value>);

impl Line {
    pub(super) fn parse(line: &str) -> Result<Self, ExplainError> {
        let Ok(Value::Object(members)) = serde_json::from_str(line) else {
            return Err(ExplainError::NotJson);
        };
        let line = Self(members);
        if line.text("outcome").is_none() {
            return Err(ExplainError::NoRecord);
        }
        Ok(line)
    }

    /// Returns a string of the root, or of an object in it if the name has a dot.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.value(name)?.as_str().map(shown)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.value(name)?.as_u64()
    }

    pub(super) fn is_of(&self, request_id: &str) -> bool {
        self.value("request_id").and_then(Value::as_str) == Some(request_id)
    }

    /// Returns a time in microseconds as people write it.
    pub(super) fn time(&self, name: &str) -> Option<String> {
        let microseconds = self.number(name)?;
        Some(match microseconds {
            0..1_000 => format!("{microseconds} µs"),
            1_000..1_000_000 => {
                format!("{}.{} ms", microseconds / 1_000, microseconds / 100 % 10)
            }
            _ => format!("{}.{} s", microseconds / 1_000_000, microseconds / 100_000 % 10),
        })
    }

    pub(super) fn refusal(&self) -> Option<Refusal> {
        let slug = self.value("refusal")?.as_str()?;
        Refusal::ALL.iter().find(|refusal| refusal.slug() == slug).copied()
    }

    /// Returns the decisions that the line states by the names of the layers, or `None` if it states
    /// none.
    ///
    /// They are a text such as `auth=passed throttle=rejected`, or an object.
    pub(super) fn decisions(&self) -> Option<Vec<(String, Decision)>> {
        let decision = |name: &str, decision: &str| {
            let known = Decision::ALL.iter().find(|known| known.as_str() == decision);
            known.map(|known| (shown(name), *known))
        };
        let decisions: Vec<_> = match self.value("decisions")? {
            Value::String(text) => {
                let pairs = text.split([' ', ',']).filter_map(|pair| pair.split_once('='));
                let pairs = pairs.filter_map(|(name, text)| decision(name, text));
                pairs.take(MAX_DECISIONS).collect()
            }
            Value::Object(members) => {
                let pairs =
                    members.iter().filter_map(|(name, text)| decision(name, text.as_str()?));
                pairs.take(MAX_DECISIONS).collect()
            }
            _ => return None,
        };
        (!decisions.is_empty()).then_some(decisions)
    }

    /// Returns the objects in the list of attempts.
    pub(super) fn attempts(&self) -> Vec<Self> {
        let list = self.value("attempt_list").and_then(Value::as_array);
        let objects = list.into_iter().flatten().filter_map(Value::as_object);
        objects.take(MAX_ATTEMPTS).cloned().map(Self).collect()
    }

    fn value(&self, name: &str) -> Option<&Value> {
        match name.split_once('.') {
            Some((object, member)) => self.0.get(object)?.get(member),
            None => self.0.get(name),
        }
    }
}

/// Returns the layer of this crate that has this name.
pub(super) fn known_layer(name: &str) -> Option<Layer> {
    Layer::ALL.iter().find(|layer| layer.as_str() == name).copied()
}

/// Returns a value as it is printed.
pub(super) fn shown(value: &str) -> String {
    if value.len() <= MAX_VALUE_BYTES {
        return printable(value).into_owned();
    }
    let cut = (0..=MAX_VALUE_BYTES).rfind(|end| value.is_char_boundary(*end)).unwrap_or_default();
    format!("{}…", printable(value.get(..cut).unwrap_or_default()))
}
