//! Counts messages, text, images, tools and choices of chat requests.

use crate::{
    payload::{Kind, Node},
    rejection::Violation,
};

/// Members of a body with text.
pub(crate) const TEXTS: [&str; 6] =
    ["messages", "input", "inputs", "instructions", "prompt", "suffix"];

/// Members with a number of choices.
const COUNTS: [&str; 3] = ["n", "best_of", "num_return_sequences"];

/// Members that contain such members.
pub(crate) const AROUND_COUNTS: [&str; 2] = ["parameters", "sampling_params"];

/// Members with a word and no text.
const WORDS: [&str; 6] = ["role", "type", "id", "tool_call_id", "call_id", "status"];

/// The maximum length of a word. Templates write any role into the prompt, so a longer one counts
/// as text.
const LONGEST_WORD: usize = 64;

/// Members with media and no text.
const MEDIA: [&str; 8] =
    ["image_url", "image", "input_audio", "audio", "video_url", "video", "file_data", "file_url"];

/// Types of image parts and members that make an object an image.
const IMAGES: [&str; 3] = ["image_url", "input_image", "image"];

/// Returns a member that is present and not `null`.
pub(crate) fn present<'a>(root: Node<'a>, name: &str) -> Option<Node<'a>> {
    root.get(name).filter(|value| !value.is_null())
}

/// Returns a violation at the first of `names` with which their elements exceed the limit.
pub(crate) fn too_many(
    root: Node<'_>,
    limit: &'static str,
    names: [&str; 2],
    at_most: usize,
) -> Option<Violation> {
    let mut left = at_most;
    names.into_iter().find_map(|name| {
        let value = present(root, name)?;
        let count = match value.kind() {
            Kind::Array => Some(value.len()),
            Kind::String if name == "input" => Some(1),
            _ => None,
        };
        let rest = count.map(|count| left.checked_sub(count));
        let detail = match rest {
            Some(Some(rest)) => {
                left = rest;
                return None;
            }
            Some(None) => format!("must not have more than {at_most} {limit}"),
            None => format!("must be an array of at most {at_most} {limit}"),
        };
        Some(Violation::new(format!("/{name}"), limit, detail))
    })
}

/// Returns the name of a number of choices that exceeds `at_most` or that only some readers see.
pub(crate) fn too_many_choices(object: Node<'_>, at_most: u64) -> Option<&'static str> {
    COUNTS.into_iter().find(|own| {
        object.alike(own).any(|(name, value)| {
            !name.says(own)
                || !value.is_null() && value.as_u64().is_none_or(|value| value > at_most)
        })
    })
}

/// Returns the first of `names` with which the sum exceeds `at_most`.
pub(crate) fn beyond<'n>(
    root: Node<'_>,
    names: &'n [&'n str],
    at_most: usize,
    measure: fn(&str, Node<'_>) -> usize,
) -> Option<&'n str> {
    let mut sum = 0_usize;
    let mut passes = |name: &&str| {
        let value = root.get(name);
        sum = sum.saturating_add(value.map_or(0, |value| measure(name, value)));
        sum > at_most
    };
    names.iter().copied().find(|name| passes(name))
}

// Both functions recurse as deep as the document, at most 1,024 levels.

/// Returns the number of characters of text in the member `name`.
pub(crate) fn characters(name: &str, value: Node<'_>) -> usize {
    match value.kind() {
        Kind::String => {
            let length = value.as_str().map_or(0, |string| string.chars().count());
            if length <= LONGEST_WORD && WORDS.contains(&name) { 0 } else { length }
        }
        Kind::Array => value.elements().map(|element| characters("", element)).sum(),
        Kind::Object => {
            let members = value.members().filter(|(name, _)| !MEDIA.contains(&name.as_ref()));
            members.map(|(name, value)| characters(&name, value)).sum()
        }
        _ => 0,
    }
}

/// Returns the number of images in a member.
pub(crate) fn images(_: &str, value: Node<'_>) -> usize {
    match value.kind() {
        Kind::Array => value.elements().map(|element| images("", element)).sum(),
        Kind::Object => {
            let mut own = false;
            let mut inner = 0;
            for (name, value) in value.members() {
                own |= match value.kind() {
                    Kind::String if name == "type" => {
                        value.as_str().is_some_and(|kind| IMAGES.contains(&kind.as_ref()))
                    }
                    Kind::Null => false,
                    _ => IMAGES.contains(&name.as_ref()),
                };
                inner += images(&name, value);
            }
            inner + usize::from(own)
        }
        _ => 0,
    }
}
