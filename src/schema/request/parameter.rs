use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::{
    rejection::Violation,
    schema::compile::{error::SchemaError, schema::Schema},
};

/// What a header field or a member of the query must be.
///
/// One that is there must not be blank; more is asked for by the setters. When it is there several
/// times, each time counts.
///
/// ```
/// use http::HeaderName;
/// use tower_inference::schema::Parameter;
///
/// let limit = Parameter::query("limit").pattern("[0-9]{1,3}")?;
/// let team = Parameter::header(HeaderName::from_static("x-team")).required().one_of(["a", "b"]);
/// # Ok::<(), tower_inference::schema::SchemaError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Parameter {
    location: Location,
    // Ready for the violation.
    pointer: Box<str>,
    required: bool,
    blank: bool,
    pattern: Option<Schema>,
    values: Option<Box<[Box<str>]>>,
}

#[derive(Clone, Debug)]
enum Location {
    Header(HeaderName),
    Query(Box<str>),
}

impl Parameter {
    /// A header field. Fields that are lists are not split: each line is a value.
    #[must_use]
    pub fn header(name: HeaderName) -> Self {
        let pointer = pointer("header", name.as_str());
        Self::of(Location::Header(name), pointer)
    }

    /// A member of the query, decoded as forms are (WHATWG URL section 5.1): members are split at
    /// `&` alone, a plus sign is a space, and `%` with two hexadecimal digits is a byte. The name is
    /// compared decoded, and exactly.
    #[must_use]
    pub fn query(name: impl Into<Box<str>>) -> Self {
        let name = name.into();
        let pointer = pointer("query", &name);
        Self::of(Location::Query(name), pointer)
    }

    /// Asks for it to be there. It may be absent by default.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Lets it be blank, that is, empty or nothing but white space; OpenAPI's `allowEmptyValue`. A
    /// pattern or list of values still counts then.
    #[must_use]
    pub const fn allow_blank(mut self) -> Self {
        self.blank = true;
        self
    }

    /// Asks for a value that `pattern` matches as a whole, from its first character to its last:
    /// unlike in a schema, where a pattern without anchors may match anywhere. Anchors do no harm.
    ///
    /// The dialect is that of schemas, and the time it takes is linear: there is no look-around and
    /// no back-reference.
    ///
    /// # Errors
    ///
    /// When it is not a legal pattern.
    pub fn pattern(mut self, pattern: &str) -> Result<Self, SchemaError> {
        // On its own first: what closes our group and opens another is not one pattern.
        Schema::new(&json!({ "pattern": pattern }))?;
        let whole = format!("^(?:{pattern})$");
        self.pattern = Some(Schema::new(&json!({ "pattern": whole }))?);
        Ok(self)
    }

    /// Asks for one of `values`, compared exactly.
    #[must_use]
    pub fn one_of<T: Into<Box<str>>>(mut self, values: impl IntoIterator<Item = T>) -> Self {
        self.values = Some(values.into_iter().map(Into::into).collect());
        self
    }

    const fn of(location: Location, pointer: Box<str>) -> Self {
        Self { location, pointer, required: false, blank: false, pattern: None, values: None }
    }

    /// The first way in which a request breaks it.
    pub(crate) fn check(&self, query: &str, headers: &HeaderMap) -> Option<Violation> {
        let checked = match &self.location {
            Location::Header(name) => {
                let lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
                self.check_values(lines.map(|line| str::from_utf8(line).ok().map(Cow::Borrowed)))
            }
            Location::Query(name) => {
                let members = query.split('&').filter(|member| !member.is_empty());
                let members = members.map(|member| member.split_once('=').unwrap_or((member, "")));
                let own = members.filter(|(own, _)| decoded(own).is_some_and(|own| own == **name));
                self.check_values(own.map(|(_, value)| decoded(value)))
            }
        };
        let (keyword, detail) = checked.err()?;
        Some(Violation::new(self.pointer.clone(), keyword, detail))
    }

    /// A value is `None` when it is not UTF-8.
    fn check_values<'a>(
        &self,
        mut values: impl Iterator<Item = Option<Cow<'a, str>>>,
    ) -> Result<(), ParameterFault> {
        match values.next() {
            Some(first) => std::iter::once(first).chain(values).try_for_each(|value| {
                let value = value.ok_or(("type", "is not utf-8"))?;
                self.check_value(&value)
            }),
            None if self.required => Err(("required", "is missing")),
            None => Ok(()),
        }
    }

    fn check_value(&self, value: &str) -> Result<(), ParameterFault> {
        if !self.blank && value.trim().is_empty() {
            // To API Gateway, what is blank is missing.
            let keyword = if self.required { "required" } else { "allowEmptyValue" };
            return Err((keyword, "is blank"));
        }
        if self.pattern.as_ref().is_some_and(|pattern| !pattern.is_valid_text(value)) {
            return Err(("pattern", "is not as its pattern says"));
        }
        if self.values.as_ref().is_some_and(|values| !values.iter().any(|own| **own == *value)) {
            return Err(("enum", "is none of its values"));
        }
        Ok(())
    }
}

/// The keyword that is broken, and what to say of it.
type ParameterFault = (&'static str, &'static str);

fn pointer(place: &str, name: &str) -> Box<str> {
    format!("/{place}/{}", name.replace('~', "~0").replace('/', "~1")).into()
}

/// `None` when the bytes that it stands for are not UTF-8.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let spaced = text.replace('+', " ");
    let bytes = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(Cow::Owned(bytes.into_owned()))
}
