//! What the queue's threads meet at. `interleavings` puts others in their place, which try every order of events.

pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
