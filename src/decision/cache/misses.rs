//! Why a decision was not in the cache, as far as that can be told from a small memory of the questions before.

use std::sync::{Mutex, PoisonError};

use super::key::{CacheKey, Parts};

/// How many questions are remembered.
const REMEMBERED: usize = 8192;

/// Why a decision was not there.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum MissCause {
    /// Nobody asked this lately.
    New,
    /// It was there and had ended.
    Expired,
    /// The policies that it may meet are others now.
    Policies,
    /// The bundle has changed, or somebody purged the cache.
    Epoch,
    /// Something that a policy can read of the request or the entities is different.
    Input,
    /// It was there and had to make room.
    Evicted,
    /// A policy failed, and that is not kept.
    Error,
    /// What the policies read of it is too long to be kept.
    Long,
    /// The cache is off, or a policy says `@cache("never")`.
    Never,
}

impl MissCause {
    /// The name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Expired => "expired",
            Self::Policies => "policies",
            Self::Epoch => "epoch",
            Self::Input => "input",
            Self::Evicted => "evicted",
            Self::Error => "error",
            Self::Long => "long",
            Self::Never => "never",
        }
    }
}

/// The questions of late: who asked what of what, each with the key it last had. A newer one takes the place of an
/// older one of the same slot.
#[derive(Debug)]
pub(super) struct Recent(Box<[Mutex<Parts>]>);

impl Default for Recent {
    fn default() -> Self {
        Self(std::iter::repeat_with(Mutex::default).take(REMEMBERED).collect())
    }
}

impl Recent {
    /// Why there was nothing under `key`, or nothing good any more.
    pub(super) fn cause(&self, key: &CacheKey, expired: bool) -> MissCause {
        let now = key.parts();
        let slot = usize::try_from(now.subject % REMEMBERED as u64).unwrap_or(0);
        let Some(slot) = self.0.get(slot) else { return MissCause::New };
        let before = std::mem::replace(&mut *slot.lock().unwrap_or_else(PoisonError::into_inner), now);
        if expired {
            MissCause::Expired
        } else if before.subject != now.subject {
            MissCause::New
        } else if before.epochs != now.epochs {
            MissCause::Epoch
        } else if before.rules != now.rules {
            MissCause::Policies
        } else if before.reads != now.reads {
            MissCause::Input
        } else {
            MissCause::Evicted
        }
    }
}
