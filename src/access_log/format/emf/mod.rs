//! CloudWatch's Embedded Metric Format.

mod dimension;
mod documents;
mod error;
mod metrics;
mod settings;
mod unit;

pub(super) use self::documents::Documents;
pub use self::{dimension::Dimension, error::EmfError, settings::Emf, unit::Unit};
