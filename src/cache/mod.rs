//! Answers that are kept and shared.

mod canonical;
mod control;
mod convert;
mod deterministic;
mod flight;
mod key;
mod storable;
