use std::fmt::Display;

use crate::{fetch::short, printable::Printable, secret::Scrubber};

/// Returns the text of a user's error for the log: without secrets, on one line and of at most 200
/// characters.
pub(super) fn log_text(error: &dyn Display, scrubber: &Scrubber) -> Box<str> {
    let text = Printable(error).to_string();
    // Before it is cut, because a cut secret is not found.
    short(scrubber.scrub(&text)).as_ref().into()
}
