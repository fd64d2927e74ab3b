//! Converts OpenAPI 3.0 keywords to JSON Schema.

use serde_json::{Map, Value, json};

use super::draft::{Draft, Subschemas};

/// Converts OpenAPI keywords in a schema and its subschemas to `draft`.
///
/// | OpenAPI | JSON Schema |
/// |---|---|
/// | `nullable: true` | `null` in `type` and `enum`, or a branch of `anyOf` |
/// | `exclusiveMinimum: true` from draft 6 on | `exclusiveMinimum` with the value of `minimum` |
/// | `format: int32` and `int64` if formats are asserted | `minimum` and `maximum` |
///
/// Data in `enum`, `const`, `default`, `example` and unknown keywords do not change.
pub(crate) fn rewrite(schema: &mut Value, draft: Draft, formats: bool) {
    let Value::Object(schema) = schema else { return };
    let draft = schema.get("$schema").and_then(Value::as_str).and_then(Draft::of).unwrap_or(draft);
    for (keyword, value) in schema.iter_mut() {
        match (draft.subschemas(keyword), value) {
            (Subschemas::Members(_), Value::Object(members)) => {
                members.values_mut().for_each(|member| rewrite(member, draft, formats));
            }
            (Subschemas::List(_) | Subschemas::OneOrList(_), Value::Array(list)) => {
                list.iter_mut().for_each(|element| rewrite(element, draft, formats));
            }
            (Subschemas::One(_) | Subschemas::OneOrList(_), value) => {
                rewrite(value, draft, formats)
            }
            _ => {}
        }
    }
    if draft != Draft::Draft4 {
        exclude(schema, "minimum", "exclusiveMinimum");
        exclude(schema, "maximum", "exclusiveMaximum");
    }
    if formats {
        bound(schema);
    }
    if schema.get("nullable") == Some(&Value::Bool(true)) {
        allow_null(schema, draft);
    }
}

/// Converts the boolean of draft 4 and OpenAPI to the number of later drafts.
fn exclude(schema: &mut Map<String, Value>, bound: &str, exclusive: &str) {
    let Some(&Value::Bool(is_exclusive)) = schema.get(exclusive) else { return };
    schema.remove(exclusive);
    if is_exclusive && let Some(limit) = schema.remove(bound) {
        schema.insert(exclusive.to_owned(), limit);
    }
}

/// Adds the range of OpenAPI's integers unless the schema has a narrower one.
fn bound(schema: &mut Map<String, Value>) {
    let (min, max) = match schema.get("format").and_then(Value::as_str) {
        Some("int32") => (i64::from(i32::MIN), i64::from(i32::MAX)),
        Some("int64") => (i64::MIN, i64::MAX),
        _ => return,
    };
    let stands = |bound: Option<&Value>, loose: &dyn Fn(f64) -> bool| {
        bound.is_some_and(|bound| !bound.as_f64().is_some_and(loose))
    };
    if !stands(schema.get("minimum"), &|own| own < min as f64) {
        schema.insert("minimum".to_owned(), min.into());
        schema.retain(|keyword, value| keyword != "exclusiveMinimum" || value.is_number());
    }
    if !stands(schema.get("maximum"), &|own| own > max as f64) {
        schema.insert("maximum".to_owned(), max.into());
        schema.retain(|keyword, value| keyword != "exclusiveMaximum" || value.is_number());
    }
}

/// Keywords that apply other schemas to a `null`.
const JUDGES: [&str; 10] = [
    "$ref",
    "$dynamicRef",
    "$recursiveRef",
    "allOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    // Only if `enum` is also present, because the list cannot express both.
    "const",
];

/// Makes a schema also accept `null`. Keywords not named here accept it already.
fn allow_null(schema: &mut Map<String, Value>, draft: Draft) {
    let null = json!({"type": "null"});
    let known = |keyword: &str| draft.engine().is_known_keyword(keyword);

    let mut inner = Map::new();
    if draft.refers_alone() && schema.contains_key("$ref") {
        // Keywords that the reference disables stay next to it. Definitions stay in place so that
        // references find them.
        let stays = |keyword: &str| !known(keyword) || matches!(keyword, "definitions" | "$schema");
        let (outer, judging) =
            std::mem::take(schema).into_iter().partition(|(keyword, _)| stays(keyword));
        (*schema, inner) = (outer, judging);
    } else {
        match schema.get_mut("type") {
            Some(Value::Array(types)) if !types.contains(&"null".into()) => {
                types.push("null".into());
            }
            Some(one @ Value::String(_)) => *one = json!([one.take(), "null"]),
            _ => {}
        }
        if let Some(Value::Array(values)) = schema.get_mut("enum") {
            if !values.contains(&Value::Null) {
                values.push(Value::Null);
            }
        } else if known("const")
            && let Some(value) = schema.remove("const")
        {
            schema.insert("enum".to_owned(), json!([value, null]));
        }
        for keyword in JUDGES.into_iter().filter(|keyword| known(keyword)) {
            inner.extend(schema.remove_entry(keyword));
        }
        if inner.is_empty() {
            if let Some(Value::Array(branches)) = schema.get_mut("anyOf") {
                branches.push(null);
            }
            return;
        }
        inner.extend(schema.remove_entry("anyOf"));
    }
    schema.insert("anyOf".to_owned(), Value::Array(vec![null, inner.into()]));
}
