//! What the requests that are at work hold together. A body that is read takes many times the room that it took as text, up to
//! some eighty times if it is all small objects, so that bounds on bodies and on their number leave room for gigabytes.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::failure::Failure;

/// What all of them may hold, in bytes. One that is larger alone is at work alone.
const TOGETHER: u32 = 256 << 20;

/// What an allocation takes beside what is in it, in bytes: about.
const ALLOCATION: usize = 16;

/// The smallest room of a list or an object that is not empty, in elements.
const SMALLEST: usize = 4;

/// The bound, shared by all requests.
#[derive(Clone, Debug)]
pub(super) struct Memory(Arc<Semaphore>);

impl Memory {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(usize::try_from(TOGETHER).unwrap_or(Semaphore::MAX_PERMITS))))
    }

    /// The share of a request with these members, until it is dropped.
    ///
    /// # Errors
    /// 429, if there is no room for it now.
    pub(super) fn hold(&self, members: &Map<String, Value>) -> Result<OwnedSemaphorePermit, Failure> {
        let bytes = u32::try_from(of_members(members)).map_or(TOGETHER, |bytes| bytes.min(TOGETHER));
        let full = |_no_permits| Failure::too_many("the requests at work hold too much");
        Arc::clone(&self.0).try_acquire_many_owned(bytes).map_err(full)
    }
}

/// What a value holds beside itself, in bytes: about, and never much less.
fn of_value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => ALLOCATION + text.len(),
        Value::Array(values) => room(values.len(), size_of::<Value>()) + values.iter().map(of_value).sum::<usize>(),
        Value::Object(members) => of_members(members),
    }
}

/// An object is a list of names, values and hashes, and a table of places in it.
fn of_members(members: &Map<String, Value>) -> usize {
    let each = |(name, value): (&String, &Value)| ALLOCATION + name.len() + of_value(value);
    room(members.len(), size_of::<(u64, String, Value, usize)>()) + members.iter().map(each).sum::<usize>()
}

/// What is allocated for so many elements, which double as they grow.
const fn room(count: usize, each: usize) -> usize {
    if count == 0 {
        return 0;
    }
    let count = if count < SMALLEST { SMALLEST } else { count.saturating_mul(2) };
    ALLOCATION + count.saturating_mul(each)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: Value) -> usize {
        let Value::Object(members) = value else { panic!("no object") };
        of_members(&members)
    }

    #[test]
    fn what_is_small_as_text_counts_as_what_it_takes() {
        assert!(of(json!({"x": vec![json!([]); 1000]})) >= 1000 * size_of::<Value>());
        assert!(of(json!({"x": vec![json!({"": 0}); 1000]})) >= 1000 * 400, "an object is more than its members");
        assert!(of(json!({"x": "x".repeat(1000)})) < 2000, "and a text is hardly more than itself");
        assert_eq!(of(json!({})), 0);
    }

    #[test]
    fn there_is_room_again_once_somebody_is_done() {
        let memory = Memory::new();
        let Value::Object(large) = json!({"x": vec![json!({"": 0}); 250_000]}) else { panic!("no object") };
        let mut held: Vec<_> = std::iter::from_fn(|| memory.hold(&large).ok()).collect();
        assert!((1..=3).contains(&held.len()), "{}", held.len());
        assert_eq!(memory.hold(&large).unwrap_err().status(), 429);
        assert!(memory.hold(&Map::new()).is_ok());
        held.pop();
        assert!(memory.hold(&large).is_ok());
    }

    #[test]
    fn what_is_larger_than_all_the_room_is_at_work_alone() {
        let memory = Memory::new();
        let Value::Object(huge) = json!({"x": vec![json!({"": 0}); 1_000_000]}) else { panic!("no object") };
        assert!(of_members(&huge) > usize::try_from(TOGETHER).unwrap());
        let alone = memory.hold(&huge).unwrap();
        let Value::Object(small) = json!({"x": 1}) else { panic!("no object") };
        assert!(memory.hold(&small).is_err());
        drop(alone);
        assert!(memory.hold(&small).is_ok());
    }
}
