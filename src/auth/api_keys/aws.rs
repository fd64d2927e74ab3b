//! The output of `aws apigateway get-api-keys --include-values`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    error::{ApiKeysError, ApiKeysFault},
    key::ApiKey,
    record::ApiKeyRecord,
    table::KeyTable,
};
use crate::lookalike::{lookalike, without_byte_order_mark};

/// Reads the keys. `complete` may add to a record what the tags of its key say.
pub(super) fn parse(
    json: &[u8],
    complete: impl Fn(ApiKeyRecord, &BTreeMap<String, String>) -> ApiKeyRecord,
) -> Result<KeyTable, ApiKeysError> {
    let malformed = |reason: String| ApiKeysError::from(ApiKeysFault::Malformed(reason.into()));
    let output: Value = serde_json::from_slice(without_byte_order_mark(json)).map_err(|error| {
        malformed(lookalike(json).map_or_else(|| error.to_string(), str::to_owned))
    })?;
    let Value::Object(mut output) = output else {
        return Err(malformed("the output of AWS is an object with `items`".to_owned()));
    };
    // `position` is that of the API and `NextToken` that of the command line.
    for name in ["position", "NextToken"] {
        if output.get(name).is_some_and(|value| !matches!(value.as_str(), None | Some(""))) {
            return Err(ApiKeysFault::TruncatedPage.into());
        }
    }
    let Some(Value::Array(items)) = output.remove("items") else {
        return Err(malformed("the output of AWS has no array `items`".to_owned()));
    };
    let mut table = KeyTable::default();
    for (index, item) in items.into_iter().enumerate() {
        let id = item.get("id").and_then(Value::as_str).map(str::to_owned);
        let (key, record, tags) =
            read(item).map_err(|fault| fault.of_entry(index, id.as_deref()))?;
        table.insert(index, key.digest(), complete(record, &tags))?;
    }
    table.finish()
}

type Item = (ApiKey, ApiKeyRecord, BTreeMap<String, String>);

/// Reads one key. Members without a meaning here, such as `stageKeys`, are ignored.
fn read(item: Value) -> Result<Item, ApiKeysFault> {
    let expected = |name, expected| ApiKeysFault::InvalidMember { name, expected };
    let Value::Object(mut item) = item else {
        return Err(ApiKeysFault::Malformed("it is not an object".into()));
    };
    let id = text(&mut item, "id")?;
    let key = ApiKey::new(text(&mut item, "value")?).map_err(ApiKeysFault::InvalidKey)?;
    let record = ApiKeyRecord::new(id);
    let record = match item.get("enabled") {
        Some(Value::Bool(true)) => record,
        Some(Value::Bool(false)) => record.disabled(),
        Some(_) => return Err(expected("enabled", "true or false")),
        None => return Err(ApiKeysFault::MissingMember("enabled")),
    };
    let mut tags = BTreeMap::new();
    if let Some(Value::Object(members)) = item.remove("tags") {
        for (name, value) in members {
            let Value::String(value) = value else {
                return Err(expected("tags", "an object with strings"));
            };
            tags.insert(name, value);
        }
    }
    Ok((key, record, tags))
}

fn text(item: &mut Map<String, Value>, name: &'static str) -> Result<String, ApiKeysFault> {
    match item.remove(name) {
        Some(Value::String(text)) => Ok(text),
        None => Err(ApiKeysFault::MissingMember(name)),
        Some(_) => Err(ApiKeysFault::InvalidMember { name, expected: "a string" }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(json: &Value) -> String {
        let parsed = parse(json.to_string().as_bytes(), |record, _| record);
        parsed.map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn each_fault_of_the_output_is_told() {
        let item = |changes: Value| {
            let mut item =
                json!({ "id": "a1b2c3d4e5", "value": "0123456789abcdefghij", "enabled": true });
            for (name, value) in changes.as_object().unwrap() {
                match value {
                    Value::Null => item.as_object_mut().unwrap().remove(name),
                    value => item.as_object_mut().unwrap().insert(name.clone(), value.clone()),
                };
            }
            json!({ "items": [item] })
        };
        for (changes, expected) in [
            (json!({ "value": null }), "--include-values"),
            (json!({ "value": "0123456789abcdefghi" }), "fewer than 20"),
            (json!({ "enabled": null }), "has no `enabled`"),
            (json!({ "enabled": "true" }), "`enabled` is not true or false"),
            (json!({ "tags": { "team": 7 } }), "`tags` is not"),
        ] {
            let message = error(&item(changes));
            assert!(message.starts_with("entry 0 (id `a1b2c3d4e5`): "), "{message}");
            assert!(message.contains(expected), "{message}");
            assert!(!message.contains("0123456789"), "{message}");
        }
        assert!(error(&item(json!({ "id": null }))).contains("has no `id`"));
        assert!(error(&json!([])).contains("an object with `items`"));
        assert!(error(&json!({})).contains("no array `items`"));
        for name in ["position", "NextToken"] {
            let page = json!({ "items": [], (name): "bTVmd2x1" });
            assert!(error(&page).contains("one page of several"), "{name}");
            let last = json!({ "items": [], (name): null }).to_string();
            assert!(parse(last.as_bytes(), |record, _| record).is_ok());
        }
    }
}
