use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use jsonschema::json::cmp::equal_numbers;
use serde_json::Value;

use super::number::WrittenNumber;
use crate::payload::{Kind, Node};

/// Up to this many elements are compared one by one. More are sorted first.
const MAX_COMPARED: usize = 12;

/// Whether a value equals that of `const` or `enum`. Numbers are compared by value, so `1.0` equals
/// `1`.
pub(crate) fn equals_value(node: Node<'_>, expected: &Value) -> bool {
    match expected {
        Value::Null => node.is_null(),
        Value::Bool(expected) => node.as_bool() == Some(*expected),
        Value::Number(expected) => {
            WrittenNumber::of(node).is_some_and(|number| equal_numbers(&number, expected))
        }
        Value::String(expected) => node.says(expected),
        Value::Array(expected) => {
            node.kind() == Kind::Array
                && node.len() == expected.len()
                && node.elements().zip(expected).all(|(own, expected)| equals_value(own, expected))
        }
        Value::Object(expected) => {
            node.kind() == Kind::Object
                && node.len() == expected.len()
                && node.members().all(|(name, own)| {
                    let expected = expected.get(name.as_ref());
                    expected.is_some_and(|expected| equals_value(own, expected))
                })
        }
    }
}

/// Whether the elements of an array are unique (`uniqueItems`).
///
/// Many elements are sorted by a hash with a random key, so no client can prepare an array that
/// takes quadratic time.
pub(crate) fn is_unique(array: Node<'_>) -> bool {
    // Comparing arrays and objects pairwise would read each of them many times.
    let is_leaf = |element: Node<'_>| !matches!(element.kind(), Kind::Array | Kind::Object);
    if array.len() <= MAX_COMPARED && array.elements().all(is_leaf) {
        let mut elements = array.elements();
        return std::iter::from_fn(|| elements.next().map(|element| (element, elements.clone())))
            .all(|(element, mut later)| !later.any(|other| equal(element, other)));
    }
    let state = RandomState::new();
    let mut hashed = Vec::with_capacity(array.len());
    hashed.extend(array.elements().map(|element| (hash(element, &state), element)));
    hashed.sort_unstable_by_key(|(hash, _)| *hash);
    // Elements with equal hashes are almost always equal.
    hashed.chunk_by(|one, other| one.0 == other.0).all(|same| {
        let earlier = |index| same.iter().take(index);
        same.iter()
            .enumerate()
            .all(|(index, (_, element))| !earlier(index).any(|(_, other)| equal(*other, *element)))
    })
}

fn equal(one: Node<'_>, other: Node<'_>) -> bool {
    if one.kind() != other.kind() || one.len() != other.len() {
        return false;
    }
    match one.kind() {
        Kind::Null => true,
        Kind::Bool => one.as_bool() == other.as_bool(),
        Kind::Number => {
            one.raw() == other.raw() || {
                let decimal = |node| WrittenNumber::of(node).map(WrittenNumber::decimal);
                decimal(one) == decimal(other)
            }
        }
        Kind::String => one.says_the_same(other),
        Kind::Array => one.elements().zip(other.elements()).all(|(one, other)| equal(one, other)),
        Kind::Object => {
            let mut members = one.members();
            members.all(|(name, value)| other.get(&name).is_some_and(|other| equal(value, other)))
        }
    }
}

/// Equal values have equal hashes.
fn hash(node: Node<'_>, state: &RandomState) -> u64 {
    let mut hasher = state.build_hasher();
    std::mem::discriminant(&node.kind()).hash(&mut hasher);
    match node.kind() {
        Kind::Null => {}
        Kind::Bool => node.as_bool().hash(&mut hasher),
        Kind::Number => WrittenNumber::of(node).map(WrittenNumber::decimal).hash(&mut hasher),
        Kind::String => node.as_str().hash(&mut hasher),
        Kind::Array => {
            hasher.write_usize(node.len());
            node.elements().for_each(|element| hasher.write_u64(hash(element, state)));
        }
        Kind::Object => {
            // The order of members does not matter.
            let members = node.members().map(|(name, value)| {
                let mut hasher = state.build_hasher();
                name.hash(&mut hasher);
                hasher.write_u64(hash(value, state));
                hasher.finish()
            });
            hasher.write_u64(members.fold(0, u64::wrapping_add));
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{Document, work};

    /// Creates twelve objects with escaped names that differ only in their last values.
    fn objects(names: usize) -> Document {
        let members: String = (0..names).map(|at| format!("\"\\u0061{at:05}\":0,")).collect();
        let object = |last: usize| format!("{{{members}\"last\":{last}}}");
        let all: Vec<_> = (0..12).map(object).collect();
        Document::parse(format!("[{}]", all.join(","))).unwrap()
    }

    #[test]
    fn unique_items_are_read_once() {
        for names in [4, 15, 1_000] {
            let document = objects(names);
            let before = work();
            assert!(is_unique(document.root()));
            let (work, length) = (work() - before, document.bytes().len());
            assert!(work <= length, "{work} for {length}");
        }
    }

    #[test]
    fn wide_objects_are_compared_by_their_names() {
        let document = objects(1_000);
        let elements: Vec<_> = document.root().elements().take(2).collect();
        let before = work();
        assert!(equal(elements[0], elements[0]) && !equal(elements[0], elements[1]));
        let (work, length) = (work() - before, document.bytes().len());
        assert!(work <= length, "{work} for {length}");

        let other = Document::parse(r#"[{"a":[1,"x"],"b":2},{"\u0062":2.0,"a":[1e0,"\u0078"]}]"#);
        let other = other.unwrap();
        assert!(!is_unique(other.root()));
    }
}
