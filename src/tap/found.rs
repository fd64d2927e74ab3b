use crate::context::Usage;

/// What a document said.
#[derive(Clone, Copy, Default)]
pub(super) struct Found {
    usage: Counts,
    response: Counts,
    details: Counts,
    /// An `error` that says something.
    pub(super) error: bool,
    /// A `finish_reason` that says something, of any choice.
    pub(super) finished: bool,
    /// A `generated_text`.
    pub(super) generated: bool,
    /// The `type`.
    pub(super) event_type: Type,
    /// Bytes of texts, in UTF-8.
    pub(super) text: u64,
}

/// The types of events that end a stream.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub(super) enum Type {
    #[default]
    Other,
    Error,
    Failed,
    Completed,
}

/// What an object or array is.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Place {
    /// None: around the document.
    Outside,
    /// An array around the root.
    Batch,
    Root,
    Usage,
    Details,
    Response,
    ResponseUsage,
    Choices,
    Choice,
    Other,
}

/// What a value is, by its name and the place of that.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Member {
    Usage,
    Details,
    Response,
    Choices,
    Error,
    GeneratedText,
    Type,
    FinishReason,
    /// What a model may have written.
    Text,
    /// One of the counts below.
    Count(u8),
    Other,
}

/// Counts of tokens, by the numbers below.
#[derive(Clone, Copy, Default)]
struct Counts {
    values: [u64; 5],
    // A bit for each.
    known: u8,
}

/// A name, or a word: as much of it as the longest that is looked for. A longer one is none.
#[derive(Default)]
pub(super) struct Text {
    bytes: [u8; 20],
    len: u8,
}

const PROMPT: u8 = 0;
const COMPLETION: u8 = 1;
const TOTAL: u8 = 2;
const INPUT: u8 = 3;
const OUTPUT: u8 = 4;

// === impl Found, Counts ===

impl Found {
    /// The usage, if the document says anything of it.
    pub(super) fn usage(&self) -> Option<Usage> {
        [&self.usage, &self.response, &self.details]
            .into_iter()
            .find(|counts| counts.known != 0)
            .map(|counts| Usage {
                prompt_tokens: counts.get(PROMPT).or_else(|| counts.get(INPUT)),
                completion_tokens: counts.get(COMPLETION).or_else(|| counts.get(OUTPUT)),
                total_tokens: counts.get(TOTAL),
            })
    }

    /// A value of `member` begins: what one before it said no longer stands.
    pub(super) fn forget(&mut self, place: Place, member: Member) {
        match (place, member) {
            (_, Member::Error) => self.error = false,
            (_, Member::GeneratedText) => self.generated = false,
            (_, Member::Type) => self.event_type = Type::Other,
            (Place::Root, Member::Usage) => self.usage = Counts::default(),
            (Place::Root, Member::Details) => self.details = Counts::default(),
            (_, Member::Response | Member::Usage) => self.response = Counts::default(),
            (_, Member::Count(count)) => self.set(place, count, None),
            _ => {}
        }
    }

    pub(super) fn text(&mut self, member: Member, text: &Text) {
        match member {
            // Some servers send empty ones with every event.
            Member::Error => self.error = !text.is_empty(),
            Member::FinishReason => self.finished |= !text.is_empty(),
            Member::GeneratedText => self.generated = true,
            Member::Type => self.event_type = Type::of(text.as_bytes()),
            _ => {}
        }
    }

    pub(super) fn number(&mut self, place: Place, member: Member, number: Option<u64>) {
        match member {
            Member::Error => self.error = true,
            Member::Count(count) => self.set(place, count, number),
            _ => {}
        }
    }

    fn set(&mut self, place: Place, count: u8, number: Option<u64>) {
        let counts = match place {
            Place::Usage => &mut self.usage,
            Place::ResponseUsage => &mut self.response,
            _ => &mut self.details,
        };
        let bit = 1 << count;
        match (number, counts.values.get_mut(usize::from(count))) {
            (Some(number), Some(value)) => {
                *value = number;
                counts.known |= bit;
            }
            _ => counts.known &= !bit,
        }
    }
}

impl Counts {
    fn get(&self, count: u8) -> Option<u64> {
        let known = self.known & (1 << count) != 0;
        self.values.get(usize::from(count)).copied().filter(|_| known)
    }
}

// === impl Place, Member, Type ===

impl Place {
    /// What an object or array is that stands here.
    pub(super) const fn inside(self, member: Member, object: bool) -> Self {
        match (self, member, object) {
            (Self::Outside, _, false) => Self::Batch,
            (Self::Outside | Self::Batch, _, true) => Self::Root,
            (Self::Root, Member::Usage, true) => Self::Usage,
            (Self::Root, Member::Details, true) => Self::Details,
            (Self::Root, Member::Response, true) => Self::Response,
            (Self::Root, Member::Choices, false) => Self::Choices,
            (Self::Response, Member::Usage, true) => Self::ResponseUsage,
            (Self::Choices, _, true) => Self::Choice,
            _ => Self::Other,
        }
    }
}

impl Member {
    pub(super) fn of(place: Place, name: &[u8]) -> Self {
        match (place, name) {
            (Place::Root | Place::Response, b"usage") => Self::Usage,
            (Place::Root, b"details") => Self::Details,
            (Place::Root, b"response") => Self::Response,
            (Place::Root, b"choices") => Self::Choices,
            (Place::Root, b"error") => Self::Error,
            (Place::Root, b"generated_text") => Self::GeneratedText,
            (Place::Root, b"type") => Self::Type,
            (Place::Choice, b"finish_reason") => Self::FinishReason,
            (Place::Usage | Place::ResponseUsage, b"prompt_tokens") => Self::Count(PROMPT),
            (Place::Usage | Place::ResponseUsage, b"completion_tokens") => Self::Count(COMPLETION),
            (Place::Usage | Place::ResponseUsage, b"total_tokens") => Self::Count(TOTAL),
            (Place::Usage | Place::ResponseUsage, b"input_tokens") => Self::Count(INPUT),
            (Place::Usage | Place::ResponseUsage, b"output_tokens") => Self::Count(OUTPUT),
            (Place::Details, b"input_length") => Self::Count(PROMPT),
            (Place::Details, b"generated_tokens") => Self::Count(COMPLETION),
            (
                Place::Choice | Place::Root | Place::Other,
                b"content" | b"text" | b"generated_text" | b"reasoning_content" | b"reasoning"
                | b"thinking" | b"refusal" | b"arguments",
            ) => Self::Text,
            _ => Self::Other,
        }
    }
}

impl Type {
    pub(super) fn of(name: &[u8]) -> Self {
        match name {
            b"error" => Self::Error,
            b"response.failed" => Self::Failed,
            // An incomplete one met its bound of tokens; its stream is whole.
            b"response.completed" | b"response.incomplete" => Self::Completed,
            _ => Self::Other,
        }
    }
}

// === impl Text ===

impl Text {
    const TOO_LONG: u8 = u8::MAX;

    /// An empty one, that stays of no use unless it is `wanted`.
    pub(super) const fn wanted_if(wanted: bool) -> Self {
        Self { bytes: [0; 20], len: if wanted { 0 } else { Self::TOO_LONG } }
    }

    pub(super) fn push(&mut self, more: &[u8]) {
        let end = usize::from(self.len).saturating_add(more.len());
        match self.bytes.get_mut(usize::from(self.len)..end) {
            Some(room) => {
                room.copy_from_slice(more);
                self.len = u8::try_from(end).unwrap_or(Self::TOO_LONG);
            }
            None => self.len = Self::TOO_LONG,
        }
    }

    const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Empty when it is none that is looked for.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}
