//! One call, as a service sees it: a handle on what will be recorded of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tonic::{Request, Status};

use super::status;
use crate::evidence::{AdministrationRecord, AppendError, Audit, Record};
use crate::foundation::clock::Clock;
use crate::foundation::telemetry::printable;

/// The most subjects that a record names: a whole batch, each made or changed thing once.
const MAX_SUBJECTS: usize = super::MAX_BATCH;

/// How much of a subject is recorded, in bytes: an id of an entry and a SPIFFE ID.
const MAX_SUBJECT: usize = 256 + 2048;

/// How much of a method's name is recorded, in bytes; our own have less than 80.
const MAX_METHOD: usize = 200;

/// How much of an error is recorded, in bytes.
const MAX_ERROR: usize = 1000;

/// A call under way. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Call(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    method: String,
    caller: Option<Caller>,
    audit: Arc<dyn Audit>,
    clock: Arc<dyn Clock>,
    subjects: Mutex<Vec<String>>,
}

/// The calling process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Caller {
    pub(super) uid: u32,
    pub(super) pid: i32,
}

impl Call {
    pub(super) fn new(path: &str, caller: Option<Caller>, audit: Arc<dyn Audit>, clock: Arc<dyn Clock>) -> Self {
        let method = printable(path.strip_prefix('/').unwrap_or(path), MAX_METHOD);
        Self(Arc::new(Inner { method, caller, audit, clock, subjects: Mutex::default() }))
    }

    /// The call that `request` is part of, and what it asks.
    ///
    /// # Errors
    /// The request did not come through the gate: nobody knows who calls, and nothing would be recorded.
    pub fn open<T>(request: Request<T>) -> Result<(Self, T), Status> {
        let call = request.extensions().get::<Self>().cloned();
        let call = call.ok_or_else(|| Status::internal("the call can't be recorded"))?;
        Ok((call, request.into_inner()))
    }

    /// Says what the call is about, for its record.
    pub fn concerns(&self, subjects: impl IntoIterator<Item = String>) {
        let fit = subjects.into_iter().take(MAX_SUBJECTS).map(|subject| printable(&subject, MAX_SUBJECT));
        *self.subjects() = fit.collect();
    }

    /// Records that what is named is about to be changed, and waits until that is as durable as the operator wants it. To be
    /// called before anything is changed.
    ///
    /// # Errors
    /// `Unavailable`: it could not be recorded, so it must not be done.
    pub async fn changing(&self, subjects: impl IntoIterator<Item = String>) -> Result<(), Status> {
        self.concerns(subjects);
        let subjects = self.subjects().clone();
        self.record(subjects, None, None).await.map_err(|_logged| status::unrecorded())
    }

    /// Says what was changed, where that is not all that [`Self::changing`] named.
    pub fn changed(&self, subjects: impl IntoIterator<Item = String>) {
        self.concerns(subjects);
    }

    /// Records how the call ended, and waits for that as [`Self::changing`] does.
    pub(super) async fn end(&self, code: &'static str, error: Option<&str>) -> Result<(), AppendError> {
        let subjects = std::mem::take(&mut *self.subjects());
        self.record(subjects, Some(code), error).await
    }

    async fn record(
        &self,
        subjects: Vec<String>,
        code: Option<&'static str>,
        error: Option<&str>,
    ) -> Result<(), AppendError> {
        let record = AdministrationRecord {
            time: self.0.clock.now(),
            method: self.0.method.clone(),
            uid: self.0.caller.map(|caller| caller.uid),
            pid: self.0.caller.map(|caller| caller.pid),
            subjects,
            code: code.map(std::borrow::Cow::Borrowed),
            error: error.map(|error| printable(error, MAX_ERROR)),
        };
        let recorded = match self.0.audit.append(Record::Administration(record.into())) {
            Ok(taken) => taken.durable().await,
            Err(error) => Err(error),
        };
        recorded.inspect_err(|error| {
            tracing::error!(method = self.0.method, %error, "a call of the admin API could not be recorded");
        })
    }

    fn subjects(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;
    use crate::evidence::audit::{Progress, Taken};
    use crate::foundation::clock::SystemClock;

    /// A log whose disk has so much.
    #[derive(Debug)]
    struct Slow(watch::Receiver<Progress>);

    impl Audit for Slow {
        fn append(&self, _record: Record<'_>) -> Result<Taken, AppendError> {
            Ok(Taken::at(1, self.0.clone()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_changed_or_told_before_its_record_is_on_the_disk() {
        let (progress, seen) = watch::channel(Progress::default());
        let call = Call::new("/service/Method", None, Arc::new(Slow(seen)), Arc::new(SystemClock::new()));
        assert_eq!(call.changing([]).await.unwrap_err().code(), tonic::Code::Unavailable);
        call.end("OK", None).await.unwrap_err();
        progress.send_modify(|progress| progress.durable = 1);
        call.changing([]).await.unwrap();
        call.end("OK", None).await.unwrap();
    }
}
