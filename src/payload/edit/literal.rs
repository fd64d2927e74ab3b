use std::fmt;

use serde_json::Value;

/// A JSON value that edits insert into documents. It is serialized once on creation.
///
/// ```
/// use tower_inference::payload::Literal;
///
/// assert_eq!(Literal::from(0.7).as_str(), "0.7");
/// assert_eq!(Literal::from("org/model").as_str(), "\"org/model\"");
/// assert_eq!(Literal::from(serde_json::json!({"type": "text"})).as_str(), r#"{"type":"text"}"#);
/// ```
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Literal {
    text: Box<str>,
    nodes: usize,
    depth: usize,
}

impl Literal {
    /// Returns the JSON text.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the number of values as
    /// [`DocumentBounds::max_values`](crate::payload::DocumentBounds::max_values) counts them.
    pub(crate) const fn value_count(&self) -> usize {
        self.nodes
    }

    /// Returns the nesting depth.
    pub(crate) const fn depth(&self) -> usize {
        self.depth
    }
}

impl<V: Into<Value>> From<V> for Literal {
    fn from(value: V) -> Self {
        let value = value.into();
        let (nodes, depth) = measure(&value);
        Self { text: value.to_string().into(), nodes, depth }
    }
}

/// Returns the number of values and the depth. Recursion is safe because serializing and dropping a
/// [`Value`] are recursive too.
fn measure(value: &Value) -> (usize, usize) {
    let around = |inner: (usize, usize), (nodes, depth)| (inner.0 + nodes, inner.1.max(depth));
    match value {
        Value::Array(elements) => {
            let (nodes, depth) = elements.iter().map(measure).fold((0, 0), around);
            (nodes + 1, depth + 1)
        }
        Value::Object(members) => {
            let (nodes, depth) = members.values().map(measure).fold((0, 0), around);
            (nodes + members.len() + 1, depth + 1)
        }
        _ => (1, 0),
    }
}

impl fmt::Debug for Literal {
    // Omits the text, which may be a prompt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Literal").field("bytes", &self.text.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::payload::Document;

    #[test]
    fn value_count_and_depth_match_the_document() {
        for value in [
            json!(null),
            json!("a"),
            json!([]),
            json!({}),
            json!({"a": [1, {"b": [[]]}], "c": {"d": {}}}),
        ] {
            let literal = Literal::from(value);
            let document = Document::parse(literal.as_str().to_owned()).unwrap();
            assert_eq!((literal.nodes, literal.depth), (document.value_count(), document.depth()));
        }
    }
}
