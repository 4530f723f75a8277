//! One connection: everything on it happens in one task.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use h2::RecvStream;
use h2::server::{self, SendResponse};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::admission::{Admitted, Busy, Client};
use super::body::{Gone, Incoming, Outcome};
use super::keepalive::{Dead, Keepalive};
use super::reply::{Held, Reply, Starved, send};
use super::socket::{InLargePieces, in_large_pieces};
use super::{Answered, Begin, Exchange};
use crate::foundation::clock::Clock;
use crate::server::limits::Limits;

/// How much a client may send us of one body before we have looked at it, in bytes (RFC 9113 section 6.9.2), and of all
/// bodies on a connection. We look at once, so this bounds how fast bodies come over a long way and little else.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// The most that is taken in of one thing before another has its turn. It is more than are answered, so that what there
/// is no room or no time for is told soon, and what waits for an answer is known.
const TAKEN_A_TURN: usize = 256;

/// The most that are answered before others have their turn.
const ANSWERED_A_TURN: usize = 32;

/// The most turns before other connections have theirs.
const TURNS: usize = 2;

/// How long a client may take to make room for an answer.
const ROOM_PATIENCE: Duration = Duration::from_secs(10);

/// One connection of an [`Exchange`].
pub(in crate::server) struct Connection<S, E: Exchange> {
    h2: server::Connection<InLargePieces<S>, Reply>,
    exchange: Arc<E>,
    clock: Arc<dyn Clock>,
    client: Client,
    keepalive: Keepalive,
    /// Whether anything came since the client was last known to be there.
    was_heard: bool,
    /// Requests that wait for nothing but their turn.
    ready: VecDeque<Ready<E::Call>>,
    /// There while there are any.
    busy: Option<Busy>,
    /// Those that wait for the client.
    waiting: FuturesUnordered<BoxFuture<'static, Arrived<E::Call>>>,
    /// Its other owners are answers that are not written yet.
    unwritten: Arc<()>,
}

/// A request that can be answered.
struct Ready<Call> {
    call: Call,
    outcome: Outcome,
    respond: SendResponse<Reply>,
    place: Admitted,
}

/// What was waited for.
enum Arrived<Call> {
    Body(Ready<Call>),
    Abandoned(Call),
    Answer(Box<(SendResponse<Reply>, super::Answer, Admitted)>),
    Room,
}

/// Why a connection ended early.
#[derive(Debug, thiserror::Error)]
pub(in crate::server) enum ConnectionError {
    #[error(transparent)]
    Protocol(#[from] h2::Error),
    #[error(transparent)]
    Dead(#[from] Dead),
}

impl<S, E> Connection<S, E>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    E: Exchange,
{
    /// Waits for the client's preface (RFC 9113 section 3.4).
    pub(in crate::server) async fn open(
        socket: S,
        exchange: Arc<E>,
        clock: Arc<dyn Clock>,
        client: Client,
        limits: &Limits,
    ) -> Result<Self, ConnectionError> {
        let mut h2 = server::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(limits.max_concurrent_streams)
            .max_header_list_size(limits.max_header_list)
            .max_pending_accept_reset_streams(most_reset(limits))
            .max_local_error_reset_streams(Some(limits.max_local_error_reset_streams))
            .handshake(in_large_pieces(socket))
            .await?;
        let keepalive = Keepalive::new(h2.ping_pong(), limits);
        Ok(Self {
            h2,
            exchange,
            clock,
            client,
            keepalive,
            was_heard: false,
            ready: VecDeque::new(),
            busy: None,
            waiting: FuturesUnordered::new(),
            unwritten: Arc::default(),
        })
    }

    /// Takes no more requests; those under way go on (RFC 9113 section 6.8).
    pub(in crate::server) fn graceful_shutdown(&mut self) {
        self.h2.graceful_shutdown();
    }

    /// Goes on with whatever can go on. `on_request` is called for each new request.
    pub(in crate::server) fn poll(
        &mut self,
        context: &mut Context<'_>,
        on_request: impl Fn(),
    ) -> Poll<Result<(), ConnectionError>> {
        let (was_heard, unwritten) = (&mut self.was_heard, &self.unwritten);
        // Who does not read may still send: as long as answers lie here, only the answer to a PING counts.
        self.keepalive.poll(context, || std::mem::take(was_heard) && Arc::strong_count(unwritten) == 1)?;
        for _ in 0..TURNS {
            let mut is_idle = true;
            for _ in 0..TAKEN_A_TURN {
                // This also reads, and writes what there is to write.
                match self.h2.poll_accept(context)? {
                    Poll::Ready(Some((request, respond))) => {
                        on_request();
                        self.take_in(context, request, respond);
                        is_idle = false;
                    }
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    Poll::Pending => break,
                }
            }
            is_idle &= !self.go_on(context);
            is_idle &= !self.answer(context);
            if is_idle {
                return Poll::Pending;
            }
        }
        // There may be more to do. What is done is written first, and then others have their turn.
        if self.h2.poll_closed(context)?.is_ready() {
            return Poll::Ready(Ok(()));
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn take_in(&mut self, context: &mut Context<'_>, request: Request<RecvStream>, respond: SendResponse<Reply>) {
        self.was_heard = true;
        let (head, stream) = request.into_parts();
        let begin = self.exchange.begin(&head, self.ahead());
        if let Begin::Answer(answer) = begin {
            return self.send(respond, *answer, None);
        }
        let Some(mut place) = self.client.admit() else {
            return self.send(respond, self.exchange.overloaded(), None);
        };
        let (call, outcome) = match begin {
            Begin::Answer(_) => return,
            Begin::Unread(call) => (call, Outcome::Unread),
            Begin::Read { call, patience, max_body } => {
                let mut body = Incoming::new(stream, max_body);
                match body.poll(context, &mut place) {
                    Poll::Ready(Ok(outcome)) => (call, outcome),
                    Poll::Ready(Err(Gone)) => return self.exchange.abandoned(call),
                    Poll::Pending => {
                        self.waiting.push(Box::pin(read(call, body, respond, place, patience)));
                        return;
                    }
                }
            }
        };
        self.queue(Ready { call, outcome, respond, place });
    }

    fn queue(&mut self, ready: Ready<E::Call>) {
        self.ready.push_back(ready);
        self.busy.get_or_insert_with(|| self.client.admission().busy());
    }

    /// How long the next request will wait for its turn: connections take turns, so those of others that come before it are
    /// no more for each than its own.
    fn ahead(&self) -> Duration {
        self.client.admission().ahead(self.ready.len().saturating_add(ANSWERED_A_TURN))
    }

    /// Takes up what was waited for. Says whether there was anything.
    fn go_on(&mut self, context: &mut Context<'_>) -> bool {
        for count in 0..TAKEN_A_TURN {
            if self.waiting.is_empty() {
                return count > 0;
            }
            match self.waiting.poll_next_unpin(context) {
                Poll::Ready(Some(Arrived::Body(ready))) => self.queue(ready),
                Poll::Ready(Some(Arrived::Abandoned(call))) => self.exchange.abandoned(call),
                Poll::Ready(Some(Arrived::Answer(answered))) => {
                    let (respond, answer, place) = *answered;
                    self.send(respond, answer, Some(place));
                }
                Poll::Ready(Some(Arrived::Room)) => {}
                Poll::Ready(None) | Poll::Pending => return count > 0,
            }
            self.was_heard = true;
        }
        true
    }

    /// Answers those whose turn it is. Says whether there were any.
    fn answer(&mut self, context: &mut Context<'_>) -> bool {
        if self.ready.is_empty() {
            return false;
        }
        let started = self.clock.elapsed();
        let mut count: usize = 0;
        while count < ANSWERED_A_TURN
            && let Some(Ready { call, outcome, mut respond, place }) = self.ready.pop_front()
        {
            count += 1;
            // A client that overload has kept waiting may have given up.
            if respond.poll_reset(context).is_ready() {
                self.exchange.abandoned(call);
                continue;
            }
            match self.exchange.answer(call, outcome.received()) {
                Answered::Now(answer) => self.send(respond, answer, Some(place)),
                Answered::Later(answer) => {
                    let answered = async move { Arrived::Answer(Box::new((respond, answer.await, place))) };
                    self.waiting.push(Box::pin(answered));
                    // So that it is looked at before this turn ends.
                    context.waker().wake_by_ref();
                }
            }
        }
        if self.ready.is_empty() {
            self.busy = None;
        }
        self.client.admission().answered(count, self.clock.elapsed().saturating_sub(started));
        true
    }

    fn send(&self, respond: SendResponse<Reply>, answer: super::Answer, place: Option<Admitted>) {
        let held = Held { _place: place, _unwritten: Arc::clone(&self.unwritten) };
        if let Some(starved) = send(respond, answer, held) {
            self.waiting.push(Box::pin(find_room(starved)));
        }
    }
}

/// A client that waited for all of its requests in vain takes all of them back at once, which is no attack: they have cost
/// us next to nothing.
fn most_reset(limits: &Limits) -> usize {
    let at_once = usize::try_from(limits.max_concurrent_streams).unwrap_or(usize::MAX);
    limits.max_pending_reset_streams.max(at_once)
}

/// Waits for the rest of a body.
async fn read<Call>(
    call: Call,
    mut body: Incoming,
    respond: SendResponse<Reply>,
    mut place: Admitted,
    patience: Duration,
) -> Arrived<Call> {
    let reading = place.reading();
    let arrived = timeout(patience, poll_fn(|context| body.poll(context, &mut place))).await;
    drop(reading);
    match arrived {
        Ok(Ok(outcome)) => Arrived::Body(Ready { call, outcome, respond, place }),
        Ok(Err(Gone)) => Arrived::Abandoned(call),
        Err(_elapsed) => Arrived::Body(Ready { call, outcome: Outcome::Late, respond, place }),
    }
}

/// Waits until the client has room for its answer.
async fn find_room<Call>(mut starved: Starved) -> Arrived<Call> {
    match timeout(ROOM_PATIENCE, poll_fn(|context| starved.poll_room(context))).await {
        Ok(()) => drop(starved.finish()),
        Err(_elapsed) => starved.give_up(),
    }
    Arrived::Room
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::super::tests::Echo;
    use super::*;

    /// What a call of that function takes until it is done.
    fn size_of_call<A, B, C, D, E, F>(_function: fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    /// Each is paid for as often as there are connections, or requests that wait: they grow only if somebody means it.
    #[test]
    fn what_is_held_for_each_connection_and_request_is_small() {
        let sizes = [
            ("a connection, beside its buffers", size_of::<Connection<UnixStream, Echo>>(), 1600),
            ("a request that waits for its turn", size_of::<Ready<[u8; 32]>>(), 128),
            ("one that waits for its body", size_of_call(read::<[u8; 32]>), 448),
        ];
        assert!(sizes.iter().all(|(_, size, most)| size <= most), "{sizes:?}");
    }
}
