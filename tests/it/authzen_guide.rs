//! `docs/authzen.md` and `docs/authzen-callers.md` are run: their configuration starts a gateway, their commands are sent, and
//! what they print is compared.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::support::envoy::free_port;
use crate::support::process::Process;
use crate::support::{eventually, http, root};

const GUIDE: &str = include_str!("../../docs/authzen.md");
const CALLERS: &str = include_str!("../../docs/authzen-callers.md");

/// The port in the guide, in place of which a free one is taken.
const PORT: &str = "8443";

/// The contents of the blocks in this language.
fn blocks<'g>(guide: &'g str, language: &str) -> Vec<&'g str> {
    let fence = format!("```{language}\n");
    guide.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The commands of a console block, each with what it prints. A command goes on to the next line in a quotation, after a
/// backslash, and to the end of a text that it is given.
fn commands(block: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    let mut goes_on = false;
    for line in block.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push((command.to_owned(), String::new())),
            None if goes_on => commands.last_mut().unwrap().0.extend(["\n", line]),
            None => commands.last_mut().unwrap().1.extend([line, "\n"]),
        }
        let quotes = commands.last().unwrap().0.matches('\'').count();
        let command = &commands.last().unwrap().0;
        let within = command.contains("<<'END'") && !command.ends_with("\nEND");
        goes_on =
            commands.last().unwrap().1.is_empty() && (within || line.ends_with('\\') || !quotes.is_multiple_of(2));
    }
    commands
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_guide_prints_what_it_says() {
    run(GUIDE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_guide_for_callers_prints_what_it_says() {
    run(&CALLERS.replace(PORT, &free_port().to_string())).await;
}

async fn run(guide: &str) {
    let home = tempfile::Builder::new().prefix("pc-").tempdir_in("/tmp").unwrap();
    let [configuration] = blocks(guide, "yaml")[..] else { panic!("the guide has one configuration") };
    std::fs::write(home.path().join("portcullis.yaml"), configuration).unwrap();
    std::fs::create_dir(home.path().join("run")).unwrap();
    symlink(root().join("examples"), home.path().join("examples")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(["serve", "--config", "portcullis.yaml"]).current_dir(home.path());
    let mut gateway = Process::start(&mut command, &home.path().join("log"));
    eventually("the gateway of the guide is ready", async || {
        gateway.assert_running();
        (http::get_unix(&home.path().join("run/operations.sock"), "/readyz").await.status == 200).then_some(())
    })
    .await;
    let binaries = Path::new(env!("CARGO_BIN_EXE_portcullis")).parent().unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", binaries.display());
    let mut run = 0;
    for (command, printed) in blocks(guide, "console").into_iter().flat_map(commands) {
        let mut shell = Command::new("sh");
        let output = shell.args(["-c", &command]).env("PATH", &path).current_dir(home.path()).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), printed.trim_end(), "{command}");
        run += 1;
    }
    assert!(run >= 10, "the guide is not understood: only {run} commands");
}
