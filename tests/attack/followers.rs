//! Followers that stop reading.
