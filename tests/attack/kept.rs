//! Cache entries: the memory that each takes.
