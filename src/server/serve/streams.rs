//! The tasks that HTTP/2 connections run their streams in.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use hyper::rt::Executor;
use tokio_util::task::TaskTracker;

use crate::server::metrics::ListenerMetrics;

/// Runs the streams, so that none outlives its listener and none panics unnoticed. hyper's own executor does neither.
#[derive(Clone, Debug)]
pub(super) struct StreamTasks {
    tracker: TaskTracker,
    metrics: ListenerMetrics,
}

impl StreamTasks {
    pub(super) fn new(metrics: ListenerMetrics) -> Self {
        Self { tracker: TaskTracker::new(), metrics }
    }

    /// Ends when no stream is left. To be called once no connection is: a stream without one ends by itself.
    pub(super) async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl<F> Executor<F> for StreamTasks
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let metrics = self.metrics.clone();
        self.tracker.spawn(async move {
            if AssertUnwindSafe(stream).catch_unwind().await.is_err() {
                metrics.panics.inc();
                tracing::error!(listener = metrics.name, "a panic ended a request");
            }
        });
    }
}
