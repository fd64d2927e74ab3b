use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use http::Request;
use http_body::Body;

use super::{chat_limits::ChatLimits, parameter::Parameter};
use crate::{
    context::RequestContext,
    payload::{
        ContentKind, Document, DocumentError, Payload, is_bodiless, json_required, says_json,
    },
    rejection::{Refusal, Rejection},
    schema::{
        built_in::routes::{BuiltInRoutes, PathSchema},
        compile::schema::Schema,
        response::response_schema::ResponseSchema,
    },
};

/// The rules for requests.
#[derive(Clone, Debug)]
pub(crate) struct RequestRules {
    body: BodyRule,
    pub(crate) models: BTreeMap<Box<str>, Schema>,
    pub(crate) limits: Option<ChatLimits>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) response: Option<ResponseSchema>,
    /// Bodies that are neither JSON nor text pass unread.
    pub(crate) binary: bool,
    pub(crate) routes: BTreeMap<Box<str>, Arc<Self>>,
}

/// The rule for bodies whose model has no schema of its own.
#[derive(Clone, Debug)]
pub(crate) enum BodyRule {
    Schema(Schema),
    BuiltInSchemas(Arc<BuiltInRoutes>),
    Any,
    Unlisted,
}

impl RequestRules {
    pub(crate) const fn new(body: BodyRule) -> Self {
        Self {
            body,
            models: BTreeMap::new(),
            limits: None,
            parameters: Vec::new(),
            response: None,
            binary: false,
            routes: BTreeMap::new(),
        }
    }

    /// Returns the rules of a route or else these rules.
    pub(crate) fn of_route(&self, route: Option<&str>) -> &Self {
        route.and_then(|route| self.routes.get(route)).map_or(self, AsRef::as_ref)
    }

    pub(crate) fn check(
        &self,
        request: &Request<Payload>,
        context: &RequestContext,
    ) -> Result<(), Rejection> {
        self.check_parameters(request)?;
        self.check_body(request, context)
    }

    fn check_parameters(&self, request: &Request<Payload>) -> Result<(), Rejection> {
        let (query, headers) = (request.uri().query().unwrap_or_default(), request.headers());
        let parameters = self.parameters.iter();
        let violations: Vec<_> =
            parameters.filter_map(|parameter| parameter.check(query, headers)).collect();
        if violations.is_empty() {
            return Ok(());
        }
        Err(Rejection::new(Refusal::InvalidParameters).with_violations(violations))
    }

    fn check_body(
        &self,
        request: &Request<Payload>,
        context: &RequestContext,
    ) -> Result<(), Rejection> {
        let by_model = !self.models.is_empty();
        let PathSchema { schema, binary } = match &self.body {
            BodyRule::BuiltInSchemas(routes) => routes.of_path(request.uri().path()),
            BodyRule::Schema(schema) => PathSchema { schema: Some(schema), binary: false },
            BodyRule::Any | BodyRule::Unlisted => PathSchema { schema: None, binary: false },
        };
        match &self.body {
            BodyRule::Any | BodyRule::BuiltInSchemas(_)
                if schema.is_none() && !by_model && self.limits.is_none() =>
            {
                return Ok(());
            }
            _ if is_bodiless(request.method()) && is_absent(request.body()) => return Ok(()),
            BodyRule::Unlisted if !by_model => return Err(unlisted()),
            _ => {}
        }
        let bytes = request.body().bytes();
        match (self.binary || binary).then(|| ContentKind::of(request.headers(), bytes)) {
            Some(ContentKind::Binary) => return Ok(()),
            Some(ContentKind::Json) => {}
            // A form can be valid JSON but has another meaning as a form.
            Some(ContentKind::Text) => return Err(json_required()),
            None if !says_json(request.headers()) => return Err(json_required()),
            None => {}
        }
        let document = request.body().document().map_err(DocumentError::rejection)?;
        match (self.schema_of_model(document, context).or(schema), &self.body) {
            (Some(schema), _) => check_document(document, schema)?,
            (None, BodyRule::Unlisted) => return Err(unlisted()),
            (None, _) => {}
        }
        let beyond = self.limits.as_ref().map(|limits| limits.check(document)).unwrap_or_default();
        if beyond.is_empty() {
            return Ok(());
        }
        Err(Rejection::new(Refusal::InvalidPayload).with_violations(beyond))
    }

    fn schema_of_model(&self, document: &Document, context: &RequestContext) -> Option<&Schema> {
        if self.models.is_empty() {
            return None;
        }
        let written = document.root().get("model").and_then(|model| model.as_str());
        let model = written.as_deref().or_else(|| context.model())?;
        let without_suffix = || self.models.get(model.rsplit_once(':')?.0);
        self.models.get(model).or_else(without_suffix)
    }
}

fn check_document(document: &Document, schema: &Schema) -> Result<(), Rejection> {
    // Violations are collected only for an invalid document.
    if schema.is_valid(document) {
        return Ok(());
    }
    Err(Rejection::new(Refusal::InvalidPayload).with_violations(schema.violations(document)))
}

fn is_absent(payload: &Payload) -> bool {
    payload.bytes().map_or_else(|| payload.is_end_stream(), Bytes::is_empty)
}

fn unlisted() -> Rejection {
    Rejection::new(Refusal::NotFound).with_detail("this gateway serves no such route or model")
}
