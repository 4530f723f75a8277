//! The file with all bundles that are believed, which gRPC and Envoy verify peers by.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::AppError;
use super::build::Common;
use crate::foundation::files::write_public;
use crate::foundation::readiness::Readiness;
use crate::foundation::shutdown::ShutdownSignal;
use crate::foundation::watched::Watched;
use crate::identity::bundle::{Bundles, bundle_map};

/// The name of the notice while the file can't be written.
const NOTICE: &str = "bundle_map";

/// How long a file that can't be written is left alone.
const PAUSE: Duration = Duration::from_secs(5);

/// The file, as it was last written.
#[derive(Debug)]
pub(super) struct BundleMapFile {
    path: PathBuf,
    bundles: Arc<Watched<Bundles>>,
    readiness: Readiness,
    written: Mutex<String>,
}

impl BundleMapFile {
    /// Writes the file at `path` for the first time, before anything is served.
    ///
    /// # Errors
    /// [`AppError::Setting`] if it can't be written.
    pub(super) async fn open(path: &Path, common: &Common, bundles: &Arc<Watched<Bundles>>) -> Result<Self, AppError> {
        let (path, bundles) = (path.to_owned(), Arc::clone(bundles));
        let file = Self { path, bundles, readiness: common.readiness.clone(), written: Mutex::default() };
        file.write().await.map_err(|why| AppError::Setting(format!("federation.bundle_map_file: {why}")))?;
        Ok(file)
    }

    /// Writes it anew whenever it would be another, until the drain starts.
    pub(super) async fn keep(self: Arc<Self>, mut signal: ShutdownSignal) {
        tokio::select! {
            () = signal.draining() => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&self) {
        let mut epochs = self.bundles.subscribe();
        loop {
            match self.write().await {
                Ok(()) => {
                    self.readiness.clear_notice(NOTICE);
                    if epochs.changed().await.is_err() {
                        return;
                    }
                }
                Err(why) => {
                    tracing::error!("the bundle map can't be written, so who reads it believes an old one: {why}");
                    self.readiness.notice(NOTICE, format!("the bundle map can't be written: {why}"));
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn write(&self) -> Result<(), String> {
        let mut written = self.written.lock().await;
        let map = bundle_map(&self.bundles.load()).map_err(|error| error.to_string())?;
        if map == *written {
            return Ok(());
        }
        let (path, text) = (self.path.clone(), map.clone());
        // A disk may take its time.
        let done = spawn_blocking(move || write_public(&path, text.as_bytes())).await;
        done.map_err(|_cancelled| "the process is stopping".to_owned())?.map_err(|error| error.to_string())?;
        *written = map;
        Ok(())
    }
}
