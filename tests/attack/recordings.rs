//! Streams that are recorded while they are shared.
