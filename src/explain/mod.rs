//! Explains a line of the access log in words: what each layer decided and what can be done.
//!
//! A client reports a failure and quotes the id of its request. The operator has a line of JSON with
//! some thirty members and must know which layer writes which of them. [`explain`] reads the line and
//! says who called, what each layer decided and why, how the request ended and what the operator can
//! do. [`explain_request`] finds the line by the id of the request. `examples/explain.rs` is the same
//! as a command:
//!
//! ```text
//! cargo run --example explain -- 019ad1… access.log
//! ```
//!
//! ```
//! use tower_inference::explain::explain;
//!
//! let line = r#"{"time":"2026-11-23T09:08:07.006Z","request_id":"r-7","method":"POST",
//!     "path":"/v1/chat/completions","status":429,"refusal":"throttled","limit":"per-caller",
//!     "principal":{"proof":"jwt","issuer":"https://issuer.example","subject":"ann"},
//!     "outcome":"rejected","bytes_in":0,"bytes_out":241,"total_us":310,
//!     "decisions":"route=passed auth=passed throttle=rejected"}"#;
//! let explanation = explain(line)?.to_string();
//! assert!(explanation.contains("The caller is ann of https://issuer.example"));
//! assert!(explanation.contains("throttle rejected the request: its limit per-caller is reached."));
//! # Ok::<_, tower_inference::explain::ExplainError>(())
//! ```
//!
//! # Lines
//!
//! - A line is one that [`AccessLogLayer::json`](crate::access_log::AccessLogLayer::json) writes. Its
//!   [members](crate::access_log#members-of-a-record) may be missing. Unknown members are ignored.
//! - A line with the member `decisions` says what each layer decided. Choose it by
//!   [`Format::more_fields`](crate::access_log::Format::more_fields), because a line has it only then. From
//!   other lines the decisions are derived as far as the other members prove them.
//! - A line with the member `attempt_list` says why another attempt followed.
//! - Every value is printed with control characters and characters that reorder or hide text escaped.
//!   A value is cut at 512 bytes. A hostile path or model forges no sentence on a line of its own.
//!
//! # Caveats
//!
//! - The log has no bodies and no details of a rejection. The program's own log has the detail, at the
//!   time of the request.
//! - A client may have chosen its id, if the gateway trusts inbound ids. Several lines can then have
//!   the same id.

mod attempts;
mod error;
mod explanation;
mod layers;
mod line;
mod reasons;
mod search;

pub use self::{
    error::ExplainError,
    explanation::{Explanation, explain},
    search::explain_request,
};
