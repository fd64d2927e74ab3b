//! One record of each request, whatever happens to it, and the decisions of the layers in it.

mod books;
mod client;
mod decisions;
mod gateway;
mod proof;
mod random;
mod upstream;
#[path = "../support/written.rs"]
mod written;
