//! Lets the validator read documents without a copy.

mod equality;
pub(crate) mod instance;
mod number;
