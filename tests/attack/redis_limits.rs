//! Redis that is full, evicts or floods.
