//! Callers that prove their AWS identity by a presigned call of STS.
//!
//! `presigned` parses the URL of a token and writes a new request. `host` lists the hosts of STS.
//! `response` and `arn` read the response. `calls` bounds the calls of one address. `method` puts these
//! steps in their order.

mod arn;
mod calls;
mod error;
mod host;
mod method;
mod presigned;
mod response;
mod settings;

pub use self::{error::StsError, settings::StsIdentity};
