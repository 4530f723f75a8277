//! Injected randomness, for the same reason as injected time: a test can fix it, and there is one place to audit.

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
