//! Media types, JSON, numbers, bounds and patience.
