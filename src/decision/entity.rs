//! Entities: what is known of those whom policies speak of.

mod lineage;
pub mod store;
mod uid;
mod view;
pub mod writer;

pub use self::lineage::Lineage;
pub use self::store::{Entities, Node};
pub use self::uid::{Uid, UidRef};
pub use self::view::{Brought, Known, View};
pub use self::writer::Writer;
