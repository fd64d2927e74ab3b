//! The response of the endpoint (RFC 7662 section 2.2).

use bytes::Bytes;

use super::endpoint::EndpointFault;
use crate::{
    lookalike::{lookalike, without_byte_order_mark},
    payload::{Document, DocumentBounds, Kind, Node},
};

/// The claims are parsed again by a parser that has a bound of 128.
const MAX_DEPTH: u32 = 64;

/// A response that says that the token is active.
pub(super) struct ActiveToken {
    /// The members of the response as a JSON object. Members that are `null` are left out, because some
    /// serializers write it for unset members.
    pub(super) claims: Vec<u8>,
}

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
            Some(Some(true)) => Ok(Some(Self { claims: without_nulls(&document) })),
            Some(Some(false)) => Ok(None),
            Some(None) => Err(EndpointFault::Malformed("`active` is not a boolean")),
            None => Err(EndpointFault::Malformed("it has no `active`")),
        }
    }
}

fn without_nulls(document: &Document) -> Vec<u8> {
    let mut object = vec![b'{'];
    let mut members = document.root().names_and_values();
    while let (Some(name), Some(value)) = (members.next(), members.next()) {
        if !value.is_null() {
            if object.len() > 1 {
                object.push(b',');
            }
            object.extend_from_slice(name.raw());
            object.push(b':');
            object.extend_from_slice(value.raw());
        }
    }
    object.push(b'}');
    object
}

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
    fn null_members_are_left_out() {
        let token = parse(r#"{ "active" : true, "sub":null,"a\u0062":[null, 1.0 ],"x":null }"#);
        let claims = String::from_utf8(token.unwrap().unwrap().claims).unwrap();
        assert_eq!(claims, r#"{"active":true,"a\u0062":[null, 1.0 ]}"#);
    }
}
