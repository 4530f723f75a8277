use std::process::{Child, Command, Stdio};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap()
}

/// A process that waits to be killed.
fn sleeper() -> (Child, i32) {
    let child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    (child, pid)
}

#[test]
fn a_living_process_is_found_and_predates_an_accept_of_now() {
    let found = LookedUp::by_id(own_pid(), BootTicks::now()).unwrap().unwrap();
    assert_eq!(found.started, BootTicks::of_start(own_pid()).unwrap());
    assert!(found.predates_accept());
}

#[test]
fn a_process_that_started_after_the_accept_does_not_predate_it() {
    let accepted = BootTicks::now();
    std::thread::sleep(Duration::from_millis(50));
    let (mut child, pid) = sleeper();
    let found = LookedUp::by_id(pid, accepted).unwrap().unwrap();
    let now = BootTicks::now();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!found.predates_accept(), "{found:?}");
    assert!(found.started <= now, "the two clocks are not the same one: {found:?}, {now:?}");
}

#[test]
fn within_one_tick_a_process_gets_the_benefit_of_the_doubt() {
    let found = LookedUp::by_id(own_pid(), BootTicks::now()).unwrap().unwrap();
    let BootTicks(started) = found.started;
    assert!(LookedUp { accepted: BootTicks(started), ..found.clone() }.predates_accept());
    assert!(!LookedUp { accepted: BootTicks(started - 1), ..found }.predates_accept());
}

#[test]
fn an_id_that_is_no_process_is_not_found() {
    let (mut child, reaped) = sleeper();
    child.kill().unwrap();
    child.wait().unwrap();
    for pid in [0, -1, i32::MIN, i32::MAX, reaped] {
        assert!(LookedUp::by_id(pid, BootTicks::now()).unwrap().is_none(), "{pid}");
    }
}

/// The id of a process that ended can go to a thread of another.
#[test]
fn a_thread_is_no_process() {
    let thread = std::thread::spawn(|| {
        let tid = nix::unistd::gettid().as_raw();
        assert_ne!(tid, own_pid());
        LookedUp::by_id(tid, BootTicks::now()).unwrap().is_none()
    });
    assert!(thread.join().unwrap());
}

#[test]
fn the_start_time_is_field_22() {
    let stat = b"7 (x) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20 21";
    assert_eq!(BootTicks::parse_stat(stat), Some(BootTicks(4242)));
    assert_eq!(BootTicks::parse_stat(b"7 (x R 1 2"), None);
    assert_eq!(BootTicks::parse_stat(b"7 (x) R 1 2"), None);
}

proptest! {
    #[test]
    fn no_name_moves_the_start_time(name in proptest::collection::vec(any::<u8>(), 0..16), started in any::<u64>()) {
        let mut stat = b"7 (".to_vec();
        stat.extend(name);
        stat.extend(format!(") S{} {started} 20 21\n", " 1".repeat(18)).into_bytes());
        prop_assert_eq!(BootTicks::parse_stat(&stat), Some(BootTicks(started)));
    }

    #[test]
    fn nothing_makes_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _any = BootTicks::parse_stat(&bytes);
    }
}
