//! Reads one JSON document piece by piece and collects a few facts from known places.

mod container;
mod facts;
mod flags;
mod generated_text;
mod literals;
mod member_role;
mod number;
mod root_member;
mod scanner;
mod token_counts;
mod unread_value;
mod whole_value;
mod words;

pub(crate) use self::{
    facts::{Choices, DocumentFacts},
    flags::DocumentFlags,
    literals::{append_digit, code_unit, unescaped},
    scanner::{JsonScanner, WantedFacts},
    token_counts::PartialUsage,
    words::{BoundedWord, EventType, FinishReasons, names_error},
};
