//! Waking up at the right microsecond: a timerfd(2), since tokio's own timers know only milliseconds.

use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use crate::{Failure, clock};

/// One alarm clock.
pub(super) struct Pacer(AsyncFd<OwnedFd>);

impl Pacer {
    #[expect(deprecated, reason = "its successor is unsafe, and an `OwnedFd` keeps what that asks for")]
    pub(super) fn new() -> Result<Self, Failure> {
        let fail = |error: std::io::Error| Failure::new("making a timer", error);
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(|error| fail(error.into()))?;
        AsyncFd::new(timer).map(Self).map_err(fail)
    }

    /// Waits until then; lets the other tasks of the thread run in any case.
    pub(super) async fn wait_until(&self, then: Instant) -> Result<(), Failure> {
        let fail = |error: std::io::Error| Failure::new("waiting for a timer", error);
        let left = then.saturating_duration_since(clock::now());
        if left.is_zero() {
            tokio::task::yield_now().await;
            return Ok(());
        }
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            },
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once).map_err(|error| fail(error.into()))?;
        loop {
            let mut ready = self.0.readable().await.map_err(fail)?;
            let read = ready.try_io(|timer| {
                let mut expirations = [0; 8];
                rustix::io::read(timer.get_ref(), &mut expirations).map_err(Into::into)
            });
            match read {
                Ok(done) => return done.map(drop).map_err(fail),
                Err(_would_block) => {}
            }
        }
    }
}
