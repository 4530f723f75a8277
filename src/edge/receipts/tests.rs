//! Places at the desk, and what answers say of receipts.

use portcullis_tlog::note::NoteSigner;
use portcullis_tlog::policy::Policy;
use tokio::task::JoinSet;

use super::*;
use crate::foundation::clock::{ManualClock, SystemClock, Timestamp};
use crate::foundation::entropy::SystemEntropy;

#[test]
fn who_hangs_up_leaves_no_place_to_another_before_the_work_is_done() {
    let log = tempfile::tempdir().unwrap();
    let key = NoteSigner::from_seed("log.example".parse().unwrap(), &[1; 32]).unwrap();
    let desk = Arc::new(ReceiptDesk::new(Arc::new(SystemClock::new())));
    desk.open(Receipts::new(log.path(), Policy::log_only("log.example", key.verifier().clone())));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        // The one thread for such work is busy for as long as it takes.
        let (release, held) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || held.recv());
        let mut asked = JoinSet::new();
        asked.spawn({
            let (desk, id) = (Arc::clone(&desk), id(0));
            async move { desk.find(id).await.map(drop).map_err(drop) }
        });
        while desk.turns.available_permits() == AT_A_TIME {
            tokio::task::yield_now().await;
        }
        asked.abort_all();
        assert!(asked.join_next().await.unwrap().unwrap_err().is_cancelled());
        assert_eq!((desk.turns.available_permits(), desk.room.available_permits()), (AT_A_TIME - 1, WAITING - 1));
        drop(release);
        assert!(busy.await.unwrap().is_err());
        let _all = desk.turns.acquire_many(u32::try_from(AT_A_TIME).unwrap()).await.unwrap();
    });
}

fn id(seconds: i64) -> DecisionId {
    DecisionId::new(Timestamp::from_unix_seconds(seconds), &SystemEntropy::new()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn who_asks_is_told_the_place_and_waits_for_the_receipt_only_where_answers_wait() {
    let log = tempfile::tempdir().unwrap();
    let key = NoteSigner::from_seed("log.example".parse().unwrap(), &[1; 32]).unwrap();
    // It is long ago that the decision was made, so that the log has it or has it not.
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000)));
    let desk = Arc::new(ReceiptDesk::new(clock));
    desk.open(Receipts::new(log.path(), Policy::log_only("log.example", key.verifier().clone())));
    let (_publishes, published) = watch::channel(0);
    let waiting = ReceiptOffer::new("https://gate.example/", Some(Awaited { desk, published }));
    let hurried = ReceiptOffer::new("https://gate.example", None);
    let id = id(1_700_000_000);
    let place =
        ReceiptTold { decision_id: id, url: format!("https://gate.example/v1/audit/receipt/{id}"), proof: None };
    for offer in [&waiting, &hurried] {
        assert_eq!(offer.place(id).as_ref(), Some(&place));
        for wanted in [ReceiptWanted::Url, ReceiptWanted::Proof] {
            // There is no checkpoint, and nobody makes one: the patience ends.
            assert_eq!(offer.told(wanted, id, Duration::from_secs(5)).await.as_ref(), Some(&place));
        }
        assert_eq!(offer.place(DecisionId::NIL), None);
        assert_eq!(offer.told(ReceiptWanted::Proof, DecisionId::NIL, Duration::from_secs(5)).await, None);
    }
    assert!(waiting.awaits(ReceiptWanted::Proof) && !waiting.awaits(ReceiptWanted::Url));
    assert!(!hurried.awaits(ReceiptWanted::Proof));
    for (word, wanted) in
        [("url", Some(ReceiptWanted::Url)), ("proof", Some(ReceiptWanted::Proof)), ("true", None), ("", None)]
    {
        assert_eq!(ReceiptWanted::parse(word), wanted, "{word}");
    }
}
