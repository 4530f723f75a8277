//! Keeping the registry current: with other processes, and with the clock.

use std::time::Duration;

use tokio::time::sleep;

use super::{Registry, RegistryError};
use crate::foundation::clock::{Clock, Timestamp};
use crate::foundation::shutdown::ShutdownSignal;

/// How long a store that failed is left alone at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How long to sleep at most before the wall clock is read again: it may have been set.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

impl Registry {
    /// Takes over what other processes do as they do it, ends what expires when it expires, and deletes it, until the drain
    /// starts. What is known is served all the while, whether or not the store can be reached.
    pub async fn follow(&self, clock: &dyn Clock, mut signal: ShutdownSignal) {
        tokio::select! {
            () = signal.draining() => {}
            () = self.follow_store() => {}
            () = self.follow_clock(clock) => {}
        }
    }

    async fn follow_store(&self) {
        let mut pause = None;
        loop {
            match self.followed(pause.is_some()).await {
                Ok(()) => {
                    if pause.take().is_some() {
                        tracing::info!("the entries are followed again");
                    }
                }
                Err(error) => {
                    if pause.is_none() {
                        tracing::warn!(%error, "the entries can't be followed; what is known of them stays in force");
                    }
                    sleep(longer(&mut pause)).await;
                }
            }
        }
    }

    async fn followed(&self, after_outage: bool) -> Result<(), RegistryError> {
        self.store.wait().await?;
        if after_outage { self.reload().await } else { self.refresh().await }
    }

    async fn follow_clock(&self, clock: &dyn Clock) {
        let mut changes = self.subscribe();
        let (mut told, mut pause) = (Timestamp::default(), None);
        loop {
            changes.mark_unchanged();
            let now = clock.now();
            let next = self.load().next_expiry();
            let wait = match next {
                Some(expiry) if expiry <= now => {
                    // Before the deletion, which may have to wait for the store.
                    if self.load().expired(now).any(|entry| entry.terms.expires_at > Some(told)) {
                        self.entries.update(|entries| Some(entries.clone()));
                    }
                    told = now;
                    match self.delete_expired(now).await {
                        Ok(()) => pause = None,
                        Err(error) => {
                            if pause.is_none() {
                                tracing::warn!(%error, "expired entries can't be deleted; they grant nothing all the same");
                            }
                            longer(&mut pause);
                        }
                    }
                    pause.unwrap_or_default()
                }
                Some(expiry) => expiry.since(now).min(LONGEST_SLEEP),
                None => LONGEST_SLEEP,
            };
            tokio::select! {
                () = sleep(wait) => {}
                _moved = changes.changed(), if pause.is_none() => {}
            }
        }
    }
}

/// Doubles `pause`, within bounds.
fn longer(pause: &mut Option<Duration>) -> Duration {
    *pause.insert(pause.map_or(PAUSES.0, |pause| (pause * 2).min(PAUSES.1)))
}
