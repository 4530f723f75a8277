//! Ending in order: one signal to drain, a deadline after which what is left is cut off.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

/// How far the process has come in ending. It only moves forward.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Phase {
    /// Serving.
    #[default]
    Running,
    /// No new work; what is under way may end.
    Draining,
    /// The deadline has passed: stop where you are.
    Stopped,
}

/// The side that orders the end.
#[derive(Debug, Default)]
pub struct Shutdown(watch::Sender<Phase>);

/// The side that obeys it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ShutdownSignal(watch::Receiver<Phase>);

impl Shutdown {
    /// A signal for one more listener, task or stream.
    pub fn signal(&self) -> ShutdownSignal {
        ShutdownSignal(self.0.subscribe())
    }

    /// Moves to `phase`; going back is not possible.
    pub fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let forward = phase > *current;
            *current = phase.max(*current);
            forward
        });
    }
}

impl ShutdownSignal {
    /// Ends when draining starts, at once if it already has.
    pub async fn draining(&mut self) {
        self.reached(Phase::Draining).await;
    }

    /// Ends when the deadline has passed, at once if it already has.
    pub async fn stopped(&mut self) {
        self.reached(Phase::Stopped).await;
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    async fn reached(&mut self, phase: Phase) {
        // An error means that the ordering side is gone, which is an order to stop too.
        let _gone = self.0.wait_for(|current| *current >= phase).await;
    }
}

/// The process's long-lived tasks, by name.
#[derive(Debug, Default)]
pub struct TaskGroup(JoinSet<&'static str>);

impl TaskGroup {
    /// Starts a task.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(async move {
            task.await;
            name
        });
    }

    /// Waits until a task ends by itself, which none should before the drain, and names it.
    pub async fn first_ended(&mut self) -> &'static str {
        match self.0.join_next().await {
            Some(Ok(name)) => name,
            Some(Err(_panic)) => "a task that panicked",
            None => std::future::pending().await,
        }
    }

    /// Waits for all, at most `deadline`, then ends the rest. Says whether all ended by themselves.
    pub async fn finish(mut self, deadline: Duration) -> bool {
        let all = async { while self.0.join_next().await.is_some() {} };
        let in_time = tokio::time::timeout(deadline, all).await.is_ok();
        self.0.shutdown().await;
        in_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_only_move_forward_and_late_listeners_see_them() {
        let shutdown = Shutdown::default();
        let mut early = shutdown.signal();
        shutdown.advance(Phase::Stopped);
        shutdown.advance(Phase::Draining);
        early.stopped().await;
        let mut late = shutdown.signal();
        late.draining().await;
        assert_eq!(late.phase(), Phase::Stopped);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_will_not_end_is_cut_off_at_the_deadline() {
        let mut tasks = TaskGroup::default();
        tasks.spawn("endless", std::future::pending());
        assert!(!tasks.finish(Duration::from_secs(1)).await);
    }
}
