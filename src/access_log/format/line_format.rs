use std::{fmt, sync::Arc};

use super::{
    api_gateway, common,
    emf::{Documents, Emf},
    error::FormatError,
    fields::Fields,
    json,
    members::Members,
    open_telemetry, shared_members,
};
use crate::{
    access_log::{content::Content, pseudonyms::Pseudonyms},
    json_object::{JsonObject, member_name},
    record::{self, GenAiConventions, Needs, Record},
};

/// How a record is written as a line.
///
/// A format does not know where its lines go: to a [`Sink`](super::super::Sink) by
/// [`AccessLogLayer::lines`](super::super::AccessLogLayer::lines), to `tracing` by
/// [`Events::lines`](super::super::Events::lines), or to a sink of your own by [`render`](Self::render).
///
/// Each format escapes what could end the line, forge a field or control a terminal.
///
/// ```
/// use std::io;
/// use tower_inference::access_log::{AccessLogLayer, Format, FormatError, Sink};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let format = Format::json().fields(["time", "request_id", "path", "status", "total_us"])?;
/// let layer = AccessLogLayer::lines(Sink::new(io::stdout())?, format);
/// # let _ = layer;
///
/// let unknown = Format::api_gateway().fields(["$context.requestId", "$context.nope"]);
/// assert!(matches!(unknown, Err(FormatError::UnknownField(name)) if &*name == "$context.nope"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Format {
    kind: Kind,
    pseudonyms: Option<Pseudonyms>,
    prompts: Option<Content>,
    completions: Option<Content>,
}

#[derive(Clone)]
enum Kind {
    Json(Members),
    ApiGateway(Fields),
    OpenTelemetry(GenAiConventions, Fields),
    Common { combined: bool },
    Emf(Arc<Emf>, Members),
}

impl Format {
    /// Creates the format of [`AccessLogLayer::json`](super::super::AccessLogLayer::json): an object with the
    /// [members of a record](super::super#members-of-a-record). Its table says which of them must be chosen.
    #[must_use]
    pub const fn json() -> Self {
        Self::of(Kind::Json(Members::DEFAULT))
    }

    /// Creates an object with the names of API Gateway's [variables] as in
    /// `{"requestId":"…","status":"200"}`. Each value is a string and `-` stands for none, as in the formats
    /// that API Gateway's documentation shows.
    ///
    /// All variables of REST and HTTP APIs are known. One that this crate has no value for takes the value
    /// that the program [added](crate::context::RequestContext::add_value) under its name.
    /// `integration.requestId` is the upstream's own id of the request. `extendedRequestId` is the id of the
    /// request, as in HTTP APIs.
    /// `authorizer.claims.NAME` and `authorizer.NAME` are claims of the caller. Times are in milliseconds.
    ///
    /// [variables]: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html
    #[must_use]
    pub fn api_gateway() -> Self {
        Self::of(Kind::ApiGateway(api_gateway::default()))
    }

    /// Creates an object with the attributes of OpenTelemetry's HTTP and GenAI conventions. Durations are in
    /// seconds. Attributes of this crate's own begin with `tower_inference.`.
    ///
    /// An attribute that this crate has no value for, such as `gen_ai.response.id`, takes the value that the
    /// program [added](crate::context::RequestContext::add_value) under its name.
    #[must_use]
    pub fn open_telemetry(version: GenAiConventions) -> Self {
        Self::of(Kind::OpenTelemetry(version, open_telemetry::default(version)))
    }

    /// Creates the Common Log Format: `203.0.113.7 - user-7 [10/Oct/2000:13:55:36 +0000] "POST /v1/embeddings
    /// HTTP/1.1" 200 2326`. `-` stands for none. A request that was cancelled before its head has status 499,
    /// as in nginx. Set [`client_address`](super::super::AccessLogLayer::client_address) for the first field.
    ///
    /// The format has no place for a sample rate. A [`Sink`](super::super::Sink) reports lost lines as JSON here
    /// too, which analysers of the format skip.
    #[must_use]
    pub const fn common() -> Self {
        Self::of(Kind::Common { combined: false })
    }

    /// Creates the combined form of [`common`](Self::common): a referer, which is always `-`, and the user
    /// agent follow.
    #[must_use]
    pub const fn combined() -> Self {
        Self::of(Kind::Common { combined: true })
    }

    /// Creates documents of CloudWatch's Embedded Metric Format. CloudWatch makes metrics of them.
    #[must_use]
    pub fn emf(emf: Emf) -> Self {
        Self::of(Kind::Emf(Arc::new(emf), Members::DEFAULT))
    }

    const fn of(kind: Kind) -> Self {
        Self { kind, pseudonyms: None, prompts: None, completions: None }
    }

    /// Writes these fields instead of those by default. The name of a nested object, such as `usage`, stands
    /// for all its members. For documents of [`emf`](Self::emf) they are the members that CloudWatch does
    /// not make metrics of.
    ///
    /// # Errors
    ///
    /// Returned when the format has no field of a name, and for formats whose fields are fixed:
    /// [`common`](Self::common) and [`combined`](Self::combined).
    pub fn fields<T: AsRef<str>>(
        mut self,
        names: impl IntoIterator<Item = T>,
    ) -> Result<Self, FormatError> {
        match &mut self.kind {
            Kind::Json(members) | Kind::Emf(_, members) => *members = Members::named(names)?,
            Kind::ApiGateway(fields) => *fields = api_gateway::named(names)?,
            Kind::OpenTelemetry(version, fields) => {
                *fields = open_telemetry::named(*version, names)?;
            }
            Kind::Common { .. } => return Err(FormatError::FixedFields),
        }
        Ok(self)
    }

    /// Writes these fields too.
    ///
    /// # Errors
    ///
    /// As for [`fields`](Self::fields).
    pub fn more_fields<T: AsRef<str>>(
        mut self,
        names: impl IntoIterator<Item = T>,
    ) -> Result<Self, FormatError> {
        match &mut self.kind {
            Kind::Json(members) | Kind::Emf(_, members) => {
                *members = members.and(Members::named(names)?);
            }
            Kind::ApiGateway(fields) => *fields = fields.and(&api_gateway::named(names)?),
            Kind::OpenTelemetry(version, fields) => {
                *fields = fields.and(&open_telemetry::named(*version, names)?);
            }
            Kind::Common { .. } => return Err(FormatError::FixedFields),
        }
        Ok(self)
    }

    /// Writes pseudonyms in place of subject, tenant and credential id. The issuer stays, and claims are left
    /// out.
    #[must_use]
    pub fn pseudonyms(self, pseudonyms: Pseudonyms) -> Self {
        Self { pseudonyms: Some(pseudonyms), ..self }
    }

    /// Writes the member `prompt`: the body of the request. By default no prompt is recorded.
    ///
    /// [`common`](Self::common) and [`combined`](Self::combined) have no place for it.
    #[must_use]
    pub fn prompts(self, content: Content) -> Self {
        Self { prompts: Some(content), ..self }
    }

    /// Writes the member `completion`: the body of the response. By default no completion is recorded. The
    /// layer then requests an uncompressed response from the upstream.
    ///
    /// [`common`](Self::common) and [`combined`](Self::combined) have no place for it.
    #[must_use]
    pub fn completions(self, content: Content) -> Self {
        Self { completions: Some(content), ..self }
    }

    /// Returns what the format needs of a request. A [`RecordSink`](crate::record::RecordSink) that renders it
    /// passes this on.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let mut needs = match &self.kind {
            Kind::Json(members) | Kind::Emf(_, members) => members.needs(),
            Kind::ApiGateway(_) => Needs::default(),
            Kind::OpenTelemetry(_, fields) => Needs {
                response_facts: open_telemetry::needs_response_facts(fields),
                ..Needs::default()
            },
            Kind::Common { combined } => return Needs { user_agent: *combined, ..Needs::NONE },
        };
        if let Some(prompts) = &self.prompts {
            (needs.prompt_bytes, needs.prompt_digest) = prompts.needs();
        }
        if let Some(completions) = &self.completions {
            (needs.completion_bytes, needs.completion_digest) = completions.needs();
        }
        needs
    }

    /// Passes the lines of a record to `take`, each without its end. Only [`emf`](Self::emf) may have more
    /// than one.
    pub fn render(&self, record: &Record<'_>, mut take: impl FnMut(&[u8])) {
        let hidden = self.pseudonyms.as_ref().and_then(|pseudonyms| pseudonyms.of_record(record));
        let record = hidden.as_ref().unwrap_or(record);
        let mut object = JsonObject::default();
        let start = object.open();
        match &self.kind {
            Kind::Json(members) => json::write(&mut object, *members, record),
            Kind::ApiGateway(fields) => api_gateway::write(&mut object, fields, record),
            Kind::OpenTelemetry(_, fields) => {
                open_telemetry::write(&mut object, fields, record, self.pseudonyms.is_some());
            }
            Kind::Common { combined } => return take(common::line(record, *combined).as_bytes()),
            Kind::Emf(emf, members) => {
                let mut documents = Documents::new(emf, record, &mut take);
                documents.members(*members);
                documents.more(|object, most| self.write_prompt(object, record, most));
                documents.more(|object, most| self.write_completion(object, record, most));
                return documents.end();
            }
        }
        if let Kind::ApiGateway(fields) | Kind::OpenTelemetry(_, fields) = &self.kind {
            if fields.values {
                record::added_values(&mut object, record);
            }
            shared_members::sample_rate(&mut object, record);
        }
        self.write_prompt(&mut object, record, usize::MAX);
        self.write_completion(&mut object, record, usize::MAX);
        object.close(start);
        take(object.written());
    }

    /// Passes on what a sampled log has of a request that it leaves out: metrics are of all requests.
    pub(crate) fn render_left_out(&self, record: &Record<'_>, mut take: impl FnMut(&[u8])) {
        if let Kind::Emf(emf, _) = &self.kind {
            Documents::new(emf, record, &mut take).end();
        }
    }

    fn write_prompt(&self, object: &mut JsonObject, record: &Record<'_>, most: usize) {
        if let Some(content) = &self.prompts
            && let Some(body) = record.prompt()
        {
            object.push(member_name!("prompt"));
            shared_members::body(object, content, &body, most);
        }
    }

    fn write_completion(&self, object: &mut JsonObject, record: &Record<'_>, most: usize) {
        if let Some(content) = &self.completions
            && let Some(body) = record.completion()
        {
            object.push(member_name!("completion"));
            shared_members::body(object, content, &body, most);
        }
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Json(_) => "json",
            Kind::ApiGateway(_) => "api_gateway",
            Kind::OpenTelemetry(..) => "open_telemetry",
            Kind::Common { combined: false } => "common",
            Kind::Common { combined: true } => "combined",
            Kind::Emf(..) => "emf",
        };
        f.debug_struct("Format")
            .field("kind", &kind)
            .field("pseudonyms", &self.pseudonyms)
            .field("prompts", &self.prompts)
            .field("completions", &self.completions)
            .finish()
    }
}
