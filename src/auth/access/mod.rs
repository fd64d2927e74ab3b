//! Rules that allow callers to use routes.
//!
//! A valid credential says who calls. It does not say that the caller may use each route. Without rules
//! every caller may. With [`AccessRules`] a request passes if one rule allows it, and no other does.
//!
//! ```
//! use http::Method;
//! use tower_inference::{
//!     auth::{AccessRule, AccessRules},
//!     identity::{Callers, Identity, Proof},
//! };
//!
//! let rules = AccessRules::new()
//!     .allow(AccessRule::new("inference", Callers::new().scope("infer")).path("/v1/*"))
//!     .allow(
//!         AccessRule::new("models", Callers::new()).path("/v1/models").methods([Method::GET]),
//!     );
//!
//! let reader = Identity::new(Proof::Jwt, "https://issuer.example", "user-7");
//! let writer = reader.clone().with_scopes(["infer"]);
//! let decision = |caller, method, path| rules.explain(caller, &method, path).to_string();
//! assert_eq!(decision(&reader, Method::GET, "/v1/models"), "allowed by rule `models`");
//! assert_eq!(decision(&writer, Method::POST, "/v1/embeddings"), "allowed by rule `inference`");
//! assert_eq!(
//!     decision(&reader, Method::POST, "/v1/embeddings"),
//!     "denied: rule `inference` needs the scopes `infer`; rule `models` is for other paths",
//! );
//! ```

mod explanation;
mod path_pattern;
mod rule;
mod rules;

pub use self::{explanation::Explanation, rule::AccessRule, rules::AccessRules};
