//! Which model of which provider a request will reach.
