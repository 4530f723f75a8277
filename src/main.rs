//! The binary: an allocator and a call.

fn main() {}
