//! Members that several formats write alike.

use crate::{
    access_log::content::{Content, ContentKind},
    json_object::{JsonObject, member_name},
    record::{Record, RecordedBody},
};

/// Writes the share of records that this one stands for, whatever the chosen fields are. Sums over a
/// sampled log would be wrong without it.
pub(super) fn sample_rate(object: &mut JsonObject, record: &Record<'_>) {
    if let Some(rate) = record.sample_rate() {
        object.push(member_name!("sample_rate"));
        object.display(rate);
    }
}

/// Writes a body as an object after its name. Its text has at most `most` bytes.
pub(super) fn body(
    object: &mut JsonObject,
    content: &Content,
    body: &RecordedBody<'_>,
    most: usize,
) {
    let start = object.open();
    match &content.0 {
        ContentKind::Truncated { max_bytes } => {
            let excerpt = body.excerpt((*max_bytes).min(most));
            object.text(member_name!("text"), excerpt.as_ref().map(|excerpt| &*excerpt.text));
            object.text(member_name!("coding"), body.coding());
            object.number(member_name!("bytes"), Some(body.bytes()));
            let cut = excerpt.map_or_else(|| body.bytes(), |excerpt| excerpt.cut_bytes);
            object.number(member_name!("cut_bytes"), Some(cut));
        }
        ContentKind::Pseudonym(pseudonyms) => {
            let pseudonym = body.digest().map(|digest| pseudonyms.content_digest(&digest));
            object.text(member_name!("pseudonym"), pseudonym.as_deref());
            object.text(member_name!("coding"), body.coding());
            object.number(member_name!("bytes"), Some(body.bytes()));
        }
    }
    object.close(start);
}
