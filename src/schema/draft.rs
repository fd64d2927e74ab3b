/// A draft of JSON Schema.
///
/// A schema names its own in `$schema`; [`SchemaBuilder::draft`](super::SchemaBuilder::draft) is for
/// those that do not. API Gateway's models and OpenAPI 3.0 are of draft 4, Hugging Face's task
/// schemas of draft 6, OpenAPI 3.1 of 2020-12.
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
    /// The draft that `$schema` names.
    pub(super) fn of(uri: &str) -> Option<Self> {
        Self::from_engine(jsonschema::Draft::from_schema_uri(uri))
    }

    pub(super) const fn from_engine(draft: jsonschema::Draft) -> Option<Self> {
        Some(match draft {
            jsonschema::Draft::Draft4 => Self::Draft4,
            jsonschema::Draft::Draft6 => Self::Draft6,
            jsonschema::Draft::Draft7 => Self::Draft7,
            jsonschema::Draft::Draft201909 => Self::Draft201909,
            jsonschema::Draft::Draft202012 => Self::Draft202012,
            _ => return None,
        })
    }

    pub(super) const fn engine(self) -> jsonschema::Draft {
        match self {
            Self::Draft4 => jsonschema::Draft::Draft4,
            Self::Draft6 => jsonschema::Draft::Draft6,
            Self::Draft7 => jsonschema::Draft::Draft7,
            Self::Draft201909 => jsonschema::Draft::Draft201909,
            Self::Draft202012 => jsonschema::Draft::Draft202012,
        }
    }

    /// Whether `$ref` makes all keywords beside it void: up to draft 7 (its section 8.3).
    pub(super) const fn refers_alone(self) -> bool {
        matches!(self, Self::Draft4 | Self::Draft6 | Self::Draft7)
    }

    /// What kind of schemas stand in the value of a keyword.
    pub(super) fn holds(self, keyword: &str) -> Holds {
        let since = |draft: Self| self as u8 >= draft as u8;
        match keyword {
            "allOf" | "anyOf" | "oneOf" => Holds::List(Applies::Here),
            "not" => Holds::One(Applies::Here),
            "if" | "then" | "else" if since(Self::Draft7) => Holds::One(Applies::Here),
            "dependencies" => Holds::Members(Applies::Here),
            "dependentSchemas" if since(Self::Draft201909) => Holds::Members(Applies::Here),
            "items" if since(Self::Draft202012) => Holds::One(Applies::Below),
            "items" => Holds::OneOrList(Applies::Below),
            "prefixItems" if since(Self::Draft202012) => Holds::List(Applies::Below),
            "additionalItems" if !since(Self::Draft202012) => Holds::One(Applies::Below),
            "additionalProperties" => Holds::One(Applies::Below),
            "contains" | "propertyNames" if since(Self::Draft6) => Holds::One(Applies::Below),
            "unevaluatedItems" | "unevaluatedProperties" | "contentSchema"
                if since(Self::Draft201909) =>
            {
                Holds::One(Applies::Below)
            }
            "properties" | "patternProperties" => Holds::Members(Applies::Below),
            "definitions" => Holds::Members(Applies::Nowhere),
            "$defs" if since(Self::Draft201909) => Holds::Members(Applies::Nowhere),
            _ => Holds::None,
        }
    }
}

/// What kind of schemas stand in the value of a keyword.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Holds {
    None,
    One(Applies),
    List(Applies),
    OneOrList(Applies),
    Members(Applies),
}

/// What a schema in another applies to.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Applies {
    /// The very value.
    Here,
    /// What the value holds.
    Below,
    /// What a reference says.
    Nowhere,
}
