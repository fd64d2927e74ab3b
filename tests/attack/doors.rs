//! Routes: what applies to each.
