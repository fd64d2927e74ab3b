//! The most tokens that a request can take, before it is forwarded.

mod estimator;
mod external;
mod media;
mod prompt;

pub(super) use self::estimator::{Estimate, Estimator, PreparedRequest};
