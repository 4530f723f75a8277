//! Entities: what is known of those whom policies speak of. Sources say it ([`source`]), each record is read as the
//! schema says ([`record`]), a catalog settles who has the say about what, and readers take a snapshot ([`watched`]).
//! A request sees a [`View`]: the snapshot, and what it brings along itself.

mod candidate;
mod catalog;
mod circle;
mod document;
pub mod files;
mod fit;
pub mod follow;
pub mod intake;
mod lineage;
pub mod order;
pub mod progress;
mod reading;
pub mod record;
pub(in crate::decision) mod sharing;
pub mod source;
pub mod stock;
pub mod store;
mod table;
mod uid;
mod view;
pub mod watched;
pub mod writer;

#[cfg(test)]
pub(crate) mod contract;

pub use self::candidate::Awaited;
pub use self::catalog::{Applied, SourceIndex};
pub use self::lineage::Lineage;
pub use self::order::Order;
pub use self::reading::Readers;
pub use self::store::{Entities, Node};
pub use self::uid::{Uid, UidRef};
pub use self::view::{Brought, Known, View};
pub use self::watched::EntityStore;
pub use self::writer::Writer;
