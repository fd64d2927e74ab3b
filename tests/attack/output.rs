//! Log output that blocks, fails or fills its disk.
