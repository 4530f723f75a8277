//! Has witnesses cosign our checkpoints. This goes on beside everything else: no decision, and no checkpoint, waits for a
//! witness, and one that is slow, silent or evil keeps none of the others from being heard.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use portcullis_tlog::checkpoint::SignedCheckpoint;
use portcullis_tlog::note::VerifierKey;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::WitnessMetrics;
use super::alarms::Alarms;
use super::book::digest;
use super::peer::{Peer, Trouble};
use crate::evidence::backlog::Backlog;
use crate::evidence::log::{Checkpoints, LogError};
use crate::evidence::record::WitnessRecord;
use crate::foundation::clock::Clock;
use crate::foundation::entropy::Entropy;
use crate::foundation::readiness::Readiness;
use crate::foundation::shutdown::ShutdownSignal;

/// The name of the notice while witnesses don't cosign.
const NOTICE: &str = "audit_witnesses";

/// That of the notice while a witness says that our log is not the one that it knows.
const DISPUTE: &str = "audit_log_disputed";

/// How the witnesses of our log are asked.
#[derive(Clone, Debug)]
pub struct AskConfig {
    /// The directory of the log.
    pub directory: PathBuf,
    /// How many witnesses must have cosigned a checkpoint for it to be kept as witnessed.
    pub quorum: usize,
    /// The pause between two checkpoints that they are given.
    pub every: Duration,
}

/// The witnesses of our log.
#[derive(Debug)]
pub struct Asked {
    config: AskConfig,
    checkpoints: Checkpoints,
    peers: Vec<Peer>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    readiness: Readiness,
    alarms: Alarms,
    metrics: WitnessMetrics,
}

impl Asked {
    /// Asks these witnesses.
    pub fn new(
        config: AskConfig,
        peers: Vec<Peer>,
        (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>),
        backlog: Backlog,
        (readiness, metrics): (Readiness, WitnessMetrics),
    ) -> Self {
        let checkpoints = Checkpoints::of(&config.directory);
        let alarms = Alarms::new(DISPUTE, backlog, readiness.clone(), metrics.clone());
        Self { config, checkpoints, peers, clock, entropy, readiness, alarms, metrics }
    }

    /// Gives them each checkpoint, as `published` tells that there is one, until the process drains. A checkpoint that was
    /// there before is given first, so that a log which was cut back is found out at once.
    pub async fn run(mut self, mut published: watch::Receiver<u64>, mut shutdown: ShutdownSignal) {
        loop {
            published.borrow_and_update();
            tokio::select! {
                () = self.round() => {}
                () = shutdown.draining() => return,
            }
            let again = self.again();
            tokio::select! {
                () = sleep(self.config.every) => {}
                () = shutdown.draining() => return,
            }
            tokio::select! {
                changed = published.changed() => if changed.is_err() { return },
                () = sleep(again) => {}
                () = shutdown.draining() => return,
            }
        }
    }

    /// In how long there is someone to be asked although nothing is new.
    fn again(&self) -> Duration {
        let now = self.clock.elapsed();
        let waits = self.peers.iter().filter_map(Peer::until).map(|until| until.saturating_sub(now));
        waits.min().unwrap_or(Duration::MAX).min(Duration::from_hours(1))
    }

    /// Gives the latest checkpoint to all that lack it and are not left alone.
    pub(super) async fn round(&mut self) {
        let checkpoints = self.checkpoints.clone();
        let signed = match blocking(move || checkpoints.latest()).await {
            Ok(Some(signed)) => signed,
            Ok(None) => return,
            Err(error) => return self.readiness.notice(NOTICE, error.to_string()),
        };
        let (size, now) = (signed.unverified().head().size, self.clock.elapsed());
        let directory = self.config.directory.clone();
        let (mut answers, mut results) = (FuturesUnordered::new(), Vec::new());
        for (index, peer) in self.peers.iter_mut().enumerate().filter(|(_, peer)| peer.is_due(size, now)) {
            let (directory, signed) = (&directory, signed.clone().of_the_log());
            answers.push(async move { (index, peer.ask(directory, signed).await) });
        }
        let mut gathered = signed;
        while let Some((index, answer)) = answers.next().await {
            let kept = match answer {
                Ok(cosigned) => keep(&self.checkpoints, &mut gathered, &cosigned).await,
                Err(trouble) => Err(trouble),
            };
            results.push((index, kept));
        }
        drop(answers);
        let checkpoints = self.checkpoints.clone();
        let latest = blocking(move || checkpoints.latest()).await.ok().flatten();
        let latest = latest.map_or(0, |latest| latest.unverified().head().size);
        for (index, answer) in results {
            self.settle(index, answer, &gathered, latest);
        }
        self.keep_if_enough(&gathered).await;
        self.show();
    }

    /// Keeps the checkpoint as witnessed, if enough have cosigned it, whenever they did.
    async fn keep_if_enough(&self, signed: &SignedCheckpoint) {
        let keys: Vec<VerifierKey> = self.peers.iter().flat_map(Peer::keys).cloned().collect();
        let cosigned = signed.verify(&keys).unwrap_or_default();
        let names: BTreeSet<_> = cosigned.iter().map(|cosignature| cosignature.key.name()).collect();
        if names.len() < self.config.quorum {
            return;
        }
        let (checkpoints, kept) = (self.checkpoints.clone(), signed.clone());
        match blocking(move || checkpoints.keep_witnessed(&kept)).await {
            Ok(()) => {
                let size = signed.unverified().head().size;
                self.metrics.witnessed.set(i64::try_from(size).unwrap_or(i64::MAX));
            }
            Err(error) => tracing::error!("a checkpoint that was cosigned can't be kept: {error}"),
        }
    }

    /// What follows from an answer about `asked`, when the log has `latest` entries.
    fn settle(&mut self, index: usize, answer: Result<(), Trouble>, asked: &SignedCheckpoint, latest: u64) {
        let (checkpoint, now) = (asked.unverified(), self.clock.elapsed());
        let (log, head) = (checkpoint.origin(), checkpoint.head());
        let Some(peer) = self.peers.get_mut(index) else { return };
        let trouble = match answer {
            Ok(()) => {
                self.metrics.asked(peer.name(), "cosigned");
                self.alarms.clear(log, peer.name());
                return peer.settled();
            }
            // Another process of ours has published, and asked, meanwhile.
            Err(Trouble::Ahead(size)) if latest >= size => return,
            Err(trouble) => trouble,
        };
        let why = trouble.text(head);
        self.metrics.asked(peer.name(), trouble.name());
        peer.leave(now, &*self.entropy);
        if peer.trouble.as_ref() != Some(&why) {
            tracing::warn!(witness = peer.name(), "a checkpoint is not cosigned: {why}");
        }
        peer.trouble = Some(why.clone());
        let Some((finding, cosigned)) = trouble.finding() else { return };
        let record = WitnessRecord {
            time: self.clock.now(),
            log: log.to_owned(),
            witness: peer.name().to_owned(),
            finding,
            size: head.size,
            root: digest(&head.root),
            cosigned_size: Some(cosigned),
            cosigned_root: None,
        };
        let text = format!("the witness `{}`: {why}. The log was cut back or replaced", peer.name());
        self.alarms.raise(record, text);
    }

    fn show(&self) {
        let troubled = self.peers.iter().filter_map(|peer| Some((peer.name(), peer.trouble.as_ref()?)));
        let all: Vec<String> = troubled.map(|(name, why)| format!("`{name}` has not cosigned: {why}")).collect();
        if all.is_empty() {
            return self.readiness.clear_notice(NOTICE);
        }
        self.readiness.notice(NOTICE, all.join("; "));
    }
}

/// Keeps the signatures that came with `cosigned`.
async fn keep(
    checkpoints: &Checkpoints,
    gathered: &mut SignedCheckpoint,
    cosigned: &SignedCheckpoint,
) -> Result<(), Trouble> {
    for signature in cosigned.signatures() {
        gathered.add(signature.clone()).map_err(|error| Trouble::Failed(error.to_string()))?;
    }
    let (checkpoints, signed) = (checkpoints.clone(), gathered.clone());
    let kept = blocking(move || checkpoints.add_signatures(&signed)).await;
    kept.map_err(|error| Trouble::Failed(error.to_string()))
}

/// Does what may wait for the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    spawn_blocking(work).await.unwrap_or_else(|panic| Err(LogError::Thread(std::io::Error::other(panic))))
}
