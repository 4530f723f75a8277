//! A page of the documentation is run: its one whole configuration starts a gateway, its commands are sent, and what they
//! print is compared.

use std::os::unix::fs::symlink;
use std::process::Command;

use super::process::Process;
use super::{eventually, http, root};

/// Starts what `configuration` says and runs every command of the page. Returns how many there were.
pub(crate) async fn run(page: &str, configuration: &str) -> usize {
    let home = tempfile::Builder::new().prefix("pc-").tempdir_in("/tmp").unwrap();
    std::fs::write(home.path().join("portcullis.yaml"), configuration).unwrap();
    std::fs::create_dir(home.path().join("run")).unwrap();
    symlink(root().join("examples"), home.path().join("examples")).unwrap();
    let binary = env!("CARGO_BIN_EXE_portcullis");
    symlink(binary, home.path().join("portcullis")).unwrap();
    let mut command = Command::new(binary);
    command.args(["serve", "--config", "portcullis.yaml"]).current_dir(home.path());
    let mut gateway = Process::start(&mut command, &home.path().join("log"));
    eventually("the gateway of the guide is ready", async || {
        gateway.assert_running();
        (http::get_unix(&home.path().join("run/operations.sock"), "/readyz").await.status == 200).then_some(())
    })
    .await;
    let mut run = 0;
    for (command, printed) in blocks(page, "console").into_iter().flat_map(commands) {
        let script = format!("PATH=\"$PWD:$PATH\"\n{command}");
        let output = Command::new("sh").args(["-c", &script]).current_dir(home.path()).output().unwrap();
        let refused = output.status.code() == Some(1) && command.ends_with("2>&1");
        assert!(output.status.success() || refused, "{command}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), printed.trim_end(), "{command}");
        run += 1;
    }
    run
}

/// The contents of the blocks in this language.
pub(crate) fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The commands of a console block, each with what it prints. A command goes on to the next line in a quotation, after a
/// backslash, and to the end of a text that it is given.
pub(crate) fn commands(block: &str) -> Vec<(String, String)> {
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
