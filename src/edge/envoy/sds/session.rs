//! One open stream: waits for requests, changes, renewals and the drain, and lets the state machine say what to send.
//! It is pulled by the connection, so a client that does not read gets no more work done for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt as _};
use tonic::{Code, Status};

use super::identify::Change;
use super::protocol::{Notice, Protocol, Verdict};
use super::service::{OpenStream, Shared, not_attested, refusal};
use crate::foundation::shutdown::ShutdownSignal;
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
pub(super) struct Session<P, R> {
    shared: Arc<Shared>,
    requests: R,
    peer: UnixPeer,
    protocol: P,
    /// What is true of the caller, as far as it was found out.
    selectors: Option<BTreeSet<Selector>>,
    /// What the caller is entitled to; `None` if that must be found out before anything is sent.
    identities: Option<Identities>,
    changes: Box<dyn Change>,
    signal: ShutdownSignal,
    /// Whether it could not be found out the last time, so that a lasting failure is logged once.
    failing: bool,
    ended: bool,
    _open: OpenStream,
}

impl<P, R> Session<P, R>
where
    P: Protocol,
    R: Stream<Item = Result<P::Request, Status>> + Send + Unpin,
{
    /// A session with `peer`, who asks through `requests`.
    pub(super) fn new(shared: Arc<Shared>, peer: UnixPeer, requests: R, open: OpenStream) -> Self {
        Self {
            protocol: P::new(Arc::clone(&shared.config)),
            selectors: None,
            identities: None,
            changes: shared.identities.changes(),
            signal: shared.signal.clone(),
            failing: false,
            ended: false,
            _open: open,
            shared,
            requests,
            peer,
        }
    }

    /// The responses, until either side ends the stream.
    pub(super) fn responses(self) -> impl Stream<Item = Result<P::Response, Status>> + Send {
        stream::unfold(self, |mut session| async move {
            if session.ended {
                return None;
            }
            let next = session.next().await.transpose()?;
            session.ended = next.is_err();
            Some((next, session))
        })
    }

    /// The next response; `None` when the client has ended the stream.
    async fn next(&mut self) -> Result<Option<P::Response>, Status> {
        loop {
            let pause = self.pause();
            tokio::select! {
                biased;
                () = self.signal.draining() => return Err(Status::unavailable("draining")),
                () = self.changes.next(self.selectors.as_ref()) => self.identities = None,
                request = self.requests.next() => match request {
                    Some(request) => self.hear(&request?)?,
                    None => return Ok(None),
                },
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {
                    let (subscriptions, now) = (self.protocol.subscriptions(), self.shared.clock.now());
                    let due = |identities: &Identities| subscriptions.renew_at(identities).is_some_and(|at| at <= now);
                    self.identities.take_if(|identities| due(identities));
                }
            }
            if self.identities.is_none() && !self.protocol.subscriptions().is_empty() {
                self.identify().await?;
            }
            if let Some(response) = self.answer()? {
                return Ok(Some(response));
            }
        }
    }

    /// How long to wait for anything else before looking at the clock; `None` if there is nothing to look for.
    fn pause(&self) -> Option<Duration> {
        match &self.identities {
            None => (!self.protocol.subscriptions().is_empty()).then_some(RETRY),
            Some(identities) => {
                let left = self.protocol.subscriptions().renew_at(identities)?.since(self.shared.clock.now());
                Some(if left.is_zero() { RETRY } else { left.min(LOOK) })
            }
        }
    }

    fn hear(&mut self, request: &P::Request) -> Result<(), Status> {
        let pid = self.peer.pid;
        let verdict = self.protocol.hear(request).map_err(|error| Status::invalid_argument(error.to_string()))?;
        // Whoever asks now may not be who asked before: a stream outlives an exec, and can be handed on.
        self.identities.take_if(|_known| !matches!(verdict, Verdict::Stale));
        match verdict {
            Verdict::None => {}
            Verdict::Stale => tracing::debug!(pid, "a request says something of an earlier response, which is ignored"),
            Verdict::Accepted => {
                self.shared.metrics.acknowledged.inc();
            }
            Verdict::Rejected(reason) => {
                self.shared.metrics.rejected.inc();
                // Any process of the machine can reject without end.
                if let Some(more) = self.shared.rejections_told.admit(self.shared.clock.elapsed()) {
                    tracing::warn!(pid, reason, more, "the client rejected the secrets and keeps those that it had");
                }
            }
        }
        Ok(())
    }

    /// Finds out what the caller is entitled to. That nothing could be issued is no reason to hang up: the client
    /// keeps what it has, and this is tried again.
    async fn identify(&mut self) -> Result<(), Status> {
        match self.shared.identify(&self.peer).await {
            Ok((attested, identities)) => {
                self.failing = false;
                self.selectors = Some(attested.selectors);
                self.identities = Some(identities);
            }
            Err(IdentifyError::NotAttested(_)) => return Err(not_attested()),
            Err(IdentifyError::Stopping) => return Err(Status::unavailable("stopping")),
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(pid = self.peer.pid, %error, "a caller gets nothing for now");
                }
            }
        }
        Ok(())
    }

    fn answer(&mut self) -> Result<Option<P::Response>, Status> {
        let Some(identities) = &self.identities else { return Ok(None) };
        let answer = self
            .protocol
            .answer(identities, self.shared.clock.now(), self.shared.entropy.as_ref())
            .map_err(|error| Status::internal(error.to_string()))?;
        for notice in &answer.notices {
            self.tell(notice);
        }
        if !answer.refused.is_empty() {
            return Err(refusal(Code::InvalidArgument, &answer.refused));
        }
        if answer.response.is_some() {
            self.shared.metrics.responses.inc();
        }
        Ok(answer.response)
    }

    fn tell(&self, notice: &Notice) {
        let (pid, uid) = (self.peer.pid, self.peer.uid);
        let metrics = &self.shared.metrics;
        match notice {
            Notice::Unanswered(name, reason) => {
                metrics.unanswered.inc();
                // Any process of the machine can ask for names without end.
                if let Some(more) = self.shared.refusals_told.admit(self.shared.clock.elapsed()) {
                    tracing::warn!(pid, uid, name, %reason, more, "a secret that is asked for is not given");
                }
            }
            Notice::Withdrawn(name, reason) => {
                metrics.withdrawn.inc();
                tracing::warn!(pid, uid, name, %reason, "a secret is no longer given; a client that does not throw it away keeps the last one");
            }
            Notice::Emptied(name) => {
                metrics.emptied.inc();
                tracing::warn!(pid, uid, name, "a bundle or a credential is gone and was replaced by an empty one");
            }
        }
    }
}
