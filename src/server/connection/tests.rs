use super::*;

/// The two ends of a connection within this process, and what an old or a new kernel would answer about one of them.
fn peer_with(pidfd: nix::Result<OwnedFd>) -> io::Result<UnixPeer> {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let credentials = getsockopt(&ours, sockopt::PeerCredentials).unwrap();
    UnixPeer::from_answers(credentials, pidfd, BootTicks::now())
}

#[test]
fn a_socket_pair_is_of_this_very_process() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let peer = UnixPeer::of(&ours).unwrap();
    assert_eq!(peer.pid, i32::try_from(std::process::id()).unwrap());
    assert_eq!((peer.uid, peer.gid), (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()));
    let vouched = matches!(peer.pidfd.unwrap(), PeerPidfd::Vouched(_));
    assert_eq!(vouched, UnixPeer::is_vouched_for().unwrap());
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

#[test]
fn what_the_kernel_vouches_for_is_taken_as_it_is() {
    let pidfd = OwnedFd::from(UnixStream::pair().unwrap().0);
    let peer = peer_with(Ok(pidfd)).unwrap();
    assert!(matches!(peer.pidfd, Some(PeerPidfd::Vouched(_))));
}

#[test]
fn a_kernel_without_the_option_leaves_a_lookup_by_number() {
    let peer = peer_with(Err(Errno::ENOPROTOOPT)).unwrap();
    assert_eq!(peer.pid, i32::try_from(std::process::id()).unwrap());
    let Some(PeerPidfd::LookedUp(found)) = peer.pidfd else { panic!("{peer:?}") };
    assert!(found.predates_accept());
    assert_eq!(found.started, BootTicks::of_start(peer.pid).unwrap());
}

/// The process with this id is alive, so a lookup would find it: the wrong one, if the kernel says that ours is gone.
#[test]
fn a_kernel_that_says_the_peer_is_gone_is_never_second_guessed() {
    for errno in [Errno::ESRCH, Errno::EINVAL, Errno::ENODATA] {
        assert!(peer_with(Err(errno)).unwrap().pidfd.is_none(), "{errno}");
    }
    for errno in [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::EPERM] {
        assert_eq!(peer_with(Err(errno)).unwrap_err().raw_os_error(), Some(errno as i32));
    }
}

#[test]
fn an_address_of_ipv6_stands_for_its_network_and_one_of_ipv4_for_itself() {
    let of = |address: &str| network(address.parse().unwrap());
    assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff:ffff:ffff:ffff"));
    assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    let connection = |address: &str| ConnectionInfo::of(Peer::Tcp(address.parse().unwrap()));
    let (one, other) = (connection("[2001:db8::1]:1"), connection("[2001:db8::2]:1"));
    assert_eq!(one.network(), other.network());
    assert_ne!(one.owner(), other.owner(), "who asks about requests is a proxy, and may have neighbours");
}
