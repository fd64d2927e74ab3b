use std::io::{BufRead, Read as _};

use super::{error::ExplainError, explanation::Explanation, line::Line};

/// The longest line that is read. The rest of a longer one is skipped.
const MAX_LINE_BYTES: usize = 1 << 20;
/// As many requests of one id as are explained.
const MAX_FOUND: usize = 16;

/// Explains the requests of this id in a log of JSON lines.
///
/// Explains the first 16 requests of this id, in the order of the log, and then reads no further. Lines that
/// are no record and lines beyond 1 MiB are ignored.
///
/// ```
/// use tower_inference::explain::{ExplainError, explain_request};
///
/// let log = concat!(
///     "started\n",
///     r#"{"request_id":"r-1","method":"GET","path":"/v1/models","outcome":"complete"}"#, "\n",
///     r#"{"request_id":"r-2","method":"POST","path":"/v1/embeddings","outcome":"cancelled"}"#, "\n",
/// );
/// let explanations = explain_request(log.as_bytes(), "r-2")?;
/// assert!(explanations[0].to_string().contains("The client left"));
/// assert!(matches!(explain_request(log.as_bytes(), "r-3"), Err(ExplainError::NotFound)));
/// # Ok::<_, ExplainError>(())
/// ```
///
/// # Errors
///
/// Returned when no line has the id and when the log cannot be read.
pub fn explain_request(
    mut log: impl BufRead,
    request_id: &str,
) -> Result<Vec<Explanation>, ExplainError> {
    let (mut found, mut line) = (Vec::new(), Vec::new());
    while found.len() < MAX_FOUND {
        line.clear();
        if log.by_ref().take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if !line.ends_with(b"\n") && line.len() >= MAX_LINE_BYTES {
            skip_line(&mut log)?;
            continue;
        }
        let Ok(text) = str::from_utf8(&line) else { continue };
        // Spares the parse of lines of other logs.
        if !text.contains("request_id") {
            continue;
        }
        if let Ok(line) = Line::parse(text)
            && line.is_of(request_id)
        {
            found.push(Explanation::of(&line));
        }
    }
    if found.is_empty() { Err(ExplainError::NotFound) } else { Ok(found) }
}

/// Reads to the end of the line without keeping it.
fn skip_line(log: &mut impl BufRead) -> Result<(), ExplainError> {
    loop {
        let buffer = log.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let (read, is_end) = match end {
            Some(end) => (end + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        log.consume(read);
        if is_end {
            return Ok(());
        }
    }
}
