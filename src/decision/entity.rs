//! Entities: what is known of those whom policies speak of.

mod uid;

pub use self::uid::{Uid, UidRef};
