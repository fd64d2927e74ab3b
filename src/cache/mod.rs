//! Answers that are kept and shared.

mod canonical;
mod control;
mod convert;
mod deterministic;
mod entry;
mod flight;
mod generation;
mod key;
mod memory;
mod status;
mod storable;
