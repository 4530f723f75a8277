//! The contract of the port of tokens that are good for one use.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::*;
use crate::identity::token::UseStore as _;

const NOON: Timestamp = Timestamp::from_unix_nanos(1_800_000_000_000_000_000);

/// Runs every case, each on a fresh store whose URL is `url(case)`.
pub(super) async fn keep_the_contract(url: &impl AsyncFn(&str) -> String) {
    a_token_is_used_once_whichever_process_is_asked(&url("uses").await).await;
    one_of_many_uses_at_once_is_the_first(&url("uses_racing").await).await;
}

async fn table(url: &str, trust_domain: &str) -> UseTable {
    Arc::new(open(url).await.unwrap()).uses(domain(trust_domain))
}

async fn a_token_is_used_once_whichever_process_is_asked(url: &str) {
    let (one, other) = (table(url, "example.org").await, table(url, "example.org").await);
    let (a, b, end) = (Digest::of(b"a"), Digest::of(b"b"), NOON.after(Duration::from_mins(1)));
    assert!(one.take(a, end, NOON).await.unwrap());
    for again in [&one, &other] {
        assert!(!again.take(a, end, NOON).await.unwrap());
        assert!(!again.take(a, end.after(Duration::from_mins(1)), NOON).await.unwrap(), "it is the same one");
    }
    assert!(other.take(b, end, NOON).await.unwrap());
    assert!(!one.take(b, end, NOON).await.unwrap());
    assert!(table(url, "example.com").await.take(a, end, NOON).await.unwrap(), "another domain's");
    // Not closed: a process that was killed does not close either.
    drop((one, other));
    let next = table(url, "example.org").await;
    let last = end.before(Duration::from_nanos(1));
    assert!(!next.take(a, end, last).await.unwrap());
    assert!(next.take(a, end.after(Duration::from_mins(1)), end).await.unwrap(), "what is over is forgotten");
    next.take(Digest::of(b"far"), Timestamp::MAX, NOON).await.unwrap_err();
}

async fn one_of_many_uses_at_once_is_the_first(url: &str) {
    let (one, other) = (table(url, "example.org").await, table(url, "example.org").await);
    for round in 0..5_u8 {
        let (name, now) = (Digest::of(&[round]), NOON.after(Duration::from_secs(round.into())));
        let tries = (0..8).map(|number| if number % 2 == 0 { &one } else { &other });
        let taken = join_all(tries.map(|table| table.take(name, now.after(Duration::from_secs(1)), now))).await;
        assert_eq!(taken.into_iter().filter(|taken| *taken.as_ref().unwrap()).count(), 1, "{round}");
    }
}
