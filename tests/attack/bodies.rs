//! Request bodies in flight.
