use super::{
    common_form::CommonForm,
    field_name::FieldName,
    long_event::LongEvent,
    quick_scan::{QuickScan, ScanPosition},
    stream_state::{EventFields, StreamState},
    tap_update::TapUpdate,
};
#[cfg(feature = "cache")]
use crate::tap::completeness::Completeness;
use crate::{
    body::BodyEnd,
    sse::{Splitter, fields, strip_byte_order_mark},
    tap::document::{DocumentFacts, EventType, JsonScanner},
};

/// Reads a stream of events.
pub(crate) struct EventStream {
    splitter: Splitter,
    // The start of a frame that crosses chunks.
    pending: Vec<u8>,
    // The reader of a frame that is too long for `pending`. Boxed because few streams have one.
    long_event: Option<Box<LongEvent>>,
    started: bool,
    common_form: CommonForm<ScanPosition, QuickScan>,
    state: StreamState,
}

impl EventStream {
    /// The size of a frame beyond which it is read piece by piece. An incomplete frame up to this size
    /// is buffered.
    const MAX_PENDING: usize = 64 * 1024;

    pub(crate) fn new() -> Self {
        Self {
            // The size of a frame does not depend on the cuts.
            splitter: Splitter::new(Self::MAX_PENDING),
            pending: Vec::new(),
            long_event: None,
            started: false,
            common_form: CommonForm::new(),
            state: StreamState::default(),
        }
    }

    pub(crate) fn feed(&mut self, chunk: &[u8]) -> TapUpdate {
        let end_before = self.state.end();
        let mut usage_changed = false;
        let mut rest = chunk;
        while !rest.is_empty() {
            let part = self.splitter.next(rest);
            let (piece, tail) = rest.split_at_checked(part.len).unwrap_or((rest, &[]));
            rest = tail;
            if let Some(event) = &mut self.long_event {
                event.feed(piece);
            } else if part.oversize {
                self.start_long_event(piece);
            } else if part.closes && self.pending.is_empty() {
                usage_changed |= self.read(piece, true, part.one_line);
                continue;
            } else {
                self.pending.extend_from_slice(piece);
            }
            if part.closes {
                usage_changed |= self.end_frame(true);
            }
        }
        self.state.update(usage_changed, end_before)
    }

    /// Ends the stream with its body.
    ///
    /// The last event of llama.cpp can lack its blank line. Its text does not count, because it may be
    /// cut.
    pub(crate) fn finish(&mut self, body: BodyEnd) -> TapUpdate {
        if let Some(event) = &mut self.long_event {
            event.feed(b"\n");
        } else if !self.pending.is_empty() {
            self.pending.push(b'\n');
        }
        let usage_changed = self.end_frame(false);
        self.state.finish(body);
        self.state.update(usage_changed, None)
    }

    /// Returns whether an event of a known form has brought text.
    pub(crate) const fn has_text(&self) -> bool {
        self.state.delivered.is_known()
    }

    #[cfg(feature = "cache")]
    pub(crate) fn completeness(&self, text_in_roots: bool) -> Completeness {
        self.state.completeness(text_in_roots)
    }

    /// Starts to read a frame piece by piece. `piece` follows the buffered start.
    #[cold]
    fn start_long_event(&mut self, piece: &[u8]) {
        let mut event = Box::new(LongEvent::new());
        let start = self.pending.iter().chain(piece.iter().take(3)).copied();
        let has_mark = !self.started && start.take(3).eq("\u{feff}".bytes());
        self.started = true;
        let skipped = if has_mark { 3 } else { 0 };
        let skipped_in_piece = usize::saturating_sub(skipped, self.pending.len());
        event.feed(self.pending.get(skipped..).unwrap_or_default());
        event.feed(piece.get(skipped_in_piece..).unwrap_or_default());
        self.pending = Vec::new();
        self.long_event = Some(event);
    }

    /// Reads a buffered frame or ends a long one. Returns true when it reports usage.
    fn end_frame(&mut self, closed: bool) -> bool {
        if let Some(event) = self.long_event.take() {
            return event.finish(&mut self.state, closed);
        }
        if self.pending.is_empty() {
            return false;
        }
        let mut pending = std::mem::take(&mut self.pending);
        let usage_changed = self.read(&pending, closed, false);
        pending.clear();
        self.pending = pending;
        usage_changed
    }

    /// Reads a frame, which may be known to be one line. Returns true when it reports usage.
    fn read(&mut self, frame: &[u8], closed: bool, one_line: bool) -> bool {
        let first = !std::mem::replace(&mut self.started, true);
        let frame = if first { strip_byte_order_mark(frame) } else { frame };
        let Fields { mut event, data, lines, malformed } =
            Fields::of_one_line(frame, one_line).unwrap_or_else(|| Fields::of(frame));
        event.empty = lines == 0;
        if malformed {
            self.state.set_doubtful();
            // A document without a field name is an error of a proxy before the server.
            event.error |= scan(bare_lines(frame)).is_some_and(|facts| facts.has_failed());
        }
        if event.empty {
            self.state.add_plain_event(event);
            return false;
        }
        let joined = if lines > 1 { joined_data(frame) } else { Vec::new() };
        let document = if lines > 1 { &joined } else { data };
        let trimmed = document.trim_ascii();
        event.done = lines == 1 && trimmed == b"[DONE]";
        let nothing = matches!(trimmed, b"" | b"{}");
        let mut text = self.state.delivered.text();
        let quick = QuickScan::of(trimmed, &mut self.common_form, &mut text);
        let known = quick.known_form || event.done || nothing;
        if !closed {
            // The text may be cut.
        } else if quick.token_event {
            self.state.delivered.add_token_event(&text, quick.special_token);
        } else if known {
            self.state.delivered.set_text(text);
        } else {
            self.state.delivered.add_unknown(document.len() as u64);
        }
        if quick.unfinished {
            self.state.set_unfinished();
        }
        if quick.root_text {
            self.state.set_root_text();
        }
        if lines == 1 && (quick.is_ordinary || nothing || event.done) {
            if quick.open_choice {
                self.state.open_first_choice();
            }
            self.state.add_plain_event(event);
            return false;
        }
        let facts = scan([document]);
        let ping = event.event_type == EventType::Ping;
        if !ping && facts.is_none_or(|facts| !facts.is_recognised()) {
            self.state.set_doubtful();
        }
        self.state.add_event(&facts.unwrap_or_default(), event)
    }
}

/// The fields of a frame.
struct Fields<'a> {
    event: EventFields,
    // The value of the last line of data.
    data: &'a [u8],
    // The lines of data.
    lines: u8,
    // A line is no field.
    malformed: bool,
}

impl<'a> Fields<'a> {
    /// Reads a frame that is one line of data, as most are.
    fn of_one_line(frame: &'a [u8], one_line: bool) -> Option<Self> {
        let line = frame.strip_prefix(b"data:").filter(|_| one_line)?;
        let line = line.strip_suffix(b"\n\n")?;
        let data = line.strip_prefix(b" ").unwrap_or(line);
        Some(Self { event: EventFields::default(), data, lines: 1, malformed: false })
    }

    fn of(frame: &'a [u8]) -> Self {
        let mut event = EventFields::default();
        let (mut data, mut lines, mut malformed) = (&[][..], 0_u8, false);
        for (name, value) in fields(frame) {
            match FieldName::of(name) {
                FieldName::Event => event.event_type = EventType::of(value),
                FieldName::Data => (data, lines) = (value, lines.saturating_add(1)),
                FieldName::Failure => {
                    event.error |= !matches!(value.trim_ascii(), b"" | b"null");
                }
                FieldName::Neutral => {}
                FieldName::Unknown => malformed = true,
            }
        }
        Self { event, data, lines, malformed }
    }
}

/// Returns the lines of data as one document (WHATWG HTML section 9.2.6).
///
/// A frame of several lines is rare and at most as long as the buffer.
fn joined_data(frame: &[u8]) -> Vec<u8> {
    let lines = fields(frame).filter(|(name, _)| *name == b"data").map(|(_, line)| line);
    lines.collect::<Vec<_>>().join(&b'\n')
}

/// Returns the lines of a frame that are no fields.
fn bare_lines(frame: &[u8]) -> impl Iterator<Item = &[u8]> {
    frame.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        !name.is_empty() && FieldName::of(name) == FieldName::Unknown
    })
}

/// Reads a document line by line.
fn scan<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<DocumentFacts> {
    let mut scanner = JsonScanner::new();
    for line in lines {
        scanner.feed(line);
        scanner.feed(b"\n");
    }
    scanner.finish().copied()
}

#[cfg(all(test, feature = "cache"))]
mod tests {
    use super::*;

    const FINISHED: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

    /// Returns the completeness of a chat, which must be the same at every cut.
    #[track_caller]
    fn of_chat(body: &str) -> Completeness {
        let in_pieces = |size: usize| {
            let mut stream = EventStream::new();
            for chunk in body.as_bytes().chunks(size) {
                stream.feed(chunk);
            }
            stream.finish(BodyEnd::Complete);
            stream.completeness(false)
        };
        let whole = in_pieces(body.len());
        let sizes = if body.len() < 1000 { 1..body.len() } else { 8190..8200 };
        for size in sizes {
            assert_eq!(in_pieces(size), whole, "in pieces of {size}");
        }
        whole
    }

    #[test]
    fn long_event_and_event_of_several_lines_prove_as_much_as_a_short_one() {
        for (start, end, expected) in [
            ("data: {\"text\":~\"", "\"}\n\n", Completeness::Unproven),
            ("data: {\"type\":null,~\"text\":\"", "\"}\n\n", Completeness::Unproven),
            ("data: {\"content\":~\"", "\",~\"stop\":false}\n\n", Completeness::Unproven),
            (": it\"s\ndata: {\"content\":\"", "\",~\"stop\":false}\n\n", Completeness::Unproven),
            ("data: {\"type\":\"content\",~\"text\":\"", "\"}\n\n", Completeness::Complete),
            (
                "data: {\"choices\":[{~\"delta\":{\"content\":\"",
                "\"}}]}\n\n",
                Completeness::Complete,
            ),
            ("error: null\ndata: {\"delta\":~\"", "\"}\n\n", Completeness::Complete),
            ("error: x\ndata: {\"delta\":~\"", "\"}\n\n", Completeness::Failed),
            ("event: ping\ndata: {\"time\":~\"", "\"}\n\n", Completeness::Complete),
            ("data: {\"time\":~\"", "\"}\n\n", Completeness::Unproven),
        ] {
            for text in ["hello", &"hello ".repeat(12_000)] {
                for between in ["", "\ndata: "] {
                    let event = format!("{start}{text}{end}").replace('~', between);
                    assert_eq!(
                        of_chat(&format!("{event}{FINISHED}")),
                        expected,
                        "{start}{between}"
                    );
                }
            }
        }
    }

    #[test]
    fn event_without_facts_speaks_neither_for_nor_against_success() {
        for spaces in [1, 70_000] {
            for data in ["", "{}"] {
                let event = format!("data:{}{data}\n\n", " ".repeat(spaces));
                assert_eq!(of_chat(&format!("{event}{FINISHED}")), Completeness::Complete);
                let stopped = format!("event: message_stop\n{event}{FINISHED}");
                assert_eq!(of_chat(&stopped), Completeness::Complete);
            }
        }
    }

    #[test]
    fn repeated_reasoning_counts_once_among_the_least_tokens() {
        let text = "some words, ".repeat(10_000);
        let least_of = |delta: &str| {
            let event = format!("data: {{\"choices\":[{{\"delta\":{{{delta}}}}}]}}\n\n");
            EventStream::new().feed(event.as_bytes()).least_tokens
        };
        let once = least_of(&format!("\"reasoning\":\"{text}\""));
        let older = format!("\"reasoning\":\"{text}\",\"reasoning_content\":\"{text}\"");
        assert!(once > 0);
        assert_eq!(least_of(&older), once);
    }

    #[test]
    fn tokens_of_tgi_need_the_whole_text() {
        for text in ["hello", &"hello ".repeat(12_000)] {
            let token = format!("{{\"token\":{{\"text\":\"{text}\"}}");
            let cut = format!("data: {token},\"generated_text\":null}}\n\ndata: [DONE]\n\n");
            assert_eq!(of_chat(&cut), Completeness::Unproven);
            let whole = format!("data: {token},\"generated_text\":\"{text}\"}}\n\n");
            assert_eq!(of_chat(&whole), Completeness::OpenEnded);
        }
    }

    #[test]
    fn escape_outside_of_strings_hides_no_error() {
        let hidden =
            r#"data: {"choices":[{"delta":{"content":"hi"}},\"],"error":{"message":"x"},"a":["]}"#;
        assert_eq!(of_chat(&format!("{hidden}\n\ndata: [DONE]\n\n")), Completeness::Unproven);
    }

    #[test]
    fn members_beside_a_choice_speak_against_success() {
        use Completeness::{Complete, Failed, Unproven};

        for (member, expected) in [
            ("", Complete),
            (r#","type":"content""#, Complete),
            (r#","type":"server_error""#, Failed),
            (r#","type":"timeout""#, Failed),
            (r#","event_type":"server_error""#, Failed),
            (r#","finish_reason":null"#, Unproven),
            (r#","finishReason":null"#, Unproven),
            (r#","stop_reason":null"#, Unproven),
            (r#","stopReason":null"#, Unproven),
            (r#","done_reason":null"#, Unproven),
        ] {
            let event =
                format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"hi\"}}}}]{member}}}");
            let stream = format!("{event}\n\ndata: [DONE]\n\n");
            assert_eq!(of_chat(&stream), expected, "{member}");
        }
    }
}
