use std::{borrow::Cow, fmt};

use super::{capture::Capture, cut::cut};
use crate::secret::Scrubber;

/// A body as far as it has passed: the request body as the client sent it or the response body as the
/// client received it.
pub struct RecordedBody<'a> {
    pub(super) capture: &'a Capture,
    pub(super) scrubbers: &'a [Scrubber],
}

/// The start of a body as text.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct Excerpt<'a> {
    /// The text. The secrets of the layer's scrubbers are replaced.
    pub text: Cow<'a, str>,
    /// How many bytes of the body are not in the text.
    pub cut_bytes: u64,
}

impl<'a> RecordedBody<'a> {
    /// Returns the length of the body so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.capture.total()
    }

    /// Returns the `content-encoding` of a coded body.
    #[must_use]
    pub fn coding(&self) -> Option<&'a str> {
        self.capture.coding()
    }

    /// Returns the SHA-256 digest of the whole body. `None` unless a sink needs it and the body was read to its
    /// end.
    #[must_use]
    pub fn digest(&self) -> Option<[u8; 32]> {
        self.capture.digest().filter(|_| self.capture.is_whole())
    }

    /// Returns the first `max_bytes` of the body as text. It ends between two characters.
    ///
    /// Returns `None` for a coded body and for one that is not UTF-8. A text that is cut ends earlier if the
    /// cut could divide a secret of a scrubber.
    #[must_use]
    pub fn excerpt(&self, max_bytes: usize) -> Option<Excerpt<'a>> {
        if self.capture.coding().is_some() {
            return None;
        }
        let kept = self.capture.start();
        let start = kept.get(..max_bytes).unwrap_or(kept);
        let text = match str::from_utf8(start) {
            Ok(text) => text,
            // The cut is within a character.
            Err(error) if error.error_len().is_none() => {
                str::from_utf8(start.get(..error.valid_up_to())?).ok()?
            }
            Err(_) => return None,
        };
        let unsafe_bytes = longest_secret(self.scrubbers);
        let text = if self.may_divide_a_secret(text.len(), unsafe_bytes) {
            cut(text, text.len().saturating_sub(unsafe_bytes))
        } else {
            text
        };
        let cut_bytes = self.capture.total() - text.len() as u64;
        let mut scrubbed = Cow::Borrowed(text);
        for scrubber in self.scrubbers {
            if let Cow::Owned(text) = scrubber.scrub(&scrubbed) {
                scrubbed = Cow::Owned(text);
            }
        }
        Some(Excerpt { text: scrubbed, cut_bytes })
    }

    /// Returns whether a secret may begin before this place in the body and end after it.
    fn may_divide_a_secret(&self, place: usize, longest: usize) -> bool {
        let kept = self.capture.start();
        let is_all = kept.len() as u64 == self.capture.total();
        if longest == 0 || is_all && place == kept.len() {
            return false;
        }
        let (first, end) = (place.saturating_sub(longest), place.saturating_add(longest));
        match kept.get(first..end) {
            Some(around) => self.has_secret(around),
            // What was not kept may have the end of the secret.
            None => !is_all || self.has_secret(kept.get(first..).unwrap_or_default()),
        }
    }

    fn has_secret(&self, bytes: &[u8]) -> bool {
        self.scrubbers.iter().any(|scrubber| scrubber.is_in(bytes))
    }
}

/// Returns the length of the longest spelling of a secret.
pub(crate) fn longest_secret(scrubbers: &[Scrubber]) -> usize {
    scrubbers.iter().map(Scrubber::longest).max().unwrap_or(0)
}

/// Without the text, which is a prompt or a completion.
impl fmt::Debug for RecordedBody<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedBody").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

/// Without the text, which is a prompt or a completion.
impl fmt::Debug for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Excerpt").field("cut_bytes", &self.cut_bytes).finish_non_exhaustive()
    }
}
