//! Shows the validator a payload's document, without a copy.

mod equality;
pub(crate) mod instance;
mod number;
