//! The response of the endpoint (RFC 7662 section 2.2).

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;

use super::endpoint::EndpointFault;
use crate::{
    lookalike::{lookalike, without_byte_order_mark},
    payload::{Document, DocumentBounds, Kind, Node},
};

/// The identity parses the claims later with a parser that has a bound of 128.
const MAX_DEPTH: u32 = 64;

/// A response whose form is valid. `active` is true.
pub(super) struct ActiveToken(Document);

impl ActiveToken {
    /// Parses a response. Returns `None` if the token is not active.
    pub(super) fn parse(json: Bytes) -> Result<Option<Self>, EndpointFault> {
        let json = json.slice_ref(without_byte_order_mark(&json));
        let bounds = DocumentBounds::new().max_depth(MAX_DEPTH);
        let document = Document::parse_within(json.clone(), bounds).map_err(|_| {
            let form = lookalike(&json).unwrap_or("it is not valid JSON with unique names");
            EndpointFault::Malformed(form)
        })?;
        if document.root().kind() != Kind::Object {
            return Err(EndpointFault::Malformed("it is not an object"));
        }
        match document.root().get("active").map(Node::as_bool) {
            Some(Some(true)) => Ok(Some(Self(document))),
            Some(Some(false)) => Ok(None),
            Some(None) => Err(EndpointFault::Malformed("`active` is not a boolean")),
            None => Err(EndpointFault::Malformed("it has no `active`")),
        }
    }

    /// Returns the claims as JSON.
    pub(super) fn json(&self) -> &[u8] {
        self.0.bytes()
    }

    /// Returns a member. `null` counts as absent.
    pub(super) fn member(&self, name: &str) -> Option<Node<'_>> {
        self.0.root().get(name).filter(|value| !value.is_null())
    }

    /// Returns a member that is a string. The error is its name.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<Cow<'_, str>>, &'static str> {
        self.member(name).map(|value| value.as_str().ok_or(name)).transpose()
    }

    /// Returns a member that is a string or an array of strings.
    pub(super) fn texts(&self, name: &'static str) -> Result<Vec<Cow<'_, str>>, &'static str> {
        match self.member(name) {
            None => Ok(Vec::new()),
            Some(list) if list.kind() == Kind::Array => {
                list.elements().map(|item| item.as_str().ok_or(name)).collect()
            }
            Some(one) => one.as_str().ok_or(name).map(|one| vec![one]),
        }
    }

    /// Returns the scopes. `scope` is a string with spaces or an array, as in a token.
    pub(super) fn scopes(&self) -> Result<Vec<Cow<'_, str>>, &'static str> {
        let split = |text: Cow<'_, str>| -> Vec<String> {
            text.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
        };
        let is_list = self.member("scope").is_some_and(|scope| scope.kind() == Kind::Array);
        let texts = self.texts("scope")?;
        if is_list {
            return Ok(texts);
        }
        Ok(texts.into_iter().flat_map(split).map(Cow::Owned).collect())
    }

    /// Returns a time since 1970.
    pub(super) fn date(&self, name: &'static str) -> Result<Option<Duration>, &'static str> {
        let date = |value: Node<'_>| {
            let seconds = value.number().and_then(|_| value.as_f64());
            let exact = value.as_u64().map(Duration::from_secs);
            let date = exact.or_else(|| Duration::try_from_secs_f64(seconds?).ok());
            date.filter(|date| *date <= LAST_SECOND).ok_or(name)
        };
        self.member(name).map(date).transpose()
    }
}

/// The end of the year 9999. RFC 3339 cannot express a later time.
const LAST_SECOND: Duration = Duration::from_secs(253_402_300_799);

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &'static str) -> Result<Option<ActiveToken>, EndpointFault> {
        ActiveToken::parse(Bytes::from(json))
    }

    #[test]
    fn active_is_a_boolean_of_an_object() {
        assert!(parse(r#"{"active":true}"#).unwrap().is_some());
        assert!(parse("\u{feff}{\"active\":false,\"sub\":7}\n").unwrap().is_none());
        for json in [
            "",
            "<html>",
            "true",
            "[]",
            "{}",
            r#"{"active":"true"}"#,
            r#"{"active":1}"#,
            r#"{"active":null}"#,
            r#"{"active":true,"active":false}"#,
            r#"{"active":true}{}"#,
            r#"{"ACTIVE":true}"#,
        ] {
            assert!(matches!(parse(json), Err(EndpointFault::Malformed(_))), "{json}");
        }
        let deep = format!(r#"{{"active":true,"x":{}{}}}"#, "[".repeat(70), "]".repeat(70));
        assert!(ActiveToken::parse(deep.into()).is_err());
    }

    #[test]
    fn members_have_their_types() {
        let of = |json| parse(json).unwrap().unwrap();
        let token = of(r#"{"active":true,"sub":"s","aud":["a","b"],"scope":" x  y ","exp":1.5e3}"#);
        assert_eq!(token.text("sub").unwrap().unwrap(), "s");
        assert_eq!(token.texts("aud").unwrap(), ["a", "b"]);
        assert_eq!(token.scopes().unwrap(), ["x", "y"]);
        assert_eq!(token.date("exp"), Ok(Some(Duration::from_secs(1_500))));
        assert_eq!(token.date("nbf"), Ok(None));
        let token = of(r#"{"active":true,"sub":7,"aud":[7],"scope":["x y"],"exp":"1","nbf":1e99}"#);
        assert_eq!(token.text("sub").err(), Some("sub"));
        assert_eq!(token.texts("aud").err(), Some("aud"));
        assert_eq!(token.scopes().unwrap(), ["x y"]);
        assert_eq!((token.date("exp"), token.date("nbf")), (Err("exp"), Err("nbf")));
        assert!(of(r#"{"active":true,"sub":null}"#).text("sub").unwrap().is_none());
    }
}
