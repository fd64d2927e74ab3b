//! Upstream slots, connections and clients that stall.
