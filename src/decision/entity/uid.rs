//! Names of entities, hashed once.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{BuildHasher as _, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use foldhash::fast::RandomState;

/// Seeds the hashes of names: another in each process, lest someone who chooses names chooses collisions.
static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// The name of an entity: its type and an id that is unique within the type. Cheap to clone, hashed once.
#[derive(Clone)]
pub struct Uid(Arc<Inner>);

struct Inner {
    hash: u64,
    kind: Arc<str>,
    id: Box<str>,
}

/// A name that is borrowed.
#[derive(Clone, Copy)]
pub struct UidRef<'a> {
    hash: u64,
    kind: &'a str,
    id: &'a str,
}

impl Uid {
    /// The entity `id` of type `kind`, e.g. `Workload`. Sharing `kind` between names saves memory and comparisons.
    pub fn new(kind: Arc<str>, id: &str) -> Self {
        let hash = UidRef::new(&kind, id).hash;
        Self(Arc::new(Inner { hash, kind, id: id.into() }))
    }

    /// The name, borrowed.
    pub fn as_ref(&self) -> UidRef<'_> {
        UidRef { hash: self.0.hash, kind: &self.0.kind, id: &self.0.id }
    }

    /// The type.
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// The type, to be shared.
    pub(super) fn shared_kind(&self) -> &Arc<str> {
        &self.0.kind
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.0.id
    }
}

impl<'a> UidRef<'a> {
    /// The entity `id` of type `kind`.
    pub fn new(kind: &'a str, id: &'a str) -> Self {
        let mut hasher = SEED.build_hasher();
        kind.hash(&mut hasher);
        id.hash(&mut hasher);
        Self { hash: hasher.finish(), kind, id }
    }

    /// The type.
    pub const fn kind(&self) -> &'a str {
        self.kind
    }

    /// The id.
    pub const fn id(&self) -> &'a str {
        self.id
    }

    /// A hash that names of one process share.
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// The name, kept for itself.
    pub fn to_owned(&self) -> Uid {
        Uid(Arc::new(Inner { hash: self.hash, kind: self.kind.into(), id: self.id.into() }))
    }
}

impl Eq for UidRef<'_> {}

impl PartialEq for UidRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && (std::ptr::eq(self.id, other.id) || self.id == other.id)
            && (std::ptr::eq(self.kind, other.kind) || self.kind == other.kind)
    }
}

/// By type, then id.
impl Ord for UidRef<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.kind.cmp(other.kind).then_with(|| self.id.cmp(other.id))
    }
}

impl PartialOrd for UidRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for UidRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Display for UidRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{:?}", self.kind, self.id)
    }
}

impl fmt::Debug for UidRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Eq for Uid {}

impl PartialEq for Uid {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.as_ref() == other.as_ref()
    }
}

impl Ord for Uid {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_ref().cmp(&other.as_ref())
    }
}

impl PartialOrd for Uid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Uid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
