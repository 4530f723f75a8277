//! Injected randomness, for the same reason as injected time: a test can fix it, and there is one place to audit.

use std::cell::RefCell;
use std::fmt;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};

/// The machine gave no randomness; nothing that needs it may go on.
#[derive(Debug, thiserror::Error)]
#[error("the system's random number generator failed")]
pub struct EntropyError;

/// A cryptographically secure source of random bytes.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// Fills all of `bytes`.
    ///
    /// # Errors
    /// [`EntropyError`], with `bytes` in an unspecified state.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError>;
}

/// A new array of random bytes.
///
/// # Errors
/// [`EntropyError`] if the source failed.
pub fn random<const N: usize>(entropy: &dyn Entropy) -> Result<[u8; N], EntropyError> {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes)?;
    Ok(bytes)
}

/// The cryptography library's generator, seeded by the kernel.
#[derive(Debug)]
pub struct SystemEntropy(SystemRandom);

impl SystemEntropy {
    /// The process's generator.
    #[expect(clippy::disallowed_methods, reason = "this is the one place where the process draws randomness")]
    pub fn new() -> Self {
        Self(SystemRandom::new())
    }
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        self.0.fill(bytes).map_err(|_unspecified| EntropyError)
    }
}

/// The same generator, drawn from many bytes at a time: for names, which must differ and need not be secret. What is drawn
/// and not used yet lies in memory.
#[derive(Debug, Default)]
pub struct PooledEntropy(SystemEntropy);

/// How much a thread draws at a time, in bytes: names for some 64 decisions.
const POOL: usize = 640;

thread_local! {
    /// What this thread has drawn, and how much of it is used.
    static DRAWN: RefCell<([u8; POOL], usize)> = const { RefCell::new(([0; POOL], POOL)) };
}

impl Entropy for PooledEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        DRAWN.with_borrow_mut(|(pool, used)| {
            if bytes.len() > POOL - *used {
                if bytes.len() > POOL {
                    return self.0.fill(bytes);
                }
                *used = POOL;
                self.0.fill(pool)?;
                *used = 0;
            }
            let fresh = pool.get(*used..*used + bytes.len()).ok_or(EntropyError)?;
            bytes.copy_from_slice(fresh);
            *used += bytes.len();
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn nothing_is_given_twice_whatever_the_lengths() {
        let (entropy, mut seen) = (PooledEntropy::default(), HashSet::new());
        for length in (8..700).chain([10; 500]) {
            let mut bytes = vec![0; length];
            entropy.fill(&mut bytes).unwrap();
            for eight in bytes.chunks_exact(8) {
                assert!(seen.insert(eight.to_vec()), "{length}");
            }
        }
    }
}
