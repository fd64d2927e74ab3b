//! Bodies that cost time to read.
