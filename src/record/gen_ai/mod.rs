//! The names of OpenTelemetry's semantic conventions for generative AI, for every rendering of a record.

mod conventions;
mod operation;
mod provider;

pub use self::conventions::{GenAiAttribute, GenAiConventions};
pub(crate) use self::{
    operation::operation_of_request,
    provider::{OTHER_PROVIDER, provider_of_origin},
};
