use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::*;

fn unix(path: &Path) -> ListenAddress {
    ListenAddress::Unix { path: path.to_owned(), mode: None }
}

fn bind(
    address: &ListenAddress,
    mode: u32,
    takeover: bool,
    inherited: &mut InheritedSockets,
) -> Result<Bound, BindError> {
    prepare(address, mode, takeover, inherited)?.publish()
}

fn bind_unix(path: &Path, takeover: bool) -> Result<Bound, BindError> {
    bind(&unix(path), 0o660, takeover, &mut InheritedSockets::default())
}

fn release(bound: Bound) {
    let Origin::OwnPath(claim) = bound.origin else { panic!("a path was bound") };
    claim.release().unwrap();
}

fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn addresses_read_and_print() {
    for text in [
        "tcp:127.0.0.1:9191",
        "tcp:[::1]:0",
        "unix:/run/portcullis/sds.sock",
        "unix:/run/s?mode=0660",
        "unix:/a b/ü",
        "fd:sds",
    ] {
        assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
    }
    assert_eq!("unix:/s?mode=7".parse::<ListenAddress>().unwrap().to_string(), "unix:/s?mode=0007");
}

#[test]
fn what_is_not_an_address_says_what_one_looks_like() {
    use ListenAddressError as Error;

    for (text, error) in [
        ("", Error::Scheme),
        ("/run/s", Error::Scheme),
        ("TCP:127.0.0.1:1", Error::Scheme),
        ("tcp:localhost:80", Error::Tcp),
        ("tcp:127.0.0.1", Error::Tcp),
        ("tcp:127.0.0.1:65536", Error::Tcp),
        ("tcp:::1:80", Error::Tcp),
        ("unix:run/s", Error::Path),
        ("unix:", Error::Path),
        ("unix:/", Error::Path),
        ("unix:/run/", Error::Path),
        ("unix:/run/..", Error::Path),
        ("unix:/run/s\0", Error::Path),
        ("unix:///run/s\n", Error::Path),
        ("unix:/s?", Error::Mode),
        ("unix:/s?mode=", Error::Mode),
        ("unix:/s?mode=888", Error::Mode),
        ("unix:/s?mode=+66", Error::Mode),
        ("unix:/s?mode=1777", Error::Mode),
        ("unix:/s?mode=00660", Error::Mode),
        ("unix:/s?mode=0660&x=1", Error::Mode),
        ("unix:/s?owner=0", Error::Mode),
        ("fd:", Error::Name),
        ("fd:a:b", Error::Name),
        ("fd:ü", Error::Name),
    ] {
        assert_eq!(text.parse::<ListenAddress>(), Err(error), "{text}");
    }
}

proptest! {
    #[test]
    fn whatever_reads_prints_as_something_that_reads_the_same(text in "(tcp|unix|fd):(/[a-z./?=0-7mode]{0,20}|.{0,20})") {
        if let Ok(address) = text.parse::<ListenAddress>() {
            prop_assert_eq!(address.to_string().parse::<ListenAddress>(), Ok(address));
        }
    }
}

#[test]
fn port_0_becomes_a_real_port() {
    for address in ["tcp:127.0.0.1:0", "tcp:[::1]:0"] {
        let bound = bind(&address.parse().unwrap(), 0o660, false, &mut InheritedSockets::default()).unwrap();
        let real = bound.tcp_address().unwrap();
        assert_ne!(real.port(), 0);
        assert_eq!(bound.to_string(), format!("tcp:{real}"));
        std::net::TcpStream::connect(real).unwrap();
    }
}

#[test]
fn a_socket_gets_its_mode_and_its_missing_directories_0755() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/sock");
    let bound = bind_unix(&path, false).unwrap();
    assert_eq!(mode_of(&path), 0o660);
    assert_eq!(mode_of(path.parent().unwrap()), 0o755);
    assert_eq!(mode_of(&directory.path().join("a")), 0o755);
    assert_eq!(bound.to_string(), format!("unix:{}", path.display()));

    let other = directory.path().join("other");
    let address = format!("unix:{}?mode=0606", other.display()).parse().unwrap();
    bind(&address, 0o660, false, &mut InheritedSockets::default()).unwrap();
    assert_eq!(mode_of(&other), 0o606);
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "a draft was left behind: {left:?}");
}

#[test]
fn a_path_of_107_bytes_is_fine_and_one_of_108_an_error_that_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let room = 107 - directory.path().as_os_str().len() - 1;
    let path = directory.path().join("s".repeat(room));
    let _bound = bind_unix(&path, false).unwrap();
    UnixStream::connect(&path).unwrap();

    let path = directory.path().join("s".repeat(room + 1));
    let error = bind_unix(&path, false).unwrap_err();
    assert!(matches!(error, BindError::PathTooLong { .. }));
    assert!(error.to_string().contains("107"), "{error}");
}

#[test]
fn a_stale_socket_is_replaced_and_so_is_a_stale_draft() {
    let directory = tempfile::tempdir().unwrap();
    let (path, draft) = (directory.path().join("sock"), directory.path().join(".sock"));
    drop(UnixListener::bind(&path).unwrap());
    drop(UnixListener::bind(&draft).unwrap());
    let _bound = bind_unix(&path, false).unwrap();
    UnixStream::connect(&path).unwrap();
    assert!(!draft.exists());
}

#[test]
fn a_live_socket_is_refused_without_takeover() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sock");
    let first = bind_unix(&path, false).unwrap();
    assert!(matches!(bind_unix(&path, false), Err(BindError::Live(live)) if live == path));
    UnixStream::connect(&path).unwrap();
    release(first);
    assert!(!path.exists());
}

/// Found by attack: a successor that failed half way through its start left its predecessor without sockets.
#[test]
fn what_is_prepared_changes_nothing_until_it_is_published() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sock");
    let prepare_unix = |takeover| prepare(&unix(&path), 0o660, takeover, &mut InheritedSockets::default());
    let first = bind_unix(&path, false).unwrap();
    let inode = fs::metadata(&path).unwrap().ino();

    let successor = prepare_unix(true).unwrap();
    assert!(matches!(prepare_unix(true), Err(BindError::Starting(starting)) if starting == path));
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    drop(successor);
    assert_eq!((fs::metadata(&path).unwrap().ino(), fs::read_dir(directory.path()).unwrap().count()), (inode, 1));

    let successor = prepare_unix(true).unwrap().publish().unwrap();
    release(first);
    assert_ne!(fs::metadata(&path).unwrap().ino(), inode);
    release(successor);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_process_that_hangs_with_a_full_queue_is_alive() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sock");
    let listener = UnixListener::bind(&path).unwrap();
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let _queued = UnixStream::connect(&path).unwrap();
    assert!(matches!(bind_unix(&path, false), Err(BindError::Live(_))));
}

#[test]
fn nothing_but_a_stale_socket_is_ever_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("file"), "precious").unwrap();
    fs::create_dir(at("directory")).unwrap();
    drop(UnixListener::bind(at("stale")).unwrap());
    symlink(at("stale"), at("link")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    for name in ["file", "directory", "link", "dangling"] {
        for takeover in [false, true] {
            let error = bind_unix(&at(name), takeover).unwrap_err();
            assert!(matches!(&error, BindError::NotASocket(path) if *path == at(name)), "{name}: {error}");
        }
    }
    assert_eq!(fs::read(at("file")).unwrap(), b"precious");
    assert!(at("directory").is_dir() && at("link").is_symlink() && at("dangling").is_symlink() && at("stale").exists());

    fs::write(at(".draft"), "precious").unwrap();
    assert!(matches!(bind_unix(&at("draft"), true), Err(BindError::NotASocket(path)) if path == at(".draft")));
    assert_eq!(fs::read(at(".draft")).unwrap(), b"precious");

    let _datagram = UnixDatagram::bind(at("datagram")).unwrap();
    let inode = fs::metadata(at("datagram")).unwrap().ino();
    assert!(bind_unix(&at("datagram"), true).is_err());
    assert_eq!(fs::metadata(at("datagram")).unwrap().ino(), inode);
}

#[test]
fn a_takeover_never_leaves_the_path_without_a_listener_or_with_a_wrong_mode() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sock");
    let mut current = bind_unix(&path, false).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let client = std::thread::spawn({
        let (path, done) = (path.clone(), Arc::clone(&done));
        move || {
            let mut connects = 0;
            while !done.load(Ordering::Relaxed) {
                assert_eq!(mode_of(&path), 0o660);
                UnixStream::connect(&path).unwrap();
                connects += 1;
            }
            connects
        }
    });
    for _takeover in 0..200 {
        let next = bind_unix(&path, true).unwrap();
        // The predecessor, told to end, leaves alone what is not its own any more.
        release(std::mem::replace(&mut current, next));
    }
    done.store(true, Ordering::Relaxed);
    assert!(client.join().unwrap() > 0);
    release(current);
    assert!(!path.exists());
}

#[test]
fn a_directory_that_stays_locked_is_an_error_and_keeps_the_path() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sock");
    let bound = bind_unix(&path, false).unwrap();
    let held = fs::File::open(directory.path()).unwrap();
    held.lock().unwrap();
    assert!(matches!(bind_unix(&path, true), Err(BindError::Locked(locked)) if locked == directory.path()));
    release(bound);
    assert!(path.exists());
}

fn inherited_unix(name: &str, path: &Path) -> (String, Socket) {
    (name.to_owned(), Socket::Unix(UnixListener::bind(path).unwrap()))
}

#[test]
fn an_inherited_socket_is_found_by_name_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sock");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp_address = tcp.local_addr().unwrap();
    let sockets = [inherited_unix("sds", &path), ("authz".to_owned(), Socket::Tcp(tcp))];
    let mut inherited = InheritedSockets::named(sockets).unwrap();

    let bound = bind(&"fd:authz".parse().unwrap(), 0o660, false, &mut inherited).unwrap();
    assert_eq!(bound.tcp_address(), Some(tcp_address));
    let bound = bind(&"fd:sds".parse().unwrap(), 0o660, false, &mut inherited).unwrap();
    assert_eq!(bound.to_string(), format!("unix:{}", path.display()));
    let again = bind(&"fd:sds".parse().unwrap(), 0o660, false, &mut inherited);
    assert!(matches!(again, Err(BindError::NotInherited(name)) if name == "sds"));
    inherited.finish().unwrap();
}

#[test]
fn an_inherited_socket_that_no_listener_names_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let inherited = InheritedSockets::named([inherited_unix("sdss", &directory.path().join("sock"))]).unwrap();
    assert!(inherited.finish().unwrap_err().to_string().contains("`fd:sdss`"));
}

#[test]
fn two_inherited_sockets_of_one_name_or_one_that_does_not_listen_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let twice = InheritedSockets::named([inherited_unix("sds", &at("1")), inherited_unix("sds", &at("2"))]);
    assert!(twice.unwrap_err().to_string().contains("two of them are named `sds`"));

    let (connected, _other) = UnixStream::pair().unwrap();
    let connected = Socket::Unix(UnixListener::from(std::os::fd::OwnedFd::from(connected)));
    let deaf = InheritedSockets::named([("sds".to_owned(), connected)]);
    assert!(deaf.unwrap_err().to_string().contains("does not listen"));
}

#[test]
fn without_the_variables_nothing_is_inherited() {
    InheritedSockets::from_environment(&|_name| None).unwrap().finish().unwrap();
}

/// Starts this test binary as a supervisor would, with two sockets, to run the test below.
const SUPERVISOR: &str = "
import fcntl, os, socket, sys
directory, test, name = sys.argv[1:]
u = socket.socket(socket.AF_UNIX); u.bind(directory + '/sock'); u.listen()
t = socket.socket(); t.bind(('127.0.0.1', 0)); t.listen()
out_of_the_way = [fcntl.fcntl(s.fileno(), fcntl.F_DUPFD, 100) for s in (u, t)]
for target, fd in enumerate(out_of_the_way, 3): os.dup2(fd, target)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2', LISTEN_FDNAMES='sds:authz')
if name == 'inherits_nothing': del os.environ['LISTEN_PID']
os.execv(test, [test, '--exact', '--ignored', '--nocapture', 'server::listener::tests::' + name])
";

/// The supervisor, about to run the test called `name`, with its socket `sock` in `directory`.
fn supervisor(directory: &Path, name: &str) -> Command {
    let mut command = Command::new("python3");
    command.args(["-c", SUPERVISOR]).arg(directory).arg(std::env::current_exe().unwrap()).arg(name);
    command
}

/// What the environment says of two sockets for the process `pid`.
fn two_sockets_for(pid: Option<&str>) -> impl Fn(&str) -> Option<String> {
    move |name| match name {
        "LISTEN_FDS" => Some("2".to_owned()),
        "LISTEN_FDNAMES" => Some("sds:authz".to_owned()),
        "LISTEN_PID" => pid.map(str::to_owned),
        _ => None,
    }
}

#[test]
fn sockets_of_a_real_supervisor_are_adopted() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = supervisor(directory.path(), "inherits_from_a_supervisor");
    let child = child.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut tries = std::iter::repeat_with(|| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        UnixStream::connect(directory.path().join("sock"))
    });
    let mut client = tries.by_ref().take(1000).find_map(Result::ok).expect("the supervisor did not start");
    let mut greeting = String::new();
    client.read_to_string(&mut greeting).unwrap();
    let output = child.wait_with_output().unwrap();
    let output = String::from_utf8_lossy(&output.stdout);
    assert_eq!(greeting, "hello", "{output}");
    assert!(output.contains("1 passed"), "{output}");
}

#[test]
#[ignore = "run by `sockets_of_a_real_supervisor_are_adopted`, which passes it the sockets"]
fn inherits_from_a_supervisor() {
    let pid = std::process::id().to_string();
    let mut inherited = InheritedSockets::from_environment(&two_sockets_for(Some(&pid))).unwrap();
    let tcp = bind(&"fd:authz".parse().unwrap(), 0o660, false, &mut inherited).unwrap();
    assert!(tcp.tcp_address().is_some());
    let bound = bind(&"fd:sds".parse().unwrap(), 0o660, false, &mut inherited).unwrap();
    inherited.finish().unwrap();
    let Socket::Unix(listener) = bound.socket else { panic!("`sds` is a Unix socket") };
    listener.accept().unwrap().0.write_all(b"hello").unwrap();
}

#[test]
fn sockets_of_another_process_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let output = supervisor(directory.path(), "inherits_nothing").output().unwrap();
    let output = String::from_utf8_lossy(&output.stdout);
    assert!(output.contains("1 passed"), "{output}");
}

/// Descriptors 3 and 4 are sockets, and the real environment has `LISTEN_FDS` but no `LISTEN_PID`.
#[test]
#[ignore = "run by `sockets_of_another_process_are_left_alone`, which passes it the sockets"]
fn inherits_nothing() {
    let (ours, parent) = (std::process::id(), std::os::unix::process::parent_id());
    let others = [parent.to_string(), format!("{ours}0"), format!(" {ours}"), format!("-{ours}"), "0".to_owned()];
    for pid in [None, Some(""), Some("self")].into_iter().chain(others.iter().map(|pid| Some(pid.as_str()))) {
        let inherited = InheritedSockets::from_environment(&two_sockets_for(pid)).unwrap();
        inherited.finish().unwrap_or_else(|error| panic!("LISTEN_PID={pid:?}: {error}"));
    }
    // They are there, and to be had with the right id.
    let inherited = InheritedSockets::from_environment(&two_sockets_for(Some(&ours.to_string()))).unwrap();
    assert!(inherited.finish().unwrap_err().to_string().contains("`fd:sds`"));
}

#[test]
fn a_tcp_port_is_shared_with_a_successor_and_with_nobody_else() {
    let bind_to =
        |address: &str, takeover| bind(&address.parse().unwrap(), 0o600, takeover, &mut InheritedSockets::default());
    let first = bind_to("tcp:127.0.0.1:0", false).unwrap();
    let address = first.to_string();
    let mistake = bind_to(&address, false).unwrap_err();
    assert!(mistake.to_string().contains(&address), "{mistake}");
    let successor = bind_to(&address, true).unwrap();
    assert_eq!(successor.tcp_address(), first.tcp_address());
}
