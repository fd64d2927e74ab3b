//! Hourly tokens for an OpenID Connect token of the workload (RFC 8693).
//!
//! `subject` reads the token of the workload, `message` is the exchange on the wire, `fault` says why it
//! fails and `settings` puts them together.

mod fault;
mod message;
mod settings;
mod subject;

pub use self::{fault::TokenExchangeError, settings::TokenExchange, subject::SubjectToken};
