mod file;
mod source;
mod value;

pub use self::{
    source::TokenSource,
    value::{TokenError, TokenFault},
};
