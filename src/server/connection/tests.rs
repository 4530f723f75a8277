use std::os::unix::net::UnixStream;

use super::*;

#[test]
fn a_socket_pair_is_of_this_very_process() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let peer = UnixPeer::of(&ours).unwrap();
    assert_eq!(peer.pid, i32::try_from(std::process::id()).unwrap());
    assert_eq!((peer.uid, peer.gid), (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()));
    assert!(peer.pidfd.is_some());
}

#[test]
fn a_socket_that_is_not_connected_has_no_peer() {
    let directory = tempfile::tempdir().unwrap();
    let socket = std::os::unix::net::UnixDatagram::bind(directory.path().join("alone")).unwrap();
    // The kernel says pid 0 and ids of -1, or no pidfd: never anything that could be taken for a process.
    if let Ok(peer) = UnixPeer::of(&socket) {
        assert!(peer.pid <= 0 && peer.pidfd.is_none());
    }
}
