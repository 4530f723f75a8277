//! The key of a decision: which rules a question may meet, and what these can read of it.

use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use super::evaluate::Asked;
use super::program::{Datum, GaveUp, Op, Scene};
use crate::decision::cache::{CacheKey, Purges};
use crate::decision::entity::{Brought, UidRef};
use crate::decision::value::{Extension, Record, Set};
use crate::foundation::watched::Epoch;

/// What is part of a key beside the question.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Epochs {
    /// Of policies and entities. It enters only the key of a question that a policy can read without limit.
    pub policies: Epoch,
    /// Of the bundle that the subject was verified against.
    pub bundles: Epoch,
}

impl Asked<'_> {
    /// The key under which the answer is kept.
    pub fn key(&self, epochs: Epochs, purges: &Purges) -> CacheKey {
        let question = self.question();
        let [principal, action, resource] = [question.principal, question.action_uid, question.resource];
        let subject = principal.hash() ^ resource.hash().rotate_left(21) ^ action.hash().rotate_left(42);
        let mut key = CacheKey::new(subject);
        key.number(epochs.bundles.number());
        purges.enter(&mut key, (principal.kind(), principal.id()), self.rules().map(|rule| &*rule.id));
        key.begin_rules();
        key.count(self.rules().count());
        self.rules().for_each(|rule| key.number(rule.serial));
        key.begin_reads();
        let scene = self.scene();
        let mut known: SmallVec<[&Arc<Op>; 32]> = SmallVec::new();
        for read in self.rules().flat_map(|rule| &rule.reads.each) {
            if !known.iter().any(|known| Arc::ptr_eq(known, read)) {
                known.push(read);
                key.read(read, &scene);
            }
        }
        if self.rules().any(|rule| rule.reads.anything) {
            key.number(epochs.policies.number());
            for uid in [principal, action, resource] {
                key.uid(uid);
            }
            key.record(&question.context);
            key.count(question.brought.len());
            question.brought.iter().for_each(|entity| key.entity(entity));
        }
        key
    }
}

/// Writes values so that different ones never have the same bytes, whatever comes before and after.
trait Write {
    fn read(&mut self, read: &Op, scene: &Scene<'_>);
    fn datum(&mut self, datum: Datum<'_>);
    fn uid(&mut self, uid: UidRef<'_>);
    fn set(&mut self, set: &Set<'_>);
    fn record(&mut self, record: &Record<'_>);
    fn extension(&mut self, value: Extension);
    fn entity(&mut self, entity: &Brought<'_>);
}

/// What stands before a value.
#[derive(Clone, Copy, Debug)]
enum Tag {
    Nothing,
    False,
    True,
    Long,
    Text,
    Entity,
    Set,
    Record,
    Ip,
    Decimal,
    Datetime,
    Duration,
}

impl Write for CacheKey {
    fn read(&mut self, read: &Op, scene: &Scene<'_>) {
        match scene.run(read) {
            Ok(datum) => self.datum(datum),
            // The policy that needs it fails or does not get there; which of the two it is depends on no more than this.
            Err(GaveUp) => self.bytes(&[Tag::Nothing as u8]),
        }
    }

    fn datum(&mut self, datum: Datum<'_>) {
        match datum {
            Datum::Bool(false) => self.bytes(&[Tag::False as u8]),
            Datum::Bool(true) => self.bytes(&[Tag::True as u8]),
            Datum::Long(number) => tagged(self, Tag::Long, number),
            Datum::Text(text) => {
                self.bytes(&[Tag::Text as u8]);
                self.text(text);
            }
            Datum::Entity(uid) => {
                self.bytes(&[Tag::Entity as u8]);
                self.uid(uid);
            }
            Datum::Set(set) => self.set(set),
            Datum::Record(record) => self.record(record),
            Datum::Extension(value) => self.extension(value),
        }
    }

    fn uid(&mut self, uid: UidRef<'_>) {
        self.text(uid.kind());
        self.text(uid.id());
    }

    fn set(&mut self, set: &Set<'_>) {
        self.bytes(&[Tag::Set as u8]);
        self.count(set.iter().len());
        set.iter().for_each(|value| self.datum(value.into()));
    }

    fn record(&mut self, record: &Record<'_>) {
        self.bytes(&[Tag::Record as u8]);
        self.count(record.len());
        for (name, value) in record.iter() {
            self.text(name.as_str());
            self.datum(value.into());
        }
    }

    fn extension(&mut self, value: Extension) {
        match value {
            Extension::Ip(ip) => {
                self.bytes(&[Tag::Ip as u8, ip.prefix()]);
                match ip.address() {
                    IpAddr::V4(address) => self.bytes(&[&[4], address.octets().as_slice()].concat()),
                    IpAddr::V6(address) => self.bytes(&[&[6], address.octets().as_slice()].concat()),
                }
            }
            Extension::Decimal(number) => tagged(self, Tag::Decimal, number),
            Extension::Datetime(number) => tagged(self, Tag::Datetime, number),
            Extension::Duration(number) => tagged(self, Tag::Duration, number),
        }
    }

    fn entity(&mut self, entity: &Brought<'_>) {
        self.uid(entity.uid);
        self.record(&entity.overlay);
        self.record(&entity.attributes);
        self.count(entity.parents().count());
        entity.parents().for_each(|parent| self.uid(parent));
    }
}

fn tagged(key: &mut CacheKey, tag: Tag, number: i64) {
    key.bytes(&[tag as u8]);
    key.bytes(&number.to_le_bytes());
}
