//! Answers that are kept and shared.

mod canonical;
mod convert;
mod flight;
mod key;
