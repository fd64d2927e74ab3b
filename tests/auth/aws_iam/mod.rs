//! AWS IAM: Signature Version 4 and presigned calls of STS.

mod bodies;
mod captures;
mod generated;
mod sign;
mod sigv4;
mod stores;
mod sts;
mod wire;
