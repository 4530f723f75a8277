//! Time, as it passes.

use std::time::Instant;

/// Now.
#[expect(clippy::disallowed_methods, reason = "measuring is what these programs are for")]
pub fn now() -> Instant {
    Instant::now()
}
