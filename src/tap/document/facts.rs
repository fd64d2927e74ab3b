use super::{
    container::Container,
    flags::DocumentFlags,
    generated_text::{GeneratedText, TextKind},
    member_role::MemberRole,
    token_counts::{CountKind, CountSource, PartialUsage, TokenCounts},
    words::{EventType, FinishReasons, ResponseStatus, Word, is_error_code},
};

/// The facts that a document states about its response.
#[derive(Clone, Copy, Default)]
pub(crate) struct DocumentFacts {
    counts: TokenCounts,
    finish_reasons: FinishReasons,
    // Why the response is incomplete, if it is.
    incomplete_reason: FinishReasons,
    flags: DocumentFlags,
    pub(crate) event_type: EventType,
    pub(crate) texts: GeneratedText,
    // The choice that is being read, and all that were.
    choice: u64,
    choice_ended: bool,
    pub(crate) choices: Choices,
}

/// The choices of a response by their indexes, one bit each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Choices {
    started: u64,
    ended: u64,
}

impl Choices {
    pub(crate) fn add(&mut self, index: u64, ended: bool) {
        // Indexes beyond the last bit share it, and it never ends.
        let bit = 1_u64 << index.min(63);
        self.started |= bit;
        if ended && index < 63 {
            self.ended |= bit;
        }
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self { started: self.started | other.started, ended: self.ended | other.ended }
    }

    /// Returns whether a choice has not ended.
    pub(crate) const fn is_open(self) -> bool {
        self.started & !self.ended != 0
    }
}

impl DocumentFacts {
    pub(crate) const fn has(&self, flag: DocumentFlags) -> bool {
        self.flags.has(flag)
    }

    /// Returns the token counts of the first object that has any.
    pub(crate) fn usage(&self) -> Option<PartialUsage> {
        // Counts of several responses would be mixed.
        let alone = !self.has(DocumentFlags::SEVERAL_ROOTS);
        if alone { self.counts.usage() } else { None }
    }

    /// Returns the finish reasons.
    pub(crate) const fn finish_reasons(&self) -> FinishReasons {
        let incomplete =
            self.has(DocumentFlags::INCOMPLETE) || matches!(self.event_type, EventType::Incomplete);
        match (incomplete, self.incomplete_reason.is_empty()) {
            (false, _) => self.finish_reasons,
            (true, false) => self.finish_reasons.and(self.incomplete_reason),
            (true, true) => self.finish_reasons.and(FinishReasons::OTHER),
        }
    }

    /// Returns whether the document reports a failure.
    pub(crate) fn has_failed(&self) -> bool {
        self.has(DocumentFlags::ANY_ERROR)
            || self.finish_reasons.has(FinishReasons::FAILED)
            || matches!(self.event_type, EventType::Error | EventType::Failed)
    }

    /// Returns whether a document that is the whole body holds no complete response.
    pub(crate) const fn is_unfinished(&self) -> bool {
        let cut =
            self.has(DocumentFlags::INCOMPLETE) || matches!(self.event_type, EventType::Incomplete);
        self.has(DocumentFlags::NO_RESPONSE) || self.has(DocumentFlags::MESSAGE_CUT) && !cut
    }

    /// Returns whether the document is an event or a line of a known server, or an empty one.
    pub(crate) const fn is_recognised(&self) -> bool {
        self.has(DocumentFlags::STRUCTURE)
            && (self.has(DocumentFlags::RECOGNISED)
                || self.has(DocumentFlags::EMPTY)
                || !matches!(self.event_type, EventType::Other))
    }

    /// Returns whether the root has text of a completion. Events with a `type` may repeat their text.
    pub(crate) const fn has_root_text(&self) -> bool {
        self.has(DocumentFlags::ROOT_TEXT) && !self.has(DocumentFlags::TYPED)
    }

    /// Reads the name of a member of the root, which sets these flags.
    pub(super) const fn read_root_name(&mut self, flags: DocumentFlags) {
        self.flags.add(flags);
    }

    /// Forgets the earlier value of a repeated member.
    #[inline]
    pub(super) fn start_value(&mut self, container: Container, member: MemberRole) {
        let kept = matches!(
            member,
            MemberRole::Error
                | MemberRole::GeneratedText
                | MemberRole::Type
                | MemberRole::Usage
                | MemberRole::Details
                | MemberRole::Response
                | MemberRole::Count(_)
        );
        if kept || container.counts_elements() {
            self.forget(container, member);
        }
    }

    #[inline(never)]
    fn forget(&mut self, container: Container, member: MemberRole) {
        match (container, member) {
            (Container::Errors, _) => self.flags.add(DocumentFlags::FAILED),
            (Container::Prefill, _) => {
                self.counts.increment(CountSource::Details, CountKind::ListedPrompt);
            }
            (Container::Root, MemberRole::Error) => self.flags.remove(DocumentFlags::ROOT_ERROR),
            (Container::Part, MemberRole::Error) => self.flags.remove(DocumentFlags::PART_ERROR),
            (_, MemberRole::GeneratedText) => self.flags.remove(DocumentFlags::GENERATED_TEXT),
            (_, MemberRole::Type) => self.event_type = EventType::Other,
            (Container::Root, MemberRole::Usage) => self.counts.clear(CountSource::Usage),
            (Container::Root, MemberRole::Details) => self.counts.clear(CountSource::Details),
            (Container::Root, MemberRole::Response) | (Container::Part, MemberRole::Usage) => {
                self.counts.clear(CountSource::PartUsage);
            }
            (_, MemberRole::Count(kind)) => self.set(container, kind, None),
            _ => {}
        }
    }

    pub(super) fn start_container(
        &mut self,
        container: Container,
        member: MemberRole,
        inside: Container,
    ) {
        if container == Container::Outside {
            self.flags.add(DocumentFlags::STRUCTURE);
        }
        match (inside, member) {
            (Container::Root, _) => self.flags.remove(DocumentFlags::OF_ROOT),
            (_, MemberRole::Error) => self.fail(container),
            (Container::Other | Container::Part, MemberRole::NamedError) => {
                self.flags.add(DocumentFlags::FAILED);
            }
            (_, MemberRole::Explanation) => self.flags.add(DocumentFlags::EXPLANATION),
            (_, MemberRole::Token) => self.flags.add(DocumentFlags::TOKEN),
            (Container::Choice, _) => (self.choice, self.choice_ended) = (0, false),
            (Container::OutputItem, _) => self.flags.remove(DocumentFlags::OF_ITEM),
            // The message of a chat in a stream of Ollama.
            (Container::Part, MemberRole::Message) => self.flags.add(DocumentFlags::RECOGNISED),
            _ => {}
        }
    }

    pub(super) fn end_container(&mut self, container: Container) {
        match container {
            Container::Root if !self.has(DocumentFlags::MEMBERS) => {
                self.flags.add(DocumentFlags::EMPTY)
            }
            Container::Choice => self.choices.add(self.choice, self.choice_ended),
            Container::OutputItem if self.has(DocumentFlags::ITEM_IS_MESSAGE) => {
                if self.has(DocumentFlags::ITEM_FAILED) {
                    self.flags.add(DocumentFlags::UNFINISHED);
                }
                if self.has(DocumentFlags::ITEM_CUT) {
                    self.flags.add(DocumentFlags::MESSAGE_CUT);
                }
            }
            Container::Root => {
                // A later root does not revoke it.
                if self.has(DocumentFlags::ANY_ERROR) {
                    self.flags.add(DocumentFlags::FAILED);
                }
                let flat = self.has(DocumentFlags::EXPLANATION)
                    && !self.has(DocumentFlags::MORE_THAN_ERROR);
                let coded =
                    self.has(DocumentFlags::EXPLANATION) && self.has(DocumentFlags::ERROR_CODE);
                if coded || flat && !self.has(DocumentFlags::OTHER_TYPE) {
                    self.flags.add(DocumentFlags::FAILED);
                }
            }
            _ => {}
        }
    }

    /// Records that another root follows.
    pub(super) const fn start_next_root(&mut self) {
        self.flags.add(DocumentFlags::SEVERAL_ROOTS);
    }

    pub(super) fn read_string(&mut self, container: Container, member: MemberRole, word: Word<'_>) {
        match member {
            // Some servers send an empty one with every event.
            MemberRole::Error if !word.is_empty() => self.fail(container),
            MemberRole::Message | MemberRole::Explanation
                if container == Container::Root && !word.is_empty() =>
            {
                self.flags.add(DocumentFlags::EXPLANATION);
            }
            MemberRole::FinishReason if word.is_empty() => {
                self.flags.add(DocumentFlags::UNFINISHED)
            }
            MemberRole::NamedError if !word.is_empty() && word.as_bytes() != b"0" => {
                self.flags.add(DocumentFlags::FAILED)
            }
            MemberRole::FinishReason => {
                let reason = FinishReasons::of(word);
                self.choice_ended |= !reason.is_empty();
                if reason.is_empty() {
                    self.flags.add(DocumentFlags::UNFINISHED);
                }
                self.add_finish_reason(reason)
            }
            MemberRole::Text(TextKind::Content | TextKind::Part | TextKind::ReasoningContent)
                if container == Container::Root && !word.is_empty() =>
            {
                self.flags.add(DocumentFlags::ROOT_TEXT);
            }
            MemberRole::IncompleteReason => {
                self.incomplete_reason = self.incomplete_reason.and(FinishReasons::of(word))
            }
            MemberRole::Status => match ResponseStatus::of(word) {
                ResponseStatus::Ended(reason) => {
                    self.finish_reasons = self.finish_reasons.and(reason)
                }
                ResponseStatus::Incomplete => self.flags.add(DocumentFlags::INCOMPLETE),
                ResponseStatus::Running => self.flags.add(DocumentFlags::UNFINISHED),
                ResponseStatus::Success => self.flags.add(DocumentFlags::MORE_THAN_ERROR),
                ResponseStatus::Unknown => self.flags.add(DocumentFlags::UNFINISHED),
            },
            MemberRole::ItemType if word.as_bytes() == b"message" => {
                self.flags.add(DocumentFlags::ITEM_IS_MESSAGE)
            }
            MemberRole::ItemStatus => match ResponseStatus::of(word) {
                ResponseStatus::Ended(FinishReasons::FAILED) | ResponseStatus::Running => {
                    self.flags.add(DocumentFlags::ITEM_FAILED)
                }
                ResponseStatus::Incomplete => self.flags.add(DocumentFlags::ITEM_CUT),
                _ => {}
            },
            MemberRole::GeneratedText => self.flags.add(DocumentFlags::GENERATED_TEXT),
            MemberRole::Object if word.as_bytes() == b"error" => {
                self.flags.add(DocumentFlags::FAILED)
            }
            MemberRole::Type => {
                let name = word.as_bytes();
                self.event_type = EventType::of(name);
                let of_error = name.windows(4).any(|part| part == b"rror");
                if !of_error {
                    self.flags.add(DocumentFlags::OTHER_TYPE);
                }
            }
            _ if container == Container::Outside && word.is_empty() => {
                self.flags.add(DocumentFlags::EMPTY)
            }
            _ => {}
        }
    }

    /// Reads a whole number at once, in place of [`start_value`](Self::start_value) and
    /// [`read_number`](Self::read_number).
    #[inline]
    pub(super) fn read_whole_number(
        &mut self,
        container: Container,
        member: MemberRole,
        number: u64,
    ) {
        if let MemberRole::Count(kind) = member {
            return self.set(container, kind, Some(number));
        }
        self.start_value(container, member);
        self.read_number(container, member, Some(number));
    }

    pub(super) fn read_number(
        &mut self,
        container: Container,
        member: MemberRole,
        number: Option<u64>,
    ) {
        match member {
            MemberRole::Error if number != Some(0) => self.fail(container),
            MemberRole::NamedError if number != Some(0) => self.flags.add(DocumentFlags::FAILED),
            MemberRole::Index => self.choice = number.unwrap_or_default(),
            MemberRole::Count(kind) => self.set(container, kind, number),
            MemberRole::Code | MemberRole::Status if is_error_code(number) => {
                self.flags.add(DocumentFlags::ERROR_CODE);
                if number.is_some_and(|code| code < 600) {
                    self.flags.add(DocumentFlags::FAILED);
                }
            }
            _ => {}
        }
    }

    /// Reads `true`, `false` or `null` by its first letter.
    pub(super) fn read_literal(&mut self, container: Container, member: MemberRole, letter: u8) {
        match (member, letter) {
            (MemberRole::Error, b't') => self.fail(container),
            (MemberRole::NamedError, b't') => self.flags.add(DocumentFlags::FAILED),
            (MemberRole::Done, b't') => self.flags.add(DocumentFlags::DONE),
            (MemberRole::Done, b'f') => self.flags.add(DocumentFlags::UNFINISHED),
            (MemberRole::Success, b't') => {
                self.flags.add(DocumentFlags::MORE_THAN_ERROR);
            }
            (MemberRole::Success, b'f') => self.flags.add(DocumentFlags::FAILED),
            (MemberRole::Truncated, b't') => self.add_finish_reason(FinishReasons::OTHER),
            (MemberRole::StoppedAtLimit, b't') => self.add_finish_reason(FinishReasons::LIMIT),
            (MemberRole::StoppedByItself, b't') => self.add_finish_reason(FinishReasons::FINISHED),
            (MemberRole::Type, b'n') => self.flags.remove(DocumentFlags::TYPED),
            (MemberRole::FinishReason, b'n') => self.flags.add(DocumentFlags::UNFINISHED),
            (_, b'n') if container == Container::Outside => self.flags.add(DocumentFlags::EMPTY),
            _ => {}
        }
    }

    /// Returns the counter for a text that a model may have generated.
    pub(super) fn generated_text(&mut self) -> &mut GeneratedText {
        self.texts.set_in_delta(self.has(DocumentFlags::DELTA));
        &mut self.texts
    }

    fn add_finish_reason(&mut self, reason: FinishReasons) {
        self.finish_reasons = self.finish_reasons.and(reason);
    }

    const fn fail(&mut self, container: Container) {
        self.flags.add(match container {
            Container::Root => DocumentFlags::ROOT_ERROR,
            Container::Part => DocumentFlags::PART_ERROR,
            _ => DocumentFlags::FAILED,
        });
    }

    fn set(&mut self, container: Container, kind: CountKind, number: Option<u64>) {
        let source = match container {
            Container::Usage | Container::UsageDetails => CountSource::Usage,
            Container::PartUsage | Container::PartUsageDetails => CountSource::PartUsage,
            Container::Tokens => CountSource::Tokens,
            Container::BilledUnits => CountSource::BilledUnits,
            Container::Details | Container::MetaInfo | Container::UsageMetadata => {
                CountSource::Details
            }
            Container::Root => CountSource::Root,
            Container::Timings => CountSource::Timings,
            _ => return,
        };
        self.counts.set(source, kind, number);
    }
}
