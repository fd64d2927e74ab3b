use super::{
    place::{Member, Place},
    texts::Texts,
    usage::{Counts, LISTED, Told},
    words::{Endings, Status, Text, Type, belongs_to_errors},
};

/// What a document said.
#[derive(Clone, Copy, Default)]
pub(super) struct Found {
    counts: [Counts; SOURCES],
    endings: Endings,
    // Why it is incomplete, if it is.
    reason: Endings,
    marks: Marks,
    /// The `type`.
    pub(super) event_type: Type,
    pub(super) texts: Texts,
}

/// Objects that hold counts. Of several, the first that is there stands.
const SOURCES: usize = 7;

/// What is true of a document.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub(super) struct Marks(u32);

impl Marks {
    /// An `error` in the root that says something.
    const ERROR: Self = Self(1);
    /// One in a part of the response.
    const PART_ERROR: Self = Self(1 << 1);
    /// Any other sign of a failure. Nothing takes it back.
    const FAILED: Self = Self(1 << 2);
    /// A `generated_text`.
    pub(super) const GENERATED: Self = Self(1 << 3);
    /// The document's own end mark: `done` of Ollama, `stop` of llama.cpp.
    pub(super) const DONE: Self = Self(1 << 4);
    /// It says of itself that it has not ended.
    const OPEN: Self = Self(1 << 5);
    /// The root has no members, or is no object and empty.
    const EMPTY: Self = Self(1 << 6);
    const INCOMPLETE: Self = Self(1 << 7);
    /// Of the root: it has a member that no error has.
    const ANSWERS: Self = Self(1 << 8);
    /// Of the root: it says in words what went wrong.
    const EXPLAINS: Self = Self(1 << 9);
    /// Of the root: its type is not that of an error.
    const TYPED: Self = Self(1 << 10);
    /// Of the root: its code is that of an error.
    const CODED: Self = Self(1 << 11);
    /// Of the root: it has members.
    const MEMBERS: Self = Self(1 << 12);
    /// There are several roots.
    const MANY: Self = Self(1 << 13);
    /// An event of a form that is known.
    pub(super) const KNOWN: Self = Self(1 << 14);
    /// Inside of what an event adds.
    const WITHIN: Self = Self(1 << 15);

    const OF_ROOT: Self =
        Self(Self::ANSWERS.0 | Self::EXPLAINS.0 | Self::TYPED.0 | Self::CODED.0 | Self::MEMBERS.0);

    const fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    const fn remove(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

// === impl Found ===

impl Found {
    pub(super) const fn has(&self, mark: Marks) -> bool {
        self.marks.has(mark)
    }

    /// What the document tells of usage, if anything.
    pub(super) fn told(&self) -> Option<Told> {
        // Whose would it be?
        let alone = !self.has(Marks::MANY);
        self.counts.iter().find_map(Counts::told).filter(|_| alone)
    }

    /// The words by which generations ended.
    pub(super) const fn endings(&self) -> Endings {
        let incomplete = self.has(Marks::INCOMPLETE) || matches!(self.event_type, Type::Incomplete);
        match (incomplete, self.reason.is_empty()) {
            (false, _) => self.endings,
            (true, false) => self.endings.and(self.reason),
            (true, true) => self.endings.and(Endings::OTHER),
        }
    }

    /// Whether it says that it failed.
    pub(super) fn failed(&self) -> bool {
        let failed = Marks(Marks::ERROR.0 | Marks::PART_ERROR.0 | Marks::FAILED.0);
        self.has(failed)
            || self.endings.has(Endings::FAILED)
            || matches!(self.event_type, Type::Error | Type::Failed)
    }

    /// Whether a document that stands by itself holds no whole response.
    pub(super) const fn is_open(&self) -> bool {
        self.marks.has(Marks(Marks::OPEN.0 | Marks::EMPTY.0))
    }

    /// A member of the root is named.
    pub(super) fn name(&mut self, name: &[u8]) {
        self.marks.add(Marks::MEMBERS);
        if !belongs_to_errors(name) {
            self.marks.add(Marks::ANSWERS);
        }
        if matches!(
            name,
            b"usage"
                | b"type"
                | b"event_type"
                | b"error"
                | b"token"
                | b"choices"
                | b"candidates"
                | b"delta"
        ) {
            self.marks.add(Marks::KNOWN);
        }
        if matches!(name, b"token" | b"choices" | b"candidates" | b"delta") {
            self.marks.add(Marks::WITHIN);
        }
    }

    /// A value of `member` begins: what one before it said no longer stands.
    pub(super) fn begin(&mut self, place: Place, member: Member) {
        match (place, member) {
            (Place::Errors, _) => self.marks.add(Marks::FAILED),
            (Place::Prefill, _) => {
                if let Some(counts) = self.counts(Place::Details) {
                    counts.count(LISTED);
                }
            }
            (Place::Root, Member::Error) => self.marks.remove(Marks::ERROR),
            (Place::Part, Member::Error) => self.marks.remove(Marks::PART_ERROR),
            (_, Member::GeneratedText) => self.marks.remove(Marks::GENERATED),
            (_, Member::Type) => self.event_type = Type::Other,
            (Place::Root, Member::Usage) => self.clear(Place::Usage),
            (Place::Root, Member::Details) => self.clear(Place::Details),
            (Place::Root, Member::Response) | (Place::Part, Member::Usage) => {
                self.clear(Place::PartUsage);
            }
            (_, Member::Count(slot)) => self.set(place, slot, None),
            _ => {}
        }
    }

    pub(super) fn open(&mut self, place: Place, member: Member, inside: Place) {
        match (inside, member) {
            (Place::Root, _) => self.marks.remove(Marks::OF_ROOT),
            (_, Member::Error) => self.fail(place),
            (_, Member::Explanation) => self.marks.add(Marks::EXPLAINS),
            _ => {}
        }
    }

    pub(super) fn close(&mut self, place: Place) {
        match place {
            Place::Root if !self.has(Marks::MEMBERS) => self.marks.add(Marks::EMPTY),
            Place::Root => {
                let flat = self.has(Marks::EXPLAINS) && !self.has(Marks::ANSWERS);
                if flat && (!self.has(Marks::TYPED) || self.has(Marks::CODED)) {
                    self.marks.add(Marks::FAILED);
                }
            }
            _ => {}
        }
    }

    /// Another root follows.
    pub(super) const fn again(&mut self) {
        self.marks.add(Marks::MANY);
    }

    pub(super) fn text(&mut self, place: Place, member: Member, text: &Text) {
        match member {
            // Some servers send empty ones with every event.
            Member::Error if !text.is_empty() => self.fail(place),
            Member::Message | Member::Explanation if place == Place::Root && !text.is_empty() => {
                self.marks.add(Marks::EXPLAINS);
            }
            Member::Finish if text.is_empty() => self.marks.add(Marks::OPEN),
            Member::Finish => self.end(Endings::of(text)),
            Member::Reason => self.reason = self.reason.and(Endings::of(text)),
            Member::Status => match Status::of(text) {
                Status::Ended(ending) => self.endings = self.endings.and(ending),
                Status::Incomplete => self.marks.add(Marks::INCOMPLETE),
                Status::Open => self.marks.add(Marks::OPEN),
                Status::Fine => self.marks.add(Marks::ANSWERS),
                Status::Unknown => {}
            },
            Member::GeneratedText => self.marks.add(Marks::GENERATED),
            Member::Object if text.as_bytes() == b"error" => self.marks.add(Marks::FAILED),
            Member::Type => {
                let name = text.as_bytes();
                self.event_type = Type::of(name);
                let of_error = name.windows(4).any(|part| part == b"rror");
                if !of_error {
                    self.marks.add(Marks::TYPED);
                }
            }
            _ if place == Place::Outside && text.is_empty() => self.marks.add(Marks::EMPTY),
            _ => {}
        }
    }

    pub(super) fn number(&mut self, place: Place, member: Member, number: Option<u64>) {
        match member {
            Member::Error => self.fail(place),
            Member::Count(slot) => self.set(place, slot, number),
            Member::Code | Member::Status if number.is_none_or(|code| code >= 400) => {
                self.marks.add(Marks::CODED);
            }
            _ => {}
        }
    }

    /// `true`, `false` or `null`, of which this is the first letter.
    pub(super) fn literal(&mut self, place: Place, member: Member, letter: u8) {
        match (member, letter) {
            (Member::Error, b't') => self.fail(place),
            (Member::Done, b't') => self.marks.add(Marks::DONE),
            (Member::Done, b'f') => self.marks.add(Marks::OPEN),
            (Member::Success, b't') => self.marks.add(Marks::ANSWERS),
            (Member::Success, b'f') => self.marks.add(Marks::FAILED),
            (Member::Truncated, b't') => self.end(Endings::OTHER),
            (Member::StoppedAtLimit, b't') => self.end(Endings::LIMIT),
            (Member::StoppedOfItself, b't') => self.end(Endings::WHOLE),
            (Member::Finish, b'n') => self.marks.add(Marks::OPEN),
            (_, b'n') if place == Place::Outside => self.marks.add(Marks::EMPTY),
            _ => {}
        }
    }

    /// What a model may have written.
    pub(super) fn written(&mut self) -> &mut Texts {
        self.texts.set_within(self.has(Marks::WITHIN));
        &mut self.texts
    }

    fn end(&mut self, ending: Endings) {
        self.endings = self.endings.and(ending);
    }

    const fn fail(&mut self, place: Place) {
        self.marks.add(match place {
            Place::Root => Marks::ERROR,
            Place::Part => Marks::PART_ERROR,
            _ => Marks::FAILED,
        });
    }

    fn set(&mut self, place: Place, slot: u8, number: Option<u64>) {
        if let Some(counts) = self.counts(place) {
            counts.set(slot, number);
        }
    }

    fn clear(&mut self, place: Place) {
        if let Some(counts) = self.counts(place) {
            *counts = Counts::default();
        }
    }

    fn counts(&mut self, place: Place) -> Option<&mut Counts> {
        let source = match place {
            Place::Usage => 0,
            Place::PartUsage => 1,
            // What was taken, before what is billed of it.
            Place::Tokens => 2,
            Place::Billed => 3,
            Place::Details | Place::Info | Place::Metadata => 4,
            Place::Root => 5,
            Place::Timings => 6,
            _ => return None,
        };
        self.counts.get_mut(source)
    }
}
