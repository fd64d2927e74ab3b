//! The subject of a request selects its counter. It is an identity, a tenant, an address or a route.

mod count_by;
mod hash;
mod key;
mod named;

pub use self::named::Subject;
pub(crate) use self::{
    count_by::{CountBy, HashedSubject, KeyFunction},
    key::{CounterHasher, CounterKey},
};
