/// A draft of JSON Schema.
///
/// `$schema` names the draft of a schema.
/// [`SchemaBuilder::draft`](crate::schema::SchemaBuilder::draft) sets the draft of schemas that
/// name none. API Gateway's models and OpenAPI 3.0 use draft 4, Hugging Face's task schemas draft 6
/// and OpenAPI 3.1 draft 2020-12.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Draft {
    /// Draft 4.
    Draft4,
    /// Draft 6.
    Draft6,
    /// Draft 7.
    Draft7,
    /// Draft 2019-09.
    Draft201909,
    /// Draft 2020-12, the default.
    #[default]
    Draft202012,
}

impl Draft {
    /// Returns the draft that `$schema` names.
    pub(crate) fn of(uri: &str) -> Option<Self> {
        Self::from_engine(jsonschema::Draft::from_schema_uri(uri))
    }

    pub(crate) const fn from_engine(draft: jsonschema::Draft) -> Option<Self> {
        Some(match draft {
            jsonschema::Draft::Draft4 => Self::Draft4,
            jsonschema::Draft::Draft6 => Self::Draft6,
            jsonschema::Draft::Draft7 => Self::Draft7,
            jsonschema::Draft::Draft201909 => Self::Draft201909,
            jsonschema::Draft::Draft202012 => Self::Draft202012,
            _ => return None,
        })
    }

    pub(crate) const fn engine(self) -> jsonschema::Draft {
        match self {
            Self::Draft4 => jsonschema::Draft::Draft4,
            Self::Draft6 => jsonschema::Draft::Draft6,
            Self::Draft7 => jsonschema::Draft::Draft7,
            Self::Draft201909 => jsonschema::Draft::Draft201909,
            Self::Draft202012 => jsonschema::Draft::Draft202012,
        }
    }

    /// Whether `$ref` disables all keywords next to it, as up to draft 7 (section 8.3).
    pub(crate) const fn refers_alone(self) -> bool {
        matches!(self, Self::Draft4 | Self::Draft6 | Self::Draft7)
    }

    /// Returns the form of subschemas in the value of a keyword.
    pub(crate) fn subschemas(self, keyword: &str) -> Subschemas {
        let since = |draft: Self| self as u8 >= draft as u8;
        match keyword {
            "allOf" | "anyOf" | "oneOf" => Subschemas::List(AppliesTo::SameValue),
            "not" => Subschemas::One(AppliesTo::SameValue),
            "if" | "then" | "else" if since(Self::Draft7) => Subschemas::One(AppliesTo::SameValue),
            "dependencies" => Subschemas::Members(AppliesTo::SameValue),
            "dependentSchemas" if since(Self::Draft201909) => {
                Subschemas::Members(AppliesTo::SameValue)
            }
            "items" if since(Self::Draft202012) => Subschemas::One(AppliesTo::Children),
            "items" => Subschemas::OneOrList(AppliesTo::Children),
            "prefixItems" if since(Self::Draft202012) => Subschemas::List(AppliesTo::Children),
            "additionalItems" if !since(Self::Draft202012) => Subschemas::One(AppliesTo::Children),
            "additionalProperties" => Subschemas::One(AppliesTo::Children),
            "contains" | "propertyNames" if since(Self::Draft6) => {
                Subschemas::One(AppliesTo::Children)
            }
            "unevaluatedItems" | "unevaluatedProperties" | "contentSchema"
                if since(Self::Draft201909) =>
            {
                Subschemas::One(AppliesTo::Children)
            }
            "properties" | "patternProperties" => Subschemas::Members(AppliesTo::Children),
            "definitions" => Subschemas::Members(AppliesTo::Nothing),
            "$defs" if since(Self::Draft201909) => Subschemas::Members(AppliesTo::Nothing),
            _ => Subschemas::None,
        }
    }
}

/// The form of subschemas in the value of a keyword.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Subschemas {
    None,
    One(AppliesTo),
    List(AppliesTo),
    OneOrList(AppliesTo),
    Members(AppliesTo),
}

/// The value that a subschema applies to.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum AppliesTo {
    /// The same value.
    SameValue,
    /// Elements or members of the value.
    Children,
    /// No value, unless a reference leads to the subschema.
    Nothing,
}
