//! The Common Log Format and its combined form, which Apache httpd, nginx and every log analyser know.
//!
//! Source: <https://httpd.apache.org/docs/2.4/logs.html#accesslog>

use std::{
    fmt::{self, Write as _},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    calendar,
    printable::is_unprintable,
    record::{Record, RequestOutcome},
};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Where a value is in the line, which decides what would end it.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Between spaces. A bracket would start the time.
    Bare,
    /// A word of the request line.
    Word,
    /// A text in quotes.
    Quoted,
}

/// Returns the line without its end.
pub(super) fn line(record: &Record<'_>, combined: bool) -> String {
    let mut line = String::with_capacity(256);
    // Writing to a string never fails.
    let _written = match record.client_address() {
        Some(address) => write!(line, "{address}"),
        None => write!(line, "-"),
    };
    line.push_str(" - ");
    field(&mut line, record.principal().map(|caller| caller.subject), Place::Bare);
    let _written = write!(line, " [{}] \"", ClfTime(record.time()));
    field(&mut line, Some(record.method()), Place::Word);
    line.push(' ');
    field(&mut line, Some(record.path()), Place::Word);
    line.push(' ');
    let _written = match record.http_version() {
        // As servers write it: with a minor version.
        Some(version) if version.contains('.') => write!(line, "HTTP/{version}"),
        Some(version) => write!(line, "HTTP/{version}.0"),
        None => write!(line, "-"),
    };
    line.push_str("\" ");
    let _written = match (record.status(), record.outcome()) {
        (Some(status), _) => write!(line, "{}", status.as_u16()),
        // As nginx: the client closed the request before there was a head.
        (None, RequestOutcome::Cancelled) => write!(line, "499"),
        (None, _) => write!(line, "-"),
    };
    let _written = match record.bytes_out() {
        0 => write!(line, " -"),
        bytes => write!(line, " {bytes}"),
    };
    if combined {
        // The header `referer` is not recorded.
        line.push_str(" \"-\" \"");
        field(&mut line, record.user_agent(), Place::Quoted);
        line.push('"');
    }
    line
}

/// Writes a field as Apache httpd does: `\"`, `\\` and `\x0a`. A space that would end the field is `\x20`.
fn field(line: &mut String, value: Option<&str>, place: Place) {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return line.push('-') };
    for character in value.chars() {
        let ends = match place {
            // Parsers split at each space that Unicode knows.
            Place::Bare => matches!(character, '[' | ']') || character.is_whitespace(),
            Place::Word => character.is_whitespace(),
            Place::Quoted => false,
        };
        if matches!(character, '"' | '\\') {
            line.extend(['\\', character]);
        } else if ends || is_unprintable(character) {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                let _written = write!(line, "\\x{byte:02x}");
            }
        } else {
            line.push(character);
        }
    }
}

/// `10/Oct/2000:13:55:36 +0000`. A time before 1970 is written as 1970, one after 9999 as its end.
pub(super) struct ClfTime(pub(super) SystemTime);

impl fmt::Display for ClfTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LAST: u64 = 253_402_300_799;

        let seconds = self.0.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().min(LAST);
        let (year, month, day) = calendar::date(seconds / 86_400);
        let month = usize::try_from(month - 1).ok().and_then(|month| MONTHS.get(month));
        write!(
            f,
            "{day:02}/{}/{year}:{:02}:{:02}:{:02} +0000",
            month.copied().unwrap_or_default(),
            seconds / 3_600 % 24,
            seconds / 60 % 60,
            seconds % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_written_as_apache_writes_them() {
        for (seconds, expected) in [
            (971_186_136, "10/Oct/2000:13:55:36 +0000"),
            (0, "01/Jan/1970:00:00:00 +0000"),
            (1_735_689_599, "31/Dec/2024:23:59:59 +0000"),
            (u64::MAX >> 1, "31/Dec/9999:23:59:59 +0000"),
        ] {
            let Some(time) = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)) else { continue };
            assert_eq!(ClfTime(time).to_string(), expected);
        }
        assert_eq!(
            ClfTime(UNIX_EPOCH - Duration::from_secs(1)).to_string(),
            "01/Jan/1970:00:00:00 +0000"
        );
    }
}
