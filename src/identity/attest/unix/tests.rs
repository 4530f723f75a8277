use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::procfs::{parse_groups, parse_user_ids};
use super::*;
use crate::foundation::clock::{ManualClock, SystemClock, Timestamp};
use crate::foundation::digest::Digest;
use crate::server::BootTicks;

mod lookup;

/// Connects to the socket in `argv[1]`, then does what the script that follows says.
const CONNECT: &str = "import os, socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n";

/// A child process that has called us, and ends when dropped.
struct Caller {
    child: Child,
    peer: UnixPeer,
    connection: UnixStream,
    _directory: TempDir,
}

impl Caller {
    /// Runs `program`, a Python, with `script` after the connect; `prepare` sees the command first.
    fn run_with(program: &Path, script: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sock");
        let listener = UnixListener::bind(&path).unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        let mut command = Command::new(program);
        command.args(["-c", &format!("{CONNECT}{script}")]).arg(&path);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        prepare(&mut command);
        let child = spawn(&mut command);
        let (connection, _) = listener.accept().unwrap();
        let peer = UnixPeer::of(&connection).unwrap();
        Self { child, peer, connection, _directory: directory }
    }

    fn run(program: &Path, script: &str) -> Self {
        Self::run_with(program, script, |_command| {})
    }

    /// Waits for a line of the child's output.
    fn line(&mut self) {
        let mut line = String::new();
        BufReader::new(self.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the child ended without a word");
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}

/// What a kernel since Linux 6.5 would make of `peer`, whichever this one is.
fn vouched_for(peer: &UnixPeer) -> UnixPeer {
    let pidfd = peer.pidfd.as_ref().unwrap().as_fd().try_clone_to_owned().unwrap();
    UnixPeer { pidfd: Some(PeerPidfd::Vouched(Arc::new(pidfd))), ..peer.clone() }
}

/// Waits until the process is at least a zombie.
fn wait_for_the_end(peer: &UnixPeer) {
    let mut ended = [PollFd::new(peer.pidfd.as_ref().unwrap().as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut ended, PollTimeout::try_from(Duration::from_secs(10)).unwrap()), Ok(1));
}

/// Starts a program that may just have been written. A test beside this one that forks in that moment keeps the file open
/// for writing until its own `exec`, and so busy.
fn spawn(command: &mut Command) -> Child {
    loop {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(Duration::from_millis(5));
            }
            spawned => return spawned.unwrap(),
        }
    }
}

const WAIT: &str = "sys.stdin.read()";

/// All that is not about the origin of handles is true on old kernels too.
const LENIENT: UnixAttestConfig = UnixAttestConfig { max_executable_size: u64::MAX, accept_pid_lookup: true };

fn attestor() -> UnixAttestor {
    UnixAttestor::new(LENIENT, Arc::new(SystemClock::new()))
}

fn attest(peer: &UnixPeer) -> BTreeSet<String> {
    attestor().attest(peer, true).unwrap().selectors.iter().map(ToString::to_string).collect()
}

fn only(selectors: &BTreeSet<String>, prefix: &str) -> Vec<String> {
    selectors.iter().filter_map(|selector| selector.strip_prefix(prefix).map(str::to_owned)).collect()
}

/// The real file behind `python3`.
fn python() -> PathBuf {
    let found =
        Command::new("python3").args(["-c", "import os, sys; print(os.path.realpath(sys.executable))"]).output();
    PathBuf::from(String::from_utf8(found.unwrap().stdout).unwrap().trim())
}

/// A copy of Python with another name.
fn python_called(name: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join(name);
    fs::copy(python(), &copy).unwrap();
    (directory, copy)
}

fn sha256_of(path: &Path) -> String {
    Digest::of(&fs::read(path).unwrap()).to_string()
}

#[test]
fn our_own_process_has_exactly_the_selectors_that_spire_would_give_it() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let selectors = attest(&UnixPeer::of(&ours).unwrap());

    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let executable = std::env::current_exe().unwrap().canonicalize().unwrap();
    let mut expected = BTreeSet::from([
        format!("unix:uid:{uid}"),
        format!("unix:gid:{gid}"),
        format!("unix:path:{}", executable.display()),
        format!("unix:sha256:{}", sha256_of(&executable)),
    ]);
    expected.extend(User::from_uid(uid).unwrap().map(|user| format!("unix:user:{}", user.name)));
    expected.extend(Group::from_gid(gid).unwrap().map(|group| format!("unix:group:{}", group.name)));
    for gid in nix::unistd::getgroups().unwrap() {
        expected.insert(format!("unix:supplementary_gid:{gid}"));
        let group = Group::from_gid(gid).unwrap();
        expected.extend(group.map(|group| format!("unix:supplementary_group:{}", group.name)));
    }
    assert_eq!(selectors, expected);
}

#[test]
fn the_digest_is_taken_only_when_asked_for() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let found = attestor().attest(&UnixPeer::of(&ours).unwrap(), false).unwrap();
    assert!(found.selectors.iter().all(|selector| !selector.value().starts_with("sha256:")));
    assert_eq!(found.pid, i32::try_from(std::process::id()).unwrap());
}

#[test]
fn hard_links_of_one_executable_are_told_apart_by_path() {
    let (directory, web) = python_called("web");
    let batch = directory.path().join("batch");
    fs::hard_link(&web, &batch).unwrap();
    let (first, second) = (Caller::run(&web, WAIT), Caller::run(&batch, WAIT));
    let (first, second) = (attest(&first.peer), attest(&second.peer));
    assert_eq!(only(&first, "unix:path:"), [web.canonicalize().unwrap().display().to_string()]);
    assert_eq!(only(&second, "unix:path:"), [batch.canonicalize().unwrap().display().to_string()]);
    assert_eq!(only(&first, "unix:sha256:"), [sha256_of(&web)]);
    assert_eq!(only(&first, "unix:sha256:"), only(&second, "unix:sha256:"));
}

#[test]
fn a_caller_that_has_ended_is_gone_although_its_socket_lives_on() {
    // The parent connects and ends at once; the child keeps the socket, and so the connection, open.
    let mut caller = Caller::run(&python(), "if os.fork(): os._exit(0)\nsys.stdin.read()");
    caller.child.stdin.as_mut().unwrap().write_all(b" ").unwrap();
    let mut stdin = caller.child.stdin.take().unwrap();
    // A zombie still has its id and its entries in procfs, and must be gone all the same.
    wait_for_the_end(&caller.peer);
    assert!(Path::new(&format!("/proc/{}/status", caller.peer.pid)).exists());
    assert!(matches!(attestor().attest(&caller.peer, false), Err(AttestError::Gone)));
    caller.child.wait().unwrap();
    assert!(matches!(attestor().attest(&caller.peer, false), Err(AttestError::Gone)));
    stdin.write_all(b"\n").unwrap();
}

#[test]
fn a_process_that_got_the_number_of_a_caller_that_ended_inherits_nothing() {
    let mut ended = Caller::run(&python(), WAIT);
    ended.kill();
    let heir = Caller::run(&python(), WAIT);
    let reused = UnixPeer { pid: heir.peer.pid, ..ended.peer.clone() };
    assert!(matches!(attestor().attest(&reused, false), Err(AttestError::Gone)));
}

#[test]
fn a_handle_on_another_living_process_does_not_vouch_for_the_number() {
    let (one, other) = (Caller::run(&python(), WAIT), Caller::run(&python(), WAIT));
    let mixed = UnixPeer { pid: one.peer.pid, ..other.peer.clone() };
    assert!(matches!(attestor().attest(&mixed, false), Err(AttestError::Gone)));
}

#[test]
fn without_a_handle_or_a_visible_number_there_is_no_answer_at_all() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let peer = UnixPeer::of(&ours).unwrap();
    let without = UnixPeer { pidfd: None, ..peer.clone() };
    assert!(matches!(attestor().attest(&without, false), Err(AttestError::NoPidfd)));
    let invisible = UnixPeer { pid: 0, ..peer };
    assert!(matches!(attestor().attest(&invisible, false), Err(AttestError::Invisible)));
}

#[test]
fn a_caller_that_executes_another_program_is_that_program() {
    let (_directory, next) = python_called("next");
    let script = "sys.stdin.readline()\nos.set_inheritable(s.fileno(), True)\n\
                  os.execv(os.environ['NEXT'], ['next', '-c', 'import sys; print(1, flush=True); sys.stdin.read()'])";
    let mut caller = Caller::run_with(&python(), script, |command| {
        command.env("NEXT", &next);
    });
    assert_eq!(only(&attest(&caller.peer), "unix:path:"), [python().display().to_string()]);
    caller.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    caller.line();
    assert_eq!(only(&attest(&caller.peer), "unix:path:"), [next.canonicalize().unwrap().display().to_string()]);
}

#[test]
fn a_deleted_executable_has_a_digest_but_no_path() {
    let (_directory, copy) = python_called("upgraded");
    let caller = Caller::run(&copy, WAIT);
    let digest = sha256_of(&copy);
    fs::remove_file(&copy).unwrap();
    let selectors = attest(&caller.peer);
    assert_eq!(only(&selectors, "unix:path:"), [""; 0]);
    assert_eq!(only(&selectors, "unix:sha256:"), std::slice::from_ref(&digest));
    // Nor does a file that takes the name of the old one, or the name that procfs shows now, lend it its path.
    fs::write(&copy, "another").unwrap();
    fs::write(copy.with_file_name("upgraded (deleted)"), "another").unwrap();
    assert_eq!(only(&attest(&caller.peer), "unix:path:"), [""; 0]);
    assert_eq!(only(&attest(&caller.peer), "unix:sha256:"), [digest]);
}

/// Without the check every user could run anything as `/usr/bin/envoy`: user namespaces let anybody mount.
#[test]
fn a_path_from_a_mount_namespace_of_the_callers_own_is_not_believed() {
    let (directory, evil) = python_called("evil");
    let honoured = directory.path().join("honoured");
    fs::create_dir(&honoured).unwrap();
    fs::copy(python(), honoured.join("envoy")).unwrap();
    let claimed = honoured.join("envoy");
    let mounts = "mount --bind \"$EVIL\" \"$CLAIMED\" && exec \"$CLAIMED\" \"$@\"";
    let unshare = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user"]).args(arguments);
        command
    };
    assert!(
        unshare(&["true"]).status().is_ok_and(|status| status.success()),
        "this test needs user and mount namespaces (util-linux, kernel.unprivileged_userns_clone)"
    );
    let caller = Caller::run_with(Path::new("unshare"), WAIT, |command| {
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let mut wrapped = unshare(&["sh", "-c", mounts, "sh"]);
        wrapped.args(arguments).env("EVIL", &evil).env("CLAIMED", &claimed);
        wrapped.stdin(Stdio::piped()).stdout(Stdio::piped());
        *command = wrapped;
    });
    let shown = fs::read_link(format!("/proc/{}/exe", caller.peer.pid)).unwrap();
    assert_eq!(shown, claimed.canonicalize().unwrap(), "the disguise did not work");
    assert_eq!(only(&attest(&caller.peer), "unix:path:"), [""; 0]);
}

#[test]
fn names_with_parentheses_spaces_and_line_breaks_forge_nothing() {
    for name in ["a) R 1 2 (b", ") S 1", "x\nGroups:\t0 7", "x\nUid:\t7 7 7 7", "\u{1}(("] {
        let (_directory, copy) = python_called(name);
        let before = BootTicks::now();
        let caller = Caller::run(&copy, WAIT);
        let process = Process::new(caller.peer.pid);
        let started = process.start_time().unwrap();
        assert!((before..=BootTicks::now()).contains(&started), "{name:?}: {started:?}");
        let user = nix::unistd::getuid().as_raw();
        assert_eq!(process.user_ids().unwrap(), UserIds { real: user, effective: user }, "{name:?}");
        let groups: BTreeSet<u32> = nix::unistd::getgroups().unwrap().into_iter().map(Gid::as_raw).collect();
        assert_eq!(process.supplementary_groups().unwrap(), groups, "{name:?}");
        attest(&caller.peer);
    }
}

/// A process that has changed its user since it connected still speaks for the one that connected, if the kernel vouches
/// for it.
#[test]
fn the_ids_are_those_of_the_connect_and_an_id_without_a_name_has_none() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let peer = UnixPeer { uid: 54_321, gid: 54_322, ..vouched_for(&UnixPeer::of(&ours).unwrap()) };
    let selectors = attest(&peer);
    assert_eq!(only(&selectors, "unix:uid:"), ["54321"]);
    assert_eq!(only(&selectors, "unix:gid:"), ["54322"]);
    assert_eq!(only(&selectors, "unix:user:"), [""; 0]);
    assert_eq!(only(&selectors, "unix:group:"), [""; 0]);
}

#[test]
fn an_executable_over_the_limit_is_not_hashed() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let peer = UnixPeer::of(&ours).unwrap();
    let size = fs::metadata(std::env::current_exe().unwrap()).unwrap().len();
    let hashed = |max_executable_size| {
        let attestor =
            UnixAttestor::new(UnixAttestConfig { max_executable_size, ..LENIENT }, Arc::new(SystemClock::new()));
        let found = attestor.attest(&peer, true).unwrap();
        found.selectors.iter().any(|selector| selector.value().starts_with("sha256:"))
    };
    assert!(hashed(size));
    assert!(!hashed(size - 1));
}

#[test]
fn a_digest_is_remembered_only_once_the_file_has_been_still_for_a_while() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("program");
    fs::write(&path, "one").unwrap();
    let file = File::open(&path).unwrap();
    let changed = file.metadata().unwrap();
    let changed = Timestamp::from_unix_seconds(changed.ctime())
        .after(Duration::from_nanos(u64::try_from(changed.ctime_nsec()).unwrap()));
    let clock = Arc::new(ManualClock::new(changed));
    let digests = Digests::new(1024, Arc::<ManualClock>::clone(&clock));

    assert_eq!(digests.of(&file).unwrap().unwrap().as_ref(), sha256_of(&path));
    assert!(!digests.remembers(&file), "it could change again without a trace");
    clock.advance(Duration::from_secs(3));
    digests.of(&file).unwrap();
    assert!(digests.remembers(&file));
    std::thread::sleep(Duration::from_millis(50));
    fs::write(&path, "two").unwrap();
    assert!(!digests.remembers(&file));
    assert_eq!(digests.of(&File::open(&path).unwrap()).unwrap().unwrap().as_ref(), sha256_of(&path));
}

#[test]
fn a_status_without_four_user_ids_is_an_error() {
    let ids = UserIds { real: 1, effective: 2 };
    assert_eq!(parse_user_ids(b"Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n"), Some(ids));
    for status in
        [&b"Name:\tx\n"[..], b"Uid:\t\n", b"Uid:\t1\t2\t3\n", b"Uid:\t1\t2\t3\t4\t5\n", b"Uid:\t1\t-2\t3\t4\n"]
    {
        assert_eq!(parse_user_ids(status), None, "{status:?}");
    }
}

#[test]
fn a_status_without_groups_is_an_error_and_an_empty_list_is_none() {
    assert_eq!(parse_groups(b"Name:\tx\nGroups:\t\n"), Some(BTreeSet::new()));
    assert_eq!(parse_groups(b"Name:\tx\nGroups:\t4 20 \n"), Some(BTreeSet::from([4, 20])));
    assert_eq!(parse_groups(b"Name:\tx\n"), None);
    assert_eq!(parse_groups(b"Groups:\t-1\n"), None);
}

proptest! {
    #[test]
    fn nothing_makes_the_parsers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _any = (parse_user_ids(&bytes), parse_groups(&bytes));
    }
}
