//! A child process that ends with its owner and keeps what it said.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::eventually;

/// A running child, with its output in a file.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, its output appended to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        Self { child, log: log.to_owned() }
    }

    /// Starts `command` with standard error a pipe that nobody reads, until [`Self::hang_up`] closes it.
    pub(crate) fn start_unheard(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        Self { child, log: "/dev/null".into() }
    }

    /// Closes the reading end of an unheard process's standard error.
    pub(crate) fn hang_up(&mut self) {
        drop(self.child.stderr.take());
    }

    /// Everything said so far.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Fails with the output if the process has ended.
    pub(crate) fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("ended with {status}; it said:\n{}", self.output());
        }
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        kill(self.pid(), Signal::SIGTERM).unwrap();
    }

    /// Asks it to start its program again, if it is a service manager.
    pub(crate) fn start_again(&self) {
        kill(self.pid(), Signal::SIGHUP).unwrap();
    }

    /// Ends it as a power cut would: no handler runs.
    pub(crate) fn kill_hard(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The file system as it sees it.
    pub(crate) fn root(&self) -> PathBuf {
        format!("/proc/{}/root", self.pid()).into()
    }

    /// Runs a script about a directory where it is: in its own view of the file systems.
    pub(crate) fn run_beside(&self, script: &str, directory: &Path) {
        let mut command = Command::new("nsenter");
        command.args(["-U", "-m", "--preserve-credentials", "-t", &self.pid().to_string(), "sh", "-ec", script, "sh"]);
        let output = command.arg(directory).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        eventually("the process has ended", async || self.child.try_wait().unwrap()).await
    }

    /// Whether it ends within `limit`.
    pub(crate) async fn ends_within(&mut self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.ended()).await.is_ok()
    }

    /// How much memory it has, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// How many files it has open.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _already_ended = self.child.kill();
        let _status = self.child.wait();
        if std::thread::panicking() {
            let said = self.output();
            let tail: Vec<_> = said.lines().rev().take(40).collect();
            eprintln!("--- {}", self.log.display());
            for line in tail.into_iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}
