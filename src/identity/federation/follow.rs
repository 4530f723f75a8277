//! Keeping the federation current with other processes on the same store.

use std::time::Duration;

use tokio::time::sleep;

use super::{Federation, FederationStoreError};
use crate::foundation::shutdown::ShutdownSignal;

/// How long a store that failed is left alone.
const PAUSE: Duration = Duration::from_secs(5);

impl Federation {
    /// Takes over what other processes do as they do it, until the drain starts. What is known stays in force all the
    /// while, whether or not the store can be reached.
    pub async fn follow(&self, mut signal: ShutdownSignal) {
        tokio::select! {
            () = signal.draining() => {}
            () = self.follow_store() => {}
        }
    }

    async fn follow_store(&self) {
        let mut failing = false;
        loop {
            match self.followed().await {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("the federation is followed again");
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "the federation can't be followed; what is known of it stays in force");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn followed(&self) -> Result<(), FederationStoreError> {
        self.store.wait().await?;
        self.refresh().await
    }
}
