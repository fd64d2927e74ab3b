use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::{
    rejection::Violation,
    schema::compile::{error::SchemaError, schema::Schema},
};

/// The rules for a header or a query parameter.
///
/// A parameter that is present must not be blank. Setters add rules. All values of a repeated
/// parameter are checked.
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
    // Precomputed for violations.
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
    /// Creates the rules of a header. Each line is one value. Lists in a line are not split.
    #[must_use]
    pub fn header(name: HeaderName) -> Self {
        let pointer = pointer("header", name.as_str());
        Self::of(Location::Header(name), pointer)
    }

    /// Creates the rules of a query parameter.
    ///
    /// The query is decoded as a form (WHATWG URL section 5.1). Only `&` separates parameters, `+`
    /// is a space and `%` with two hexadecimal digits is a byte. The decoded name must match
    /// exactly.
    #[must_use]
    pub fn query(name: impl Into<Box<str>>) -> Self {
        let name = name.into();
        let pointer = pointer("query", &name);
        Self::of(Location::Query(name), pointer)
    }

    /// Requires the parameter. It may be absent by default.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Accepts an empty value or white space, as OpenAPI's `allowEmptyValue` does. A pattern or a
    /// list of values still applies.
    #[must_use]
    pub const fn allow_blank(mut self) -> Self {
        self.blank = true;
        self
    }

    /// Requires values that `pattern` matches from the first to the last character. Anchors are
    /// redundant. In a schema, a pattern without anchors may match any part.
    ///
    /// The pattern has the syntax of schemas. Matching takes linear time, so look-around and
    /// back-references are not supported.
    ///
    /// # Errors
    ///
    /// Returns an error if the pattern is invalid.
    pub fn pattern(mut self, pattern: &str) -> Result<Self, SchemaError> {
        // Compiles the pattern alone first. A pattern such as `a)(b` would otherwise become valid
        // inside of the group.
        Schema::new(&json!({ "pattern": pattern }))?;
        let whole = format!("^(?:{pattern})$");
        self.pattern = Some(Schema::new(&json!({ "pattern": whole }))?);
        Ok(self)
    }

    /// Requires one of these values. They must match exactly.
    #[must_use]
    pub fn one_of<T: Into<Box<str>>>(mut self, values: impl IntoIterator<Item = T>) -> Self {
        self.values = Some(values.into_iter().map(Into::into).collect());
        self
    }

    const fn of(location: Location, pointer: Box<str>) -> Self {
        Self { location, pointer, required: false, blank: false, pattern: None, values: None }
    }

    /// Returns the first violation.
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

    /// A value is `None` if it is not UTF-8.
    fn check_values<'a>(
        &self,
        mut values: impl Iterator<Item = Option<Cow<'a, str>>>,
    ) -> Result<(), ParameterFault> {
        match values.next() {
            Some(first) => std::iter::once(first).chain(values).try_for_each(|value| {
                let value = value.ok_or(("type", "is not UTF-8"))?;
                self.check_value(&value)
            }),
            None if self.required => Err(("required", "is missing")),
            None => Ok(()),
        }
    }

    fn check_value(&self, value: &str) -> Result<(), ParameterFault> {
        if !self.blank && value.trim().is_empty() {
            // API Gateway treats a blank parameter as missing.
            let keyword = if self.required { "required" } else { "allowEmptyValue" };
            return Err((keyword, "is blank"));
        }
        if self.pattern.as_ref().is_some_and(|pattern| !pattern.is_valid_text(value)) {
            return Err(("pattern", "does not match its pattern"));
        }
        if self.values.as_ref().is_some_and(|values| !values.iter().any(|own| **own == *value)) {
            return Err(("enum", "is not an allowed value"));
        }
        Ok(())
    }
}

/// The violated keyword and its detail.
type ParameterFault = (&'static str, &'static str);

fn pointer(place: &str, name: &str) -> Box<str> {
    format!("/{place}/{}", name.replace('~', "~0").replace('/', "~1")).into()
}

/// Returns `None` if the decoded bytes are not UTF-8.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let spaced = text.replace('+', " ");
    let bytes = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(Cow::Owned(bytes.into_owned()))
}
