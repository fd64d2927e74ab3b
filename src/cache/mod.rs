//! Answers that are kept and shared.

mod canonical;
mod flight;
