//! How the record of a decision is written. There is one for each request, so this is by hand, while the other kinds are written as
//! `minicbor` derives it, which takes five times as long. The tests hold the one against the other.

use std::convert::Infallible;

use minicbor::encode::{Encode, Encoder, Error};

use super::cbor::Cbor;
use crate::evidence::record::DecisionRecord;
use crate::foundation::digest::Digest;

/// How many fields every decision has.
const ALWAYS: usize = 14;

/// Appends the map of a decision's fields.
pub(super) fn write(buffer: &mut Vec<u8>, record: &DecisionRecord<'_>) -> Result<(), Error<Infallible>> {
    let mut map = Map(Cbor(buffer));
    map.0.map(ALWAYS + optional(record));
    write_answer(&mut map, record);
    write_origin(&mut map, record);
    map.rare(35, record.actors.as_ref())?;
    map.bytes(36, record.trace_id.as_ref().map(|trace| &trace.0));
    map.rare(37, record.fields.as_ref())?;
    map.rare(38, record.token_claims.as_ref())
}

/// How many fields this one has beside those.
fn optional(record: &DecisionRecord<'_>) -> usize {
    let has = [
        record.leaf.is_some(),
        record.context_digest.is_some(),
        record.policy_digest.is_some(),
        record.entity_digest.is_some(),
        record.request_id.is_some(),
        record.peer.is_some(),
        record.token.is_some(),
        record.token_issuer.is_some(),
        record.caller.is_some(),
        record.route.is_some(),
        record.schema_digest.is_some(),
        record.authority.is_some(),
        record.bundle_sequence.is_some(),
        record.actors.is_some(),
        record.trace_id.is_some(),
        record.fields.is_some(),
        record.token_claims.is_some(),
    ];
    has.into_iter().map(usize::from).sum()
}

/// What was asked, and what came of it.
fn write_answer(map: &mut Map<'_>, record: &DecisionRecord<'_>) {
    map.bytes(0, Some(record.decision_id.as_bytes()));
    map.number(1, record.time.unix_nanos());
    map.number(2, record.edge as u64);
    map.text(3, Some(&record.principal));
    map.digest(4, record.leaf.as_ref());
    map.text(5, Some(&record.action));
    map.text(6, Some(&record.resource));
    map.digest(7, record.context_digest.as_ref());
    map.number(8, record.decision as u64);
    map.text(9, Some(&record.reason));
    map.key(10).texts(&record.policies);
    map.key(11).texts(&record.policy_errors);
    map.digest(12, record.policy_digest.as_ref());
    map.digest(13, record.entity_digest.as_ref());
    map.number(14, record.policy_epoch.number());
    map.number(15, record.bundle_epoch.number());
    map.number(16, record.cache as u64);
    map.number(17, record.latency_us);
    map.text(18, record.request_id.as_deref());
}

/// Who asked, by what, and how they came here.
fn write_origin(map: &mut Map<'_>, record: &DecisionRecord<'_>) {
    map.text(19, record.peer.as_deref());
    map.digest(20, record.token.as_ref());
    map.text(21, record.token_issuer.as_deref());
    map.text(22, record.caller.as_deref());
    map.text(23, record.route.as_deref());
    map.digest(32, record.schema_digest.as_ref());
    map.digest(33, record.authority.as_ref());
    if let Some(sequence) = record.bundle_sequence {
        map.number(34, sequence);
    }
}

/// A map whose keys are numbers. They are to be given in ascending order; what is not there has none.
struct Map<'b>(Cbor<'b>);

impl<'b> Map<'b> {
    #[inline]
    fn key(&mut self, key: u8) -> &mut Cbor<'b> {
        self.0.number(key.into());
        &mut self.0
    }

    fn number(&mut self, key: u8, value: u64) {
        self.key(key).number(value);
    }

    fn text(&mut self, key: u8, value: Option<&str>) {
        if let Some(value) = value {
            self.key(key).text(value);
        }
    }

    fn digest(&mut self, key: u8, value: Option<&Digest>) {
        self.bytes(key, value.map(Digest::as_bytes));
    }

    fn bytes<const N: usize>(&mut self, key: u8, value: Option<&[u8; N]>) {
        if let Some(value) = value {
            self.key(key).bytes(value);
        }
    }

    /// What few decisions have is written as it is derived.
    fn rare<T: Encode<()>>(&mut self, key: u8, value: Option<&T>) -> Result<(), Error<Infallible>> {
        value.map_or(Ok(()), |value| Encoder::new(&mut *self.key(key).0).encode(value).map(drop))
    }
}
