use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::evidence::record::{IssuanceRecord, MappingLoadRecord};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::watched::Epoch;

/// A log that is full at times.
#[derive(Debug, Default)]
struct Fickle {
    is_full: AtomicBool,
    taken: Mutex<Vec<u64>>,
}

impl Audit for Fickle {
    fn append(&self, record: Record<'_>) -> Result<Taken, AppendError> {
        let Record::MappingLoad(record) = record else { return Err(AppendError::Unwritable("of this kind".into())) };
        if self.is_full.load(Ordering::SeqCst) {
            return Err(AppendError::Full);
        }
        self.taken.lock().unwrap().push(record.mapping_epoch.number());
        Ok(Taken::NOW)
    }
}

fn numbered(number: u64) -> Record<'static> {
    Record::MappingLoad(Box::new(MappingLoadRecord {
        time: Timestamp::from_unix_nanos(1),
        mapping_digest: Digest::of(b""),
        mapping_epoch: Epoch::of_record(number),
        routes: 0,
        error: None,
    }))
}

fn backlog() -> (Arc<Fickle>, Backlog, Readiness) {
    let (log, readiness) = (Arc::new(Fickle::default()), Readiness::default());
    let audit = Arc::clone(&log) as Arc<dyn Audit>;
    (log, Backlog::new(audit, readiness.clone(), BacklogMetrics::default()), readiness)
}

#[test]
fn what_a_full_log_does_not_take_is_taken_later_and_in_order() {
    let (log, backlog, readiness) = backlog();
    backlog.note(numbered(1));
    log.is_full.store(true, Ordering::SeqCst);
    backlog.note(numbered(2));
    backlog.note(numbered(3));
    assert_eq!(*log.taken.lock().unwrap(), [1]);
    let told = readiness.report();
    assert_eq!(told.notices["audit_backlog"], "2 records wait to be taken: the audit queue is full");
    assert!(told.ready);
    log.is_full.store(false, Ordering::SeqCst);
    backlog.note(numbered(4));
    assert_eq!(*log.taken.lock().unwrap(), [1, 2, 3, 4]);
    assert!(readiness.report().notices.is_empty());
    assert_eq!(backlog.0.metrics.lost.get(), 0);
}

#[test]
fn what_has_no_form_holds_up_nothing_and_what_waits_is_bounded() {
    let (log, backlog, _readiness) = backlog();
    backlog.note(Record::Issuance(Box::new(IssuanceRecord {
        time: Timestamp::from_unix_nanos(1),
        spiffe_id: String::new(),
        entry_id: String::new(),
        serial: String::new(),
        leaf: Digest::of(b""),
        authority: String::new(),
        not_after: Timestamp::from_unix_nanos(2),
    })));
    backlog.note(numbered(1));
    assert_eq!((log.taken.lock().unwrap().len(), backlog.0.metrics.lost.get()), (1, 1));
    log.is_full.store(true, Ordering::SeqCst);
    (0..5000).for_each(|number| backlog.note(numbered(number)));
    assert_eq!(backlog.0.metrics.waiting.get(), 4096);
    assert_eq!(backlog.0.metrics.lost.get(), 1 + 5000 - 4096);
}

#[tokio::test(start_paused = true)]
async fn it_is_tried_again_without_anyone_asking() {
    let (log, backlog, _readiness) = backlog();
    log.is_full.store(true, Ordering::SeqCst);
    backlog.note(numbered(7));
    let shutdown = crate::foundation::shutdown::Shutdown::default();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(backlog.run(shutdown.signal()));
    sleep(RETRY * 3).await;
    log.is_full.store(false, Ordering::SeqCst);
    sleep(RETRY * 3).await;
    assert_eq!(*log.taken.lock().unwrap(), [7]);
}

#[test]
fn what_the_log_does_not_take_by_the_end_is_counted_as_lost() {
    let (log, backlog, _readiness) = backlog();
    log.is_full.store(true, Ordering::SeqCst);
    backlog.note(numbered(1));
    backlog.note(numbered(2));
    backlog.end();
    assert_eq!(backlog.0.metrics.lost.get(), 2);
    log.is_full.store(false, Ordering::SeqCst);
    backlog.end();
    assert!(log.taken.lock().unwrap().is_empty());
}
