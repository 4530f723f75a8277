//! Entities: what is known of those whom policies speak of.

pub mod store;
mod uid;
pub mod writer;

pub use self::store::{Entities, Node};
pub use self::uid::{Uid, UidRef};
pub use self::writer::Writer;
