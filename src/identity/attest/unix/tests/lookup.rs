//! Callers as a kernel before Linux 6.5 shows them: without `SO_PEERPIDFD`.

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};

use super::*;

impl Caller {
    /// What [`UnixPeer::of`] would make of this caller on an old kernel, for a connection accepted at `accepted`.
    fn looked_up(&self, accepted: BootTicks) -> UnixPeer {
        let credentials = getsockopt(&self.connection, sockopt::PeerCredentials).unwrap();
        UnixPeer::from_answers(credentials, Err(Errno::ENOPROTOOPT), accepted).unwrap()
    }
}

fn found(peer: &UnixPeer) -> LookedUp {
    let Some(PeerPidfd::LookedUp(found)) = &peer.pidfd else { panic!("{peer:?}") };
    found.clone()
}

fn attested_with(accept_pid_lookup: bool, peer: &UnixPeer) -> Result<Attested, AttestError> {
    let config = UnixAttestConfig { accept_pid_lookup, ..UnixAttestConfig::default() };
    UnixAttestor::new(config, Arc::new(SystemClock::new())).attest(peer, false)
}

#[test]
fn by_default_a_caller_that_was_looked_up_is_refused_with_the_lack_the_setting_and_the_risk() {
    let caller = Caller::run(&python(), WAIT);
    let attestor = UnixAttestor::new(UnixAttestConfig::default(), Arc::new(SystemClock::new()));
    let error = attestor.attest(&caller.looked_up(BootTicks::now()), false).unwrap_err();
    assert!(matches!(error, AttestError::NotVouched));
    let message = error.to_string();
    for part in ["SO_PEERPIDFD", "Linux 6.5", "`identity.attest_by_pid_lookup: true`", "mistaken for a later one"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn where_it_is_allowed_a_lookup_finds_what_the_kernels_own_handle_finds() {
    let caller = Caller::run(&python(), WAIT);
    let looked_up = attested_with(true, &caller.looked_up(BootTicks::now())).unwrap();
    assert_eq!(looked_up.pid, caller.peer.pid);
    assert_eq!(looked_up, attested_with(false, &vouched_for(&caller.peer)).unwrap());
}

#[test]
fn what_the_kernel_vouches_for_needs_no_permission() {
    let caller = Caller::run(&python(), WAIT);
    let vouched = vouched_for(&caller.peer);
    assert_eq!(attested_with(false, &vouched).unwrap(), attested_with(true, &vouched).unwrap());
}

/// The caller ended, and another process of the same user got its id after the accept and before the lookup.
#[test]
fn a_process_that_started_after_the_accept_is_not_the_caller() {
    let accepted = BootTicks::now();
    std::thread::sleep(Duration::from_millis(50));
    let heir = Caller::run(&python(), WAIT);
    let peer = heir.looked_up(accepted);
    assert!(matches!(attested_with(true, &peer), Err(AttestError::StartedLater)));
    assert!(matches!(attested_with(false, &peer), Err(AttestError::NotVouched)));
}

#[test]
fn a_process_of_another_user_is_not_the_caller() {
    let caller = Caller::run(&python(), WAIT);
    let peer = caller.looked_up(BootTicks::now());
    let of_another = UnixPeer { uid: peer.uid + 1, ..peer };
    assert!(matches!(attested_with(true, &of_another), Err(AttestError::OtherUser)));
}

#[test]
fn a_process_whose_start_time_is_not_the_one_that_was_kept_is_not_the_caller() {
    let caller = Caller::run(&python(), WAIT);
    let peer = caller.looked_up(BootTicks::now());
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let older = BootTicks::of_start(UnixPeer::of(&ours).unwrap().pid).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    for started in [older, BootTicks::now()] {
        let accepted = BootTicks::now();
        let changed = PeerPidfd::LookedUp(LookedUp { started, accepted, ..found(&peer) });
        let changed = UnixPeer { pidfd: Some(changed), ..peer.clone() };
        assert!(matches!(attested_with(true, &changed), Err(AttestError::Gone)), "{changed:?}");
    }
}

#[test]
fn a_process_that_ended_after_the_lookup_is_gone_as_a_zombie_and_when_it_was_reaped() {
    let mut caller = Caller::run(&python(), WAIT);
    let peer = caller.looked_up(BootTicks::now());
    caller.child.kill().unwrap();
    wait_for_the_end(&peer);
    assert!(Path::new(&format!("/proc/{}/stat", peer.pid)).exists(), "this is to be tried on a zombie");
    assert!(matches!(attested_with(true, &peer), Err(AttestError::Gone)));
    let late = caller.looked_up(BootTicks::now());
    assert!(matches!(attested_with(true, &late), Err(AttestError::Gone)));
    caller.child.wait().unwrap();
    assert!(matches!(attested_with(true, &peer), Err(AttestError::Gone)));
}

#[test]
fn a_process_that_ended_before_the_lookup_leaves_no_handle() {
    let mut caller = Caller::run(&python(), WAIT);
    caller.kill();
    let peer = caller.looked_up(BootTicks::now());
    assert!(peer.pidfd.is_none());
    assert!(matches!(attested_with(true, &peer), Err(AttestError::NoPidfd)));
}

#[test]
fn a_handle_on_another_living_process_does_not_vouch_for_the_number_here_either() {
    let (one, other) = (Caller::run(&python(), WAIT), Caller::run(&python(), WAIT));
    let mixed = UnixPeer { pid: one.peer.pid, ..other.looked_up(BootTicks::now()) };
    assert!(matches!(attested_with(true, &mixed), Err(AttestError::Gone)));
}
