//! Rotations while the gateway serves.
