use std::{fmt, mem};

use tracing::Level;

use super::{
    format::{self, Format, FormatError, Member as M, Members},
    pseudonyms::Pseudonyms,
    sampling::Sampling,
};
use crate::{
    context::{CacheOutcome, StreamEnd},
    json_object::{JsonObject, microseconds, rfc3339},
    printable::printable,
    record::{self, Needs, Record, RecordSink},
};

const TARGET: &str = "tower_inference::access";

/// Writes each record as one `tracing` event.
///
/// The target is `tower_inference::access` and the level is INFO. A request that arrives while no subscriber
/// listens is not recorded.
#[derive(Clone)]
pub struct Events {
    kind: Kind,
    pseudonyms: Option<Pseudonyms>,
    sampling: Option<Sampling>,
}

#[derive(Clone)]
enum Kind {
    Fields(Members),
    Lines(Format),
}

impl Events {
    /// Creates a log of events with the [members of a record](super#members-of-a-record) as fields.
    #[must_use]
    pub const fn new() -> Self {
        Self { kind: Kind::Fields(Members::DEFAULT), pseudonyms: None, sampling: None }
    }

    /// Creates a log of events whose message is a line of `format`.
    #[must_use]
    pub const fn lines(format: Format) -> Self {
        Self { kind: Kind::Lines(format), pseudonyms: None, sampling: None }
    }

    /// Writes these fields instead of those by default. For [`lines`](Self::lines) they are fields of the
    /// format.
    ///
    /// # Errors
    ///
    /// As for [`Format::fields`].
    pub fn fields<T: AsRef<str>>(
        mut self,
        names: impl IntoIterator<Item = T>,
    ) -> Result<Self, FormatError> {
        self.kind = match self.kind {
            Kind::Fields(_) => Kind::Fields(Members::named(names)?),
            Kind::Lines(format) => Kind::Lines(format.fields(names)?),
        };
        Ok(self)
    }

    /// Writes these fields too.
    ///
    /// # Errors
    ///
    /// As for [`Format::fields`].
    pub fn more_fields<T: AsRef<str>>(
        mut self,
        names: impl IntoIterator<Item = T>,
    ) -> Result<Self, FormatError> {
        self.kind = match self.kind {
            Kind::Fields(members) => Kind::Fields(members.and(Members::named(names)?)),
            Kind::Lines(format) => Kind::Lines(format.more_fields(names)?),
        };
        Ok(self)
    }

    /// Writes pseudonyms in place of subject, tenant and credential id.
    #[must_use]
    pub fn pseudonyms(mut self, pseudonyms: Pseudonyms) -> Self {
        match mem::replace(&mut self.kind, Kind::Fields(Members::DEFAULT)) {
            Kind::Lines(format) => self.kind = Kind::Lines(format.pseudonyms(pseudonyms)),
            fields @ Kind::Fields(_) => {
                self.kind = fields;
                self.pseudonyms = Some(pseudonyms);
            }
        }
        self
    }

    /// Writes only a share of the successful requests. By default each is written.
    #[must_use]
    pub fn sampling(self, sampling: Sampling) -> Self {
        Self { sampling: Some(sampling), ..self }
    }

    fn write(&self, record: &Record<'_>) {
        match &self.kind {
            Kind::Lines(format) => format.render(record, message),
            Kind::Fields(members) => {
                let of_record = |pseudonyms: &Pseudonyms| pseudonyms.of_record(record);
                let hidden = self.pseudonyms.as_ref().and_then(of_record);
                event(*members, hidden.as_ref().unwrap_or(record));
            }
        }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

impl RecordSink for Events {
    fn enabled(&self) -> bool {
        tracing::event_enabled!(target: TARGET, Level::INFO)
    }

    fn needs(&self) -> Needs {
        match &self.kind {
            Kind::Fields(members) => members.needs(),
            Kind::Lines(format) => format.needs(),
        }
    }

    fn record(&self, record: &Record<'_>) {
        match &self.sampling {
            None => self.write(record),
            Some(sampling) => match (sampling.sample(record), &self.kind) {
                (Some(shown), _) => self.write(&shown),
                (None, Kind::Lines(format)) => format.render_left_out(record, message),
                (None, Kind::Fields(_)) => {}
            },
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("sampling", &self.sampling).finish_non_exhaustive()
    }
}

fn message(line: &[u8]) {
    // Every format writes UTF-8.
    if let Ok(line) = str::from_utf8(line) {
        tracing::info!(target: TARGET, "{line}");
    }
}

fn event(of: Members, record: &Record<'_>) {
    let time = rfc3339(record.time());
    let principal = record.principal();
    let principal = |member| principal.filter(|_| of.has(member));
    let usage = record.usage().unwrap_or_default();
    let values = of.when(M::Values, || values(record));
    let attempt_list = format::attempts_text(of, record);
    tracing::info!(
        target: TARGET,
        time = of.when(M::Time, || str::from_utf8(&time).ok()),
        request_id = of.when(M::RequestId, || record.request_id().map(printable)).as_deref(),
        trace_id = of.when(M::TraceId, || record.trace_id()),
        span_id = of.when(M::SpanId, || record.span_id()),
        parent_span_id = of.when(M::ParentSpanId, || record.parent_span_id()),
        amzn_trace_id =
            of.when(M::AmznTraceId, || record.amzn_trace_id().map(printable)).as_deref(),
        principal.proof = principal(M::PrincipalProof).map(|principal| principal.proof.as_str()),
        principal.issuer =
            principal(M::PrincipalIssuer).map(|principal| printable(principal.issuer)).as_deref(),
        principal.subject =
            principal(M::PrincipalSubject).map(|principal| printable(principal.subject)).as_deref(),
        tenant = of.when(M::Tenant, || record.tenant().map(printable)).as_deref(),
        credential_id = of.when(M::CredentialId, || record.credential_id().map(printable)).as_deref(),
        client_address =
            of.when(M::ClientAddress, || record.client_address()).map(tracing::field::display),
        method = of.when(M::Method, || Some(record.method())),
        path = of.when(M::Path, || Some(printable(record.path()))).as_deref(),
        http_version = of.when(M::HttpVersion, || record.http_version()),
        user_agent = of.when(M::UserAgent, || record.user_agent().map(printable)).as_deref(),
        route = of.when(M::Route, || record.route().map(printable)).as_deref(),
        stage = of.when(M::Stage, || record.stage().map(printable)).as_deref(),
        status = of.when(M::Status, || record.status()).map(|status| status.as_u16()),
        grpc_status = of.when(M::GrpcStatus, || record.grpc_status()),
        refusal = of.when(M::Refusal, || record.refusal()),
        limit = of.when(M::Limit, || record.limit().map(printable)).as_deref(),
        limit_shadow = of.when(M::LimitShadow, || record.limit_shadow().map(printable)).as_deref(),
        cache = of.when(M::Cache, || record.cache()).map(CacheOutcome::as_str),
        outcome = of.when(M::Outcome, || Some(record.outcome().as_str())),
        bytes_in = of.when(M::BytesIn, || Some(record.bytes_in())),
        bytes_out = of.when(M::BytesOut, || Some(record.bytes_out())),
        head_us = of.when(M::HeadUs, || record.head_after()).map(microseconds),
        first_byte_us = of.when(M::FirstByteUs, || record.first_byte_after()).map(microseconds),
        first_token_us = of.when(M::FirstTokenUs, || record.first_token_after()).map(microseconds),
        upstream_us = of.when(M::UpstreamUs, || record.upstream_time()).map(microseconds),
        total_us = of.when(M::TotalUs, || Some(record.total())).map(microseconds),
        upstream = of.when(M::Upstream, || record.upstream().map(printable)).as_deref(),
        upstream_status =
            of.when(M::UpstreamStatus, || record.upstream_status()).map(|status| status.as_u16()),
        upstream_request_id =
            of.when(M::UpstreamRequestId, || record.upstream_request_id().map(printable)).as_deref(),
        attempts =
            of.when(M::Attempts, || Some(record.attempts())).filter(|attempts| *attempts > 0),
        attempt_list,
        model = of.when(M::Model, || record.model().map(printable)).as_deref(),
        model_target = of.when(M::ModelTarget, || record.model_target().map(printable)).as_deref(),
        usage.prompt_tokens = of.when(M::PromptTokens, || usage.prompt_tokens),
        usage.completion_tokens = of.when(M::CompletionTokens, || usage.completion_tokens),
        usage.total_tokens = of.when(M::TotalTokens, || usage.total_tokens),
        usage.cached_tokens = of.when(M::CachedTokens, || usage.cached_tokens),
        usage.cache_write_tokens = of.when(M::CacheWriteTokens, || usage.cache_write_tokens),
        usage.reasoning_tokens = of.when(M::ReasoningTokens, || usage.reasoning_tokens),
        stream_end = of.when(M::StreamEnd, || record.stream_end()).map(StreamEnd::as_str),
        decisions = of.when(M::Decisions, || format::decisions(record)),
        values,
        sample_rate = record.sample_rate(),
    );
}

/// The values that the program added as an object of JSON. Names of fields must be known to the compiler.
fn values(record: &Record<'_>) -> Option<String> {
    if record.added_values().is_empty() {
        return None;
    }
    let mut object = JsonObject::default();
    let start = object.open();
    record::added_members(&mut object, record);
    object.close(start);
    str::from_utf8(object.written()).ok().map(str::to_owned)
}
