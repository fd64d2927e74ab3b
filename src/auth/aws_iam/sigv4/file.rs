//! A file of signing credentials.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
};

use serde_core::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value};
use zeroize::Zeroize as _;

use super::{credential::SigningCredential, error::SigningCredentialError};
use crate::{lookalike::without_byte_order_mark, secret::Secret, secret_file::FileRules};

/// The most bytes of a file.
const MAX_BYTES: usize = 4 << 20;

/// A JSON file of signing credentials. Made from its path.
///
/// ```json
/// [{"access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
///   "session_token": null, "tenant": "acme", "scopes": ["infer"]}]
/// ```
///
/// The last three members are optional. Others are refused. The file has at most 4 MiB.
/// [`SigV4::new`](super::SigV4::new) reads it for the first time. Requests read it again, at most once a
/// second. A bad content is reported to the log and keeps the last good one. A file that its group or
/// others can write is refused. One that every user can read is reported. Its owner and its folder are
/// not checked: anyone who can replace the file can sign as anyone.
#[derive(Clone, Debug)]
pub struct CredentialFile {
    pub(super) path: PathBuf,
    pub(super) rules: FileRules,
}

impl CredentialFile {
    /// Names a file. It is not read yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), rules: FileRules::new("file of signing credentials", MAX_BYTES) }
    }

    /// Also accepts a file that its group or others can write. Anyone who can write the file can sign as
    /// anyone.
    #[must_use]
    pub fn dangerous_writable(mut self) -> Self {
        self.rules = self.rules.dangerous_writable();
        self
    }
}

macro_rules! from_path {
    ($($path:ty),*) => {$(
        impl From<$path> for CredentialFile {
            fn from(path: $path) -> Self {
                Self::new(path)
            }
        }
    )*};
}

from_path!(&str, &Path, &PathBuf, PathBuf, String);

/// Reads an array of credentials. An error names the place of the fault and no value.
pub(super) fn parse(json: &[u8]) -> Result<Vec<SigningCredential>, SigningCredentialError> {
    let json = without_byte_order_mark(json);
    let value: Value = serde_json::from_slice(json).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        SigningCredentialError::InvalidJson(place.into())
    })?;
    let Value::Array(entries) = value else { return Err(invalid("the document is not an array")) };
    // Each entry is read, so that each secret is wiped, even after an invalid one.
    let read: Vec<_> =
        entries.into_iter().enumerate().map(|(place, entry)| credential(place, entry)).collect();
    let credentials = read.into_iter().collect::<Result<_, _>>()?;
    // A value has the last of two members, which would silently replace the first.
    serde_json::from_slice::<Vec<UniqueNames>>(json)
        .map_err(|_repeated| invalid("an entry has a member twice"))?;
    Ok(credentials)
}

/// The names of an object, none of which is repeated.
struct UniqueNames;

impl<'de> Deserialize<'de> for UniqueNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self)
    }
}

impl<'de> Visitor<'de> for UniqueNames {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut names = BTreeSet::new();
        while let Some((name, IgnoredAny)) = map.next_entry::<String, _>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a repeated name"));
            }
        }
        Ok(self)
    }
}

fn invalid(place: impl Into<Box<str>>) -> SigningCredentialError {
    SigningCredentialError::InvalidJson(place.into())
}

fn credential(place: usize, entry: Value) -> Result<SigningCredential, SigningCredentialError> {
    let Value::Object(mut members) = entry else {
        return Err(invalid(format!("entry {place} is not an object")));
    };
    let read = from_members(place, &mut members);
    for value in members.values_mut() {
        if let Value::String(text) = value {
            text.zeroize();
        }
    }
    read
}

fn from_members(
    place: usize,
    members: &mut Map<String, Value>,
) -> Result<SigningCredential, SigningCredentialError> {
    let id = text(place, members, "access_key_id")?;
    let secret = text(place, members, "secret_access_key")?;
    let (Some(id), Some(secret)) = (id, secret) else {
        return Err(invalid(format!(
            "entry {place} has no `access_key_id` or no `secret_access_key`"
        )));
    };
    let mut credential = SigningCredential::new(id, Secret::new(secret))?;
    if let Some(token) = text(place, members, "session_token")? {
        credential = credential.session_token(Secret::new(token));
    }
    if let Some(tenant) = text(place, members, "tenant")? {
        credential = credential.tenant(tenant);
    }
    match members.remove("scopes") {
        None | Some(Value::Null) => {}
        Some(Value::Array(scopes)) => {
            let scopes: Option<Vec<&str>> = scopes.iter().map(Value::as_str).collect();
            let wrong =
                || invalid(format!("`scopes` of entry {place} has another value than text"));
            credential = credential.scopes(scopes.ok_or_else(wrong)?);
        }
        Some(_) => return Err(invalid(format!("`scopes` of entry {place} is not an array"))),
    }
    match members.keys().next() {
        // A misspelt member would silently weaken a credential, such as `session-token`.
        Some(_unknown) => Err(invalid(format!("entry {place} has an unknown member"))),
        None => Ok(credential),
    }
}

/// Takes a member that is text. `null` and an empty text count as absent.
fn text(
    place: usize,
    members: &mut Map<String, Value>,
    name: &str,
) -> Result<Option<String>, SigningCredentialError> {
    match members.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(_) => Err(invalid(format!("`{name}` of entry {place} is not text"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_and_mistakes_are_named() {
        let one = r#"[{"access_key_id":"AKID","secret_access_key":"0123456789abcdef",
            "session_token":null,"tenant":"acme","scopes":["infer"]}]"#;
        let read = parse(one.as_bytes()).unwrap();
        assert_eq!(read[0].access_key_id(), "AKID");
        assert!(format!("{read:?}").contains("acme") && !format!("{read:?}").contains("0123456"));
        for (bad, place) in [
            ("{", "line 1"),
            ("{}", "not an array"),
            ("[1]", "entry 0 is not an object"),
            (r#"[{"access_key_id":"AKID"}]"#, "no `secret_access_key`"),
            (&one.replace("\"acme\"", "1"), "`tenant` of entry 0"),
            (&one.replace("[\"infer\"]", "\"infer\""), "`scopes` of entry 0 is not an array"),
            (&one.replace("[\"infer\"]", "[1]"), "another value"),
            (&one.replace("session_token", "session-token"), "unknown member"),
            (&one.replace("\"tenant\"", "\"session_token\""), "a member twice"),
            (&one.replace("\"tenant\"", "\"session\\u005ftoken\""), "a member twice"),
        ] {
            let error = parse(bad.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(place) && !error.contains("0123456"), "{error}");
        }
        assert_eq!(
            parse(one.replace("0123456789abcdef", "short").as_bytes()).unwrap_err(),
            SigningCredentialError::ShortSecret
        );
    }
}
