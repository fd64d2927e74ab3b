use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};

use super::value::{all, has, is_text};
use crate::payload::Node;

/// Returns whether the type of a body is an image, a sound or a video.
pub(crate) fn is_media(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    let essence = media_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let of = |kind: &&[u8]| {
        essence.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind))
    };
    [&b"image/"[..], b"audio/", b"video/"].iter().any(of) && !essence.ends_with(b"+xml")
}

/// Returns whether a body starts like JSON or a page, which no image and no sound does.
pub(crate) fn starts_like_text(body: &[u8]) -> bool {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    matches!(body.trim_ascii_start(), [] | [b'{' | b'<' | b'[' | b'"', ..])
}

/// Returns whether a document holds images, or links to images.
pub(super) fn images(root: Node<'_>) -> bool {
    fn is_image(image: Node<'_>) -> bool {
        is_text(image) || ["url", "b64_json"].iter().any(|name| has(image, name, is_text))
    }
    let named = root.get("data").filter(|data| all(*data, |image| !is_text(image)));
    named.or_else(|| root.get("images")).is_some_and(|images| all(images, is_image))
}

/// Returns whether a document holds the text of a recording.
pub(super) fn transcript(root: Node<'_>) -> bool {
    has(root, "text", is_text)
}
