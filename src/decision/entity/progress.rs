//! How far a reading has come, for whoever waits for it.

use std::fmt;

/// Is told of it, every thousand records or so.
pub trait Progress: fmt::Debug + Send + Sync {
    /// About how many records there will be.
    fn expect(&self, records: u64);

    /// How many there were.
    fn reached(&self, records: u64);
}

/// Nobody waits.
#[derive(Clone, Copy, Debug)]
pub struct Unseen;

impl Progress for Unseen {
    fn expect(&self, _records: u64) {}

    fn reached(&self, _records: u64) {}
}
