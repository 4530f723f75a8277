//! One open stream: waits for changes, renewals and the drain, and tells the caller what is new. It is pulled by the
//! connection, so a client that does not read gets no more work done for it.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use tonic::Status;

use super::identify::Change;
use super::refusal;
use super::service::{OpenStream, Shared};
use super::view::View;
use crate::foundation::shutdown::{Phase, ShutdownSignal};
use crate::identity::issue::Identities;
use crate::identity::selector::Selector;
use crate::identity::workload::IdentifyError;
use crate::server::UnixPeer;

/// How long to wait before trying again what failed.
const RETRY: Duration = Duration::from_secs(1);

/// How often at least to look at the clock while a renewal is ahead: timers stand still while the machine sleeps, and
/// clocks get corrected.
const LOOK: Duration = Duration::from_secs(30);

/// The state of one open stream.
pub(super) struct Session<V> {
    shared: Arc<Shared>,
    peer: UnixPeer,
    changes: Box<dyn Change>,
    signal: ShutdownSignal,
    /// What was true of the caller when it was looked at last.
    selectors: BTreeSet<Selector>,
    /// What was told last.
    told: Option<Identities>,
    /// Whether what was told may not be right any more.
    stale: bool,
    /// Whether it could not be found out the last time, so that a lasting failure is logged once.
    failing: bool,
    ended: bool,
    _open: OpenStream,
    view: PhantomData<V>,
}

impl<V: View> Session<V> {
    /// A session with `peer`, which knows nothing yet.
    pub(super) fn new(shared: Arc<Shared>, peer: UnixPeer, open: OpenStream) -> Self {
        Self {
            changes: shared.plane.changes(),
            signal: shared.signal.clone(),
            selectors: BTreeSet::new(),
            told: None,
            stale: true,
            failing: false,
            ended: false,
            _open: open,
            view: PhantomData,
            shared,
            peer,
        }
    }

    /// The messages, until the client ends the stream or an error does.
    pub(super) fn messages(self) -> impl Stream<Item = Result<V::Message, Status>> + Send {
        stream::unfold(self, |mut session| async move {
            if session.ended {
                return None;
            }
            let next = session.next().await;
            session.ended = next.is_err();
            Some((next, session))
        })
    }

    async fn next(&mut self) -> Result<V::Message, Status> {
        if self.signal.phase() != Phase::Running {
            return Err(refusal::draining());
        }
        if self.told.is_none()
            && let Some(message) = self.look().await?
        {
            return Ok(message);
        }
        loop {
            let pause = self.pause();
            tokio::select! {
                biased;
                () = self.signal.draining() => return Err(refusal::draining()),
                () = self.changes.next(&self.selectors) => self.stale = true,
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => self.stale |= self.is_due(),
            }
            if self.stale
                && let Some(message) = self.look().await?
            {
                return Ok(message);
            }
        }
    }

    /// Finds out what the caller is entitled to, and words it if that is news. That nothing could be issued is no reason
    /// to hang up on someone who has something: the client keeps it, and this is tried again.
    async fn look(&mut self) -> Result<Option<V::Message>, Status> {
        match V::look(&self.shared, &self.peer).await {
            Ok((attested, Some(standing))) => {
                self.selectors = attested.selectors;
                (self.stale, self.failing) = (false, false);
                let is_news = self.told.as_ref().is_none_or(|told| !V::is_same(told, &standing));
                let message = if is_news { Some(V::message(&standing)?) } else { None };
                self.told = Some(standing);
                self.shared.metrics.messages.inc_by(u64::from(is_news));
                Ok(message)
            }
            Ok((_attested, None)) => Err(self.shared.refuse(&self.peer)),
            Err(error @ IdentifyError::NotIssued(_)) if self.told.is_some() => {
                self.shared.metrics.failures.inc();
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(pid = self.peer.pid, %error, "a caller gets nothing new for now");
                }
                Ok(None)
            }
            Err(error) => Err(self.shared.fail(&self.peer, &error)),
        }
    }

    /// How long to wait for anything else before looking at the clock; `None` if there is nothing to look for.
    fn pause(&self) -> Option<Duration> {
        if self.stale {
            return Some(RETRY);
        }
        let renewals = self.told.iter().flat_map(|told| &told.svids).map(|svid| svid.renew_at);
        let left = renewals.min()?.since(self.shared.clock.now());
        Some(if left.is_zero() { RETRY } else { left.min(LOOK) })
    }

    /// Whether an SVID is to be renewed.
    fn is_due(&self) -> bool {
        let now = self.shared.clock.now();
        self.told.iter().flat_map(|told| &told.svids).any(|svid| svid.renew_at <= now)
    }
}
