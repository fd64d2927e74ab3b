//! The words that servers use for finish reasons, statuses and errors.

mod bounded_word;
mod error_members;
mod event_type;
mod finish_reasons;
mod response_status;

pub(crate) use self::error_members::names_error;
pub(crate) use self::{
    bounded_word::BoundedWord, event_type::EventType, finish_reasons::FinishReasons,
};
pub(super) use self::{
    bounded_word::Word,
    error_members::{is_error_code, names_known_error},
    response_status::ResponseStatus,
};
