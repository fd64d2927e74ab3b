//! The upstream token in responses, logs and terminals.
