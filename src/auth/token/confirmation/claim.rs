use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_core::{Deserialize, Deserializer, de::MapAccess};

use crate::auth::token::json::{self, IgnoredValue, JsonStr, ReadMembers};

/// The claim `cnf`.
#[derive(Default)]
pub(crate) struct ConfirmationClaim {
    binding: Binding,
    /// There is a member that this crate cannot verify.
    unsupported: bool,
}

/// The keys that a token is bound to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Binding {
    /// The thumbprint of the client's key (RFC 9449 section 6.1).
    pub(crate) key: Option<[u8; 32]>,
    /// The thumbprint of the client's certificate (RFC 8705 section 3.1).
    pub(crate) certificate: Option<[u8; 32]>,
}

impl ConfirmationClaim {
    /// Returns `None` if the client cannot be confirmed by the whole claim.
    pub(crate) fn binding(&self) -> Option<&Binding> {
        let empty = self.binding == Binding::default();
        (!self.unsupported && !empty).then_some(&self.binding)
    }
}

impl<'de> Deserialize<'de> for ConfirmationClaim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        json::read_object(deserializer, Self::default())
    }
}

impl<'de> ReadMembers<'de> for ConfirmationClaim {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        let thumbprint = match name {
            "jkt" => &mut self.binding.key,
            "x5t#S256" => &mut self.binding.certificate,
            _ => {
                self.unsupported = true;
                return map.next_value::<IgnoredValue>().map(|_| ());
            }
        };
        let text = map.next_value::<JsonStr<'_>>()?.0;
        *thumbprint = URL_SAFE_NO_PAD.decode(&*text).ok().and_then(|bytes| bytes.try_into().ok());
        self.unsupported |= thumbprint.is_none();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_members_confirm_a_client() {
        let thumbprint = URL_SAFE_NO_PAD.encode([7; 32]);
        let binding = |json: String| {
            let claim: Option<ConfirmationClaim> = serde_json::from_str(&json).ok();
            claim.and_then(|claim| claim.binding().cloned())
        };
        let key = binding(format!(r#"{{"jkt":"{thumbprint}"}}"#));
        assert_eq!(key, Some(Binding { key: Some([7; 32]), certificate: None }));
        let both = binding(format!(r#"{{"jkt":"{thumbprint}","x5t#S256":"{thumbprint}"}}"#));
        assert_eq!(both, Some(Binding { key: Some([7; 32]), certificate: Some([7; 32]) }));
        for json in [
            "{}".to_owned(),
            r#"{"jkt":""}"#.to_owned(),
            r#"{"jkt":"AAAA"}"#.to_owned(),
            format!(r#"{{"jkt":"{thumbprint}="}}"#),
            format!(r#"{{"jkt":"{thumbprint}","kid":"k"}}"#),
            format!(r#"{{"jkt":"{thumbprint}","jwk":{{"kty":"OKP"}}}}"#),
            format!(r#"{{"jkt":"{thumbprint}","jkt":"{thumbprint}"}}"#),
            r#"{"jkt":7}"#.to_owned(),
            "[]".to_owned(),
            "null".to_owned(),
        ] {
            assert_eq!(binding(json.clone()), None, "{json}");
        }
    }
}
