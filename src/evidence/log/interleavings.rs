//! The queue, the very same source, with locks of shuttle's in place of the system's: who puts in, who takes and who closes
//! run in many thousands of orders, and nothing is ever lost, given twice, out of order, or waited for in vain.

use std::sync::Arc;
use std::time::Duration;

use shuttle::thread;

use self::queue::{Queue, Refused, Waiting};
use super::journal::split;

/// How many orders are tried.
const ORDERS: usize = 3000;

#[path = "queue.rs"]
#[expect(clippy::duplicate_mod, reason = "it is to be the same source")]
mod queue;

/// What the queue's source takes for its surroundings.
mod sync {
    pub(super) use shuttle::sync::{Condvar, Mutex, MutexGuard};
}

mod journal {
    pub(super) use crate::evidence::log::journal::push;
}

/// All that is taken until the queue is closed and empty.
fn take_all(queue: &Queue) -> Vec<Vec<u8>> {
    let mut taken = Vec::new();
    let mut emptied = Waiting::default();
    while let Some(waiting) = queue.take(emptied) {
        let entries: Vec<_> = split(&waiting.bytes).map(|entry| entry.unwrap().to_vec()).collect();
        assert_eq!(entries.len(), waiting.count);
        taken.extend(entries);
        queue.settle(&waiting);
        assert!(queue.waiting() <= 3);
        queue.gather(Duration::from_millis(10));
        emptied = waiting;
    }
    taken
}

#[test]
fn what_is_accepted_is_taken_once_and_in_order_whoever_comes_first() {
    let race = || {
        let queue = Arc::new(Queue::new(3));
        let taker = thread::spawn({
            let queue = Arc::clone(&queue);
            move || take_all(&queue)
        });
        let puts = (0..2_u8).map(|who| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let mut places = Vec::new();
                for number in 0..3_u8 {
                    match queue.put(&[who, number]) {
                        Ok(place) => places.push((place, vec![who, number])),
                        Err(refused) => assert_eq!(refused, Refused::Full),
                    }
                }
                places
            })
        });
        let puts: Vec<_> = puts.collect();
        let mut accepted: Vec<_> = puts.into_iter().flat_map(|put| put.join().unwrap()).collect();
        queue.close();
        assert_eq!(queue.put(b"late"), Err(Refused::Closed));
        accepted.sort();
        let (places, entries): (Vec<u64>, Vec<Vec<u8>>) = accepted.into_iter().unzip();
        assert!(places.iter().copied().eq(1..=u64::try_from(places.len()).unwrap()), "{places:?}");
        assert_eq!(taker.join().unwrap(), entries);
    };
    shuttle::check_random(race, ORDERS);
    shuttle::check_pct(race, ORDERS, 3);
}

/// What is taken and not settled fills the queue as what waits does: this is how much a crash can lose.
#[test]
fn no_more_is_accepted_than_may_be_lost_whether_it_was_taken_or_not() {
    const LIMIT: usize = 3;
    let race = || {
        let queue = Arc::new(Queue::new(LIMIT));
        let writer = thread::spawn({
            let queue = Arc::clone(&queue);
            // It takes and never gets to write, as before a disk that hangs.
            move || queue.take(Waiting::default()).unwrap_or_default()
        });
        let puts = (0..2_u8).map(|who| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || (0..3_u8).filter(|number| queue.put(&[who, *number]).is_ok()).count())
        });
        let puts: Vec<_> = puts.collect();
        let accepted: usize = puts.into_iter().map(|put| put.join().unwrap()).sum();
        assert_eq!(accepted, LIMIT);
        let taken = writer.join().unwrap();
        assert!(taken.count > 0);
        assert_eq!(queue.put(b"more"), Err(Refused::Full));
        queue.settle(&taken);
        assert_eq!(queue.put(b"more"), Ok(4));
    };
    shuttle::check_random(race, ORDERS);
    shuttle::check_pct(race, ORDERS, 3);
}

/// Who waits for a record waits for no pause: here pauses have no end of their own.
#[test]
fn what_is_urgent_is_taken_whenever_it_is_said_to_be() {
    let race = || {
        let queue = Arc::new(Queue::new(100));
        let putter = thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                for number in 0..3_u8 {
                    queue.put(&[number]).unwrap();
                    queue.hasten();
                }
            }
        });
        let mut taken = 0;
        while taken < 3 {
            let waiting = queue.take(Waiting::default()).unwrap();
            taken += waiting.count;
            queue.settle(&waiting);
            if taken < 3 {
                queue.gather(Duration::MAX);
            }
        }
        putter.join().unwrap();
    };
    shuttle::check_random(race, ORDERS);
    shuttle::check_pct(race, ORDERS, 3);
}

/// Closing races with putting in: what was accepted before is taken, what comes after is refused.
#[test]
fn closing_at_any_moment_loses_nothing_that_was_accepted() {
    let race = || {
        let queue = Arc::new(Queue::new(8));
        let putter = thread::spawn({
            let queue = Arc::clone(&queue);
            move || (0..4_u8).take_while(|number| queue.put(&[*number]).is_ok()).count()
        });
        let closer = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.close()
        });
        let taken = take_all(&queue);
        closer.join().unwrap();
        // What is put in after the last look is refused, so nothing is left behind.
        assert_eq!(taken.len(), putter.join().unwrap());
        assert!(queue.is_closed());
    };
    shuttle::check_random(race, ORDERS);
    shuttle::check_pct(race, ORDERS, 3);
}
