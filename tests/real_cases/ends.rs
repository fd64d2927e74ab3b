//! How responses end, what failures look like, and what a cache may store.
