//! The JSON of a file of keys.

use std::{borrow::Cow, fmt};

use serde_core::{
    Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    digest::ApiKeyDigest,
    error::{ApiKeysError, ApiKeysFault},
    key::ApiKey,
    record::ApiKeyRecord,
    rfc3339,
    table::KeyTable,
};
use crate::lookalike::{lookalike, without_byte_order_mark};

/// Reads an array of entries. Memory is needed for one entry at a time and for the table.
pub(super) fn parse(content: &[u8], weak_keys: bool) -> Result<KeyTable, ApiKeysError> {
    let mut list = List { table: KeyTable::default(), weak_keys, error: None };
    let mut json = serde_json::Deserializer::from_slice(without_byte_order_mark(content));
    let read = json.deserialize_seq(&mut list).and_then(|()| json.end());
    match (list.error, read) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(ApiKeysFault::Malformed(explain(content, &error)).into()),
        (None, Ok(())) => list.table.finish(),
    }
}

/// Says how the content differs from an array of objects, without a word of it.
fn explain(content: &[u8], error: &serde_json::Error) -> Cow<'static, str> {
    if let Some(form) = lookalike(content) {
        return form.into();
    }
    let content = without_byte_order_mark(content).trim_ascii();
    match (content.first(), error.classify()) {
        (Some(b'{'), serde_json::error::Category::Data) => {
            "it is an object; the output of `aws apigateway get-api-keys` is read by \
             ApiKeys::from_aws_json"
                .into()
        }
        // The message of a data error may have a value of the content.
        (_, serde_json::error::Category::Data) => {
            format!("it differs at line {} column {}", error.line(), error.column()).into()
        }
        _ => error.to_string().into(),
    }
}

struct List {
    table: KeyTable,
    weak_keys: bool,
    /// The fault that ended the reading. The error of the JSON reader cannot carry it.
    error: Option<ApiKeysError>,
}

impl<'de> Visitor<'de> for &mut List {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(members) = seq.next_element_seed(EntrySeed)? {
            let id = members.id.clone();
            let added = members
                .into_record(self.weak_keys)
                .map_err(|fault| fault.of_entry(index, id.as_deref()))
                .and_then(|(digest, record)| self.table.insert(index, digest, record));
            if let Err(error) = added {
                self.error = Some(error);
                return Err(A::Error::custom("a fault of an entry"));
            }
            index += 1;
        }
        Ok(())
    }
}

/// The members of one entry.
#[derive(Default)]
struct Members {
    id: Option<String>,
    key: Option<Zeroizing<String>>,
    digest: Option<String>,
    tenant: Option<String>,
    scopes: Option<Vec<Box<str>>>,
    roles: Option<Vec<Box<str>>>,
    plan: Option<String>,
    expires: Option<String>,
    disabled: Option<bool>,
    seen: Vec<&'static str>,
    /// The first fault. The rest of the entry is still read, because the id may follow.
    fault: Option<ApiKeysFault>,
}

const NAMES: [&str; 9] =
    ["id", "key", "digest", "tenant", "scopes", "roles", "plan", "expires", "disabled"];

impl Members {
    fn set(&mut self, name: &str, value: Value) -> Result<(), ApiKeysFault> {
        let Some(name) = NAMES.into_iter().find(|known| *known == name) else {
            return Err(ApiKeysFault::UnknownMember(shown(name)));
        };
        if self.seen.contains(&name) {
            return Err(ApiKeysFault::RepeatedMember(name));
        }
        self.seen.push(name);
        // Many programs write a member without a value as null.
        if value.is_null() {
            return Ok(());
        }
        match name {
            "id" => self.id = Some(text(name, value)?),
            "key" => self.key = Some(Zeroizing::new(text(name, value)?)),
            "digest" => self.digest = Some(text(name, value)?),
            "tenant" => self.tenant = Some(text(name, value)?),
            "scopes" => self.scopes = Some(texts(name, value)?),
            "roles" => self.roles = Some(texts(name, value)?),
            "plan" => self.plan = Some(text(name, value)?),
            "expires" => self.expires = Some(text(name, value)?),
            _ => {
                let invalid = ApiKeysFault::InvalidMember { name, expected: "true or false" };
                self.disabled = Some(value.as_bool().ok_or(invalid)?);
            }
        }
        Ok(())
    }

    fn into_record(self, weak_keys: bool) -> Result<(ApiKeyDigest, ApiKeyRecord), ApiKeysFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let mut record = ApiKeyRecord::new(self.id.ok_or(ApiKeysFault::MissingMember("id"))?);
        let digest = match (self.key, self.digest) {
            (Some(_), Some(_)) => return Err(ApiKeysFault::KeyAndDigest),
            (None, None) => return Err(ApiKeysFault::NoKey),
            (None, Some(hex)) => {
                let invalid = ApiKeysFault::InvalidMember {
                    name: "digest",
                    expected: "the 64 hexadecimal digits of a SHA-256 digest",
                };
                ApiKeyDigest::from_hex(&hex).ok_or(invalid)?
            }
            (Some(mut key), None) => {
                let new = if weak_keys { ApiKey::dangerous_weak } else { ApiKey::new };
                new(std::mem::take(&mut *key)).map_err(ApiKeysFault::InvalidKey)?.digest()
            }
        };
        if let Some(expires) = self.expires {
            let invalid = ApiKeysFault::InvalidMember {
                name: "expires",
                expected: "a time of RFC 3339 with its zone, such as `2027-01-31T12:00:00Z`",
            };
            record = record.expires_at(rfc3339::parse(&expires).ok_or(invalid)?);
        }
        record.tenant = self.tenant.map(Into::into);
        record.plan = self.plan.map(Into::into);
        record.scopes = self.scopes.unwrap_or_default().into();
        record.roles = self.roles.unwrap_or_default().into();
        record.disabled = self.disabled.unwrap_or_default();
        Ok((digest, record))
    }
}

fn text(name: &'static str, value: Value) -> Result<String, ApiKeysFault> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(ApiKeysFault::InvalidMember { name, expected: "a string" }),
    }
}

fn texts(name: &'static str, value: Value) -> Result<Vec<Box<str>>, ApiKeysFault> {
    let invalid = || ApiKeysFault::InvalidMember { name, expected: "an array of strings" };
    let Value::Array(values) = value else { return Err(invalid()) };
    let text = |value| match value {
        Value::String(text) => Ok(text.into()),
        _ => Err(invalid()),
    };
    values.into_iter().map(text).collect()
}

/// Returns an unknown name for the error, unless it may be a key in the place of a name.
fn shown(name: &str) -> std::sync::Arc<str> {
    let is_word = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-');
    if name.len() < 20 && name.bytes().all(is_word) { name.into() } else { "…".into() }
}

struct EntrySeed;

impl<'de> DeserializeSeed<'de> for EntrySeed {
    type Value = Members;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Members, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EntrySeed {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members::default();
        while let Some(name) = map.next_key::<String>()? {
            if members.fault.is_some() && name != "id" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value()?;
            if let Err(fault) = members.set(&name, value) {
                members.fault.get_or_insert(fault);
            }
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(json: &str) -> String {
        parse(json.as_bytes(), false).map(|_| ()).unwrap_err().to_string()
    }

    const KEY: &str = "0123456789abcdefghij";

    #[test]
    fn every_member_is_read() {
        let digest = ApiKey::new("another-key-of-some-length").unwrap().digest();
        let json = format!(
            r#"[{{"id": "a", "key": "{KEY}", "tenant": "acme", "scopes": ["x", "y"], "roles": ["r"],
                 "plan": "gold", "expires": "2027-01-15T08:00:00Z", "disabled": true}},
                {{"id": "a", "digest": "{digest}", "tenant": "acme", "plan": null}}]"#,
        );
        let table = parse(json.as_bytes(), false).unwrap();
        assert_eq!(table.len(), 2);
        assert_eq!(parse(b"\xef\xbb\xbf[]\n", false).unwrap().len(), 0);
    }

    #[test]
    fn faults_name_the_entry_and_never_the_key() {
        let digest = "0".repeat(64);
        let good = format!(r#"{{"id":"a","digest":"{digest}"}}"#);
        for (entry, expected) in [
            (r#"{"KEY":1}"#, "entry 1: unknown member `…`; the members are id"),
            (r#"{"key":"KEY","name":"x","id":"b"}"#, "entry 1 (id `b`): unknown member `name`"),
            (r#"{"id":"b","id":"b"}"#, "entry 1 (id `b`): it has `id` twice"),
            (r#"{"key":"KEY"}"#, "entry 1: it has no `id`"),
            (r#"{"id":"b"}"#, "entry 1 (id `b`): it has neither `key` nor `digest`"),
            (r#"{"id":"b","key":null}"#, "entry 1 (id `b`): it has neither `key` nor `digest`"),
            (r#"{"id":"b","key":"KEY","digest":"KEY"}"#, "both `key` and `digest`"),
            (r#"{"id":"b","digest":"KEY"}"#, "`digest` is not the 64 hexadecimal digits"),
            (r#"{"id":"b","key":"0123456789abcdefghi"}"#, "the key has fewer than 20 characters"),
            (r#"{"id":"b","key":" KEY"}"#, "the key has a space"),
            (r#"{"id":"b","key":7}"#, "`key` is not a string"),
            (r#"{"id":7,"key":"KEY"}"#, "entry 1: `id` is not a string"),
            (r#"{"id":"","key":"KEY"}"#, "`id` is not 1 to 256 bytes"),
            (r#"{"id":"b","key":"KEY","scopes":"x"}"#, "`scopes` is not an array of strings"),
            (r#"{"id":"b","key":"KEY","scopes":["x y"]}"#, "`scopes` is not an array of at most"),
            (r#"{"id":"b","key":"KEY","roles":[1]}"#, "`roles` is not an array of strings"),
            (r#"{"id":"b","key":"KEY","expires":"2027-01-15"}"#, "`expires` is not a time of RFC"),
            (r#"{"id":"b","key":"KEY","expires":1800000000}"#, "`expires` is not a string"),
            (r#"{"id":"b","key":"KEY","disabled":"yes"}"#, "`disabled` is not true or false"),
            (
                &good.replace("\"a\"", "\"b\""),
                "entry 1 (id `b`): it has the same key as an entry with the id `a`",
            ),
            (&good, "it has the same key"),
        ] {
            let message = error(&format!("[{good},{}]", entry.replace("KEY", KEY)));
            assert!(message.contains(expected), "{entry}: {message}");
            assert!(!message.contains("0123456789abcdef"), "{message}");
        }
        let other = format!(r#"{{"id":"a","key":"{KEY}","tenant":"t"}}"#);
        let message = error(&format!("[{good},{other}]"));
        assert!(message.contains("id `a`: another key of this id has another tenant"), "{message}");
    }

    #[test]
    fn other_content_is_explained_without_its_text() {
        for (content, expected) in [
            ("", "it is empty"),
            ("{\"items\":[]}", "ApiKeys::from_aws_json"),
            (
                "[{\"id\":\"a\",\"key\":\"0123456789abcdefghij\"",
                "EOF while parsing an object at line 1",
            ),
            ("[\"0123456789abcdefghij\"]", "it differs at line 1 column 23"),
            ("[] []", "trailing characters"),
            ("key: 0123456789abcdefghij", "it is YAML"),
        ] {
            let message = error(content);
            assert!(message.contains(expected), "{content}: {message}");
            assert!(!message.contains("0123456789"), "{message}");
        }
    }
}
