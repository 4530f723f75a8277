//! What a decision depends on, as bytes: two questions have the same bytes only if no policy can tell them apart.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::LazyLock;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

/// Seeds the hashes by which the causes of misses are told.
static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// The key of a decision. It is made in three parts, in this order: the epochs, the rules, what the rules read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CacheKey {
    bytes: SmallVec<[u8; 512]>,
    /// Where the rules begin, and where what they read begins.
    rules: usize,
    reads: usize,
    /// Of who asks what of what, whether the policies read that or not: only to tell the causes of misses.
    subject: u64,
}

/// The parts of a key, each as a number.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Parts {
    pub(super) subject: u64,
    pub(super) epochs: u64,
    pub(super) rules: u64,
    pub(super) reads: u64,
}

impl CacheKey {
    /// An empty key for a question that is recognised by `subject`.
    pub fn new(subject: u64) -> Self {
        Self { subject, ..Self::default() }
    }

    /// From here on it is about which rules the question may meet.
    pub fn begin_rules(&mut self) {
        self.rules = self.bytes.len();
    }

    /// From here on it is about what these rules read.
    pub fn begin_reads(&mut self) {
        self.reads = self.bytes.len();
    }

    /// Appends bytes whose number goes without saying.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a number.
    pub fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    /// Appends how many of something follow.
    pub fn count(&mut self, count: usize) {
        self.number(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Appends a text with its length.
    pub fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes(text.as_bytes());
    }

    /// All of it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn parts(&self) -> Parts {
        let hash = |part: Option<&[u8]>| {
            let mut hasher = SEED.build_hasher();
            hasher.write(part.unwrap_or_default());
            hasher.finish()
        };
        Parts {
            subject: self.subject,
            epochs: hash(self.bytes.get(..self.rules)),
            rules: hash(self.bytes.get(self.rules..self.reads)),
            reads: hash(self.bytes.get(self.reads..)),
        }
    }
}
