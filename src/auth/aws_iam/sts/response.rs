//! The response to `GetCallerIdentity`.

use bytes::Bytes;

use crate::payload::Document;

/// The most bytes of a response.
pub(super) const MAX_RESPONSE: usize = 16 * 1024;

/// What STS says of the caller.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct CallerIdentity {
    pub(super) account: String,
    pub(super) arn: String,
    pub(super) user_id: String,
}

impl CallerIdentity {
    /// Reads the JSON form. A repeated name, another type and an account that is not twelve digits are
    /// refused.
    pub(super) fn parse(json: Bytes) -> Option<Self> {
        const LONGEST: usize = 2_048;
        let document = Document::parse(json).ok()?;
        let result = document.root().get("GetCallerIdentityResponse")?;
        let result = result.get("GetCallerIdentityResult")?;
        let text = |name: &str| {
            let value = result.get(name)?;
            let value = value.as_str()?.to_string();
            (1..=LONGEST).contains(&value.len()).then_some(value)
        };
        let (account, arn, user_id) = (text("Account")?, text("Arn")?, text("UserId")?);
        is_account(&account).then_some(Self { account, arn, user_id })
    }
}

/// Returns whether text is an account id.
pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_expected_json_is_read() {
        const JSON: &str = r#"{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{
            "Account":"123456789012","Arn":"arn:aws:iam::123456789012:user/ann","UserId":"AIDA"},
            "ResponseMetadata":{"RequestId":"1"}}}"#;
        let read = CallerIdentity::parse(JSON.into()).unwrap();
        assert_eq!((&*read.account, &*read.user_id), ("123456789012", "AIDA"));
        for (from, to) in [
            ("\"Account\"", "\"account\""),
            ("\"123456789012\",", "123456789012,"),
            ("\"123456789012\",", "\"12345678901\","),
            ("\"123456789012\",", "\"12345678901x\","),
            ("\"AIDA\"", "\"\""),
            ("\"AIDA\"", "null"),
            ("\"UserId\"", "\"Arn\""),
            ("GetCallerIdentityResult", "GetSessionTokenResult"),
            ("GetCallerIdentityResponse", "Error"),
            ("}}}", "}}"),
            ("}}}", "}}}{}"),
        ] {
            assert!(JSON.contains(from), "{from}");
            let json = JSON.replacen(from, to, 1);
            assert_eq!(CallerIdentity::parse(json.into()), None, "{to}");
        }
        let xml = "<GetCallerIdentityResponse><Account>123456789012</Account>";
        assert_eq!(CallerIdentity::parse(xml.into()), None);
    }
}
