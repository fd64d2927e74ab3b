//! Writes the documents of a record, each within the limits of CloudWatch.
//!
//! Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::{borrow::Cow, time::UNIX_EPOCH};

use super::{
    dimension::Dimension,
    metrics::{METRICS, Number},
    settings::Emf,
    unit::Unit,
};
use crate::{
    access_log::format::{
        json,
        members::{Member, Members},
    },
    context::AddedValue,
    json_object::{JsonObject, member_name},
    record::{self, Record},
};

/// The maximum length of a document. CloudWatch Logs takes 256 KiB and counts 26 bytes of its own.
const MAX_BYTES: usize = 256 * 1024 - 64;
/// The maximum length of a text of a body. JSON may write a byte as six.
const MAX_TEXT: usize = 40_000;
/// The largest number that CloudWatch takes: 2^360, by the reference of `MetricDatum`.
const LARGEST: f64 = f64::from_bits((1_023 + 360) << 52);

/// The documents of one record. The last one is open for more members.
pub(crate) struct Documents<'a, 'r, T: FnMut(&[u8])> {
    record: &'a Record<'r>,
    take: &'a mut T,
    object: JsonObject,
    start: usize,
    // Whether the open document says of which request it is.
    has_id: bool,
    id: bool,
}

type Measured<'a> = (&'a str, Unit, Number);

impl<'a, 'r, T: FnMut(&[u8])> Documents<'a, 'r, T> {
    /// Writes the metrics.
    pub(crate) fn new(emf: &Emf, record: &'a Record<'r>, take: &'a mut T) -> Self {
        let object = JsonObject::default();
        let start = object.open();
        let mut documents = Self { record, take, object, start, has_id: false, id: false };
        let used = used_dimensions(emf, record);
        let metrics = metrics(emf, record);
        // Without a set there is nothing to count in.
        let all = if used.sets.is_empty() { &[] } else { &*metrics };
        let mut chunks = all.chunks(emf.max_metrics);
        documents.metrics(emf, &used, chunks.next().unwrap_or_default());
        for chunk in chunks {
            documents.next();
            documents.metrics(emf, &used, chunk);
        }
        documents
    }

    /// Writes the members of the record.
    pub(crate) fn members(&mut self, members: Members) {
        let record = self.record;
        self.id = members.has(Member::RequestId);
        self.part(|object| json::write(object, members.without(Member::Values), record));
        self.has_id = true;
        if members.has(Member::Values) {
            self.part(|object| record::added_values(object, record));
        }
    }

    /// Writes another member, whose text has at most the given number of bytes.
    pub(crate) fn more(&mut self, write: impl FnOnce(&mut JsonObject, usize)) {
        self.part(|object| write(object, MAX_TEXT));
    }

    /// Ends the last document.
    pub(crate) fn end(mut self) {
        self.object.close(self.start);
        (self.take)(self.object.written());
    }

    /// Writes members into this document or, when they do not fit, into the next one.
    fn part(&mut self, write: impl FnOnce(&mut JsonObject)) {
        let mut part = JsonObject::default();
        write(&mut part);
        let part = part.written();
        // With the brace at the end.
        if self.object.written().len() + part.len() < MAX_BYTES {
            return self.object.push(part);
        }
        self.next();
        self.timestamp();
        self.object.push(b",\"CloudWatchMetrics\":[]}");
        if self.id && self.has_id {
            self.object.text(member_name!("request_id"), self.record.request_id());
        }
        self.object.push(part);
    }

    fn next(&mut self) {
        self.object.close(self.start);
        (self.take)(self.object.written());
        self.object = JsonObject::default();
        self.start = self.object.open();
    }

    /// Writes the start of `_aws`.
    fn timestamp(&mut self) {
        let since = self.record.time().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.object.push(b",\"_aws\":{\"Timestamp\":");
        self.object.display(since.as_millis());
    }

    fn metrics(&mut self, emf: &Emf, used: &UsedDimensions<'_>, metrics: &[Measured<'_>]) {
        self.timestamp();
        let object = &mut self.object;
        object.push(b",\"CloudWatchMetrics\":[");
        if !metrics.is_empty() {
            object.push(b"{\"Namespace\":");
            object.string(&emf.namespace);
            object.push(b",\"Dimensions\":[");
            for (place, set) in used.sets.iter().enumerate() {
                object.push(if place == 0 { b"[" } else { b",[" });
                let constants = emf.constants.iter().map(|(name, _)| &**name);
                let names = constants.chain(set.iter().map(|dimension| dimension.name()));
                for (place, name) in names.enumerate() {
                    object.push(if place == 0 { b"" } else { b"," });
                    object.string(name);
                }
                object.push(b"]");
            }
            object.push(b"],\"Metrics\":[");
            for (place, (name, unit, _)) in metrics.iter().enumerate() {
                object.push(if place == 0 { b"{\"Name\":" } else { b",{\"Name\":" });
                object.string(name);
                object.push(b",\"Unit\":\"");
                object.push(unit.as_str().as_bytes());
                object.push(b"\"}");
            }
            object.push(b"]}");
        }
        object.push(b"]}");
        if metrics.is_empty() {
            return;
        }
        for (name, value) in &emf.constants {
            object.name(name);
            object.string(value);
        }
        for (dimension, value) in &used.values {
            object.name(dimension.name());
            object.string(value);
        }
        for (name, _, value) in metrics {
            object.name(name);
            match value {
                Number::Integer(number) => object.display(number),
                Number::Whole(number) => object.display(number),
                Number::Float(number) => object.display(number),
            }
        }
    }
}

/// The dimensions that the request has values for, and the sets of these.
struct UsedDimensions<'a> {
    sets: Vec<&'a [Dimension]>,
    values: Vec<(Dimension, Cow<'a, str>)>,
}

fn used_dimensions<'a>(emf: &'a Emf, record: &'a Record<'_>) -> UsedDimensions<'a> {
    let is_listed = |dimension: &Dimension| emf.sets.iter().any(|set| set.contains(dimension));
    let listed = Dimension::ALL.iter().copied().filter(is_listed);
    let mut values: Vec<_> =
        listed.filter_map(|own| Some((own, own.value(&emf.models, record)?))).collect();
    let has = |dimension: &Dimension| values.iter().any(|(own, _)| own == dimension);
    let sets: Vec<_> =
        emf.sets.iter().map(Vec::as_slice).filter(|set| set.iter().all(has)).collect();
    values.retain(|(dimension, _)| sets.iter().any(|set| set.contains(dimension)));
    UsedDimensions { sets, values }
}

fn metrics<'a>(emf: &'a Emf, record: &Record<'_>) -> Vec<Measured<'a>> {
    let own = METRICS.iter();
    let own = own.filter_map(|metric| Some((metric.name, metric.unit, (metric.value)(record)?)));
    let added = emf.values.iter().filter_map(|(name, unit)| {
        let (_, value) = record.added_values().iter().find(|(own, _)| *own == &**name)?;
        let number = match value {
            AddedValue::Integer(number) => Number::Integer(*number),
            AddedValue::Float(number) if number.abs() <= LARGEST => Number::Float(*number),
            AddedValue::Flag(flag) => Number::Whole((*flag).into()),
            AddedValue::Float(_) | AddedValue::Text(_) => return None,
        };
        Some((&**name, *unit, number))
    });
    own.chain(added).collect()
}
