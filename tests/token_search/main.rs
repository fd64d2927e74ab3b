//! A search for the upstream's token in everything that a gateway puts out: responses, log lines of all
//! crates at every level, access logs and `Debug`. It also finds the token in base64, percent-encoded, in
//! hexadecimal digits and escaped as in JSON.

mod debug;
mod gateway;
#[path = "../support/leak.rs"]
mod leak;
mod log;
mod outputs;
mod refusals;
mod search;
mod stages;
mod types;
mod upstream;

/// Tokens of the tests. The second one looks different in every spelling.
const TOKENS: [&str; 2] =
    ["hf_Ab3xYz09QwErTyUiOpAsDfGhJkLzXcVbNm", "hf_Q\"u/o+t\\e~9%zA=&b?c<d>#e"];
