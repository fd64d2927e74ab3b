use std::{
    borrow::Cow,
    hash::{BuildHasher, Hash, Hasher, RandomState},
};

use jsonschema::json::cmp::equal_numbers;
use serde_json::Value;

use super::number::Digits;
use crate::payload::{Kind, Node};

/// As many elements, or members, are compared one by one; more are sorted first.
const FEW: usize = 12;

/// Whether a value of the document is what `const` or `enum` asks for. Numbers are compared by
/// their value: `1.0` is `1`.
pub(super) fn equals_value(node: Node<'_>, expected: &Value) -> bool {
    match expected {
        Value::Null => node.is_null(),
        Value::Bool(expected) => node.as_bool() == Some(*expected),
        Value::Number(expected) => {
            Digits::of(node).is_some_and(|number| equal_numbers(&number, expected))
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

/// Whether no element of an array is there twice (`uniqueItems`).
///
/// Many elements are sorted by a hash that is keyed at random, so that nobody can prepare an array
/// that takes quadratic time.
pub(super) fn is_unique(array: Node<'_>) -> bool {
    if array.len() <= FEW {
        let mut elements = array.elements();
        return std::iter::from_fn(|| elements.next().map(|element| (element, elements.clone())))
            .all(|(element, mut later)| !later.any(|other| equal(element, other)));
    }
    let state = RandomState::new();
    let mut hashed = Vec::with_capacity(array.len());
    hashed.extend(array.elements().map(|element| (hash(element, &state), element)));
    hashed.sort_unstable_by_key(|(hash, _)| *hash);
    // Elements of the same hash are the same, but for accidents.
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
                let decimal = |node| Digits::of(node).map(Digits::decimal);
                decimal(one) == decimal(other)
            }
        }
        Kind::String => one.as_str() == other.as_str(),
        Kind::Array => one.elements().zip(other.elements()).all(|(one, other)| equal(one, other)),
        Kind::Object if one.len() <= FEW => one
            .members()
            .all(|(name, value)| other.get(&name).is_some_and(|other| equal(value, other))),
        Kind::Object => {
            let (one, other) = (sorted(one), sorted(other));
            let mut pairs = one.iter().zip(&other);
            pairs.all(|(one, other)| one.0 == other.0 && equal(one.1, other.1))
        }
    }
}

/// The members of an object, by name.
fn sorted(object: Node<'_>) -> Vec<(Cow<'_, str>, Node<'_>)> {
    let mut members: Vec<_> = object.members().collect();
    members.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    members
}

/// A hash that is the same for equal values.
fn hash(node: Node<'_>, state: &RandomState) -> u64 {
    let mut hasher = state.build_hasher();
    std::mem::discriminant(&node.kind()).hash(&mut hasher);
    match node.kind() {
        Kind::Null => {}
        Kind::Bool => node.as_bool().hash(&mut hasher),
        Kind::Number => Digits::of(node).map(Digits::decimal).hash(&mut hasher),
        Kind::String => node.as_str().hash(&mut hasher),
        Kind::Array => {
            hasher.write_usize(node.len());
            node.elements().for_each(|element| hasher.write_u64(hash(element, state)));
        }
        Kind::Object => {
            // The order of members does not count.
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
