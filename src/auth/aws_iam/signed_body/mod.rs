//! Request bodies whose hash is signed.
//!
//! `layer` and `service` put a `SharedBody` beside each request with a signature. `AuthLayer` reads it
//! or promises a digest for it. `body` is what inner services read.

mod body;
mod layer;
mod service;
mod shared;

pub(super) use self::shared::{BodyFault, SharedBody};
pub use self::{body::SignedBody, layer::SignedBodyLayer, service::HoldSignedBody};
