//! `docs/authzen.md` and `docs/authzen-callers.md` are run.

use crate::support::envoy::free_port;
use crate::support::guide::{blocks, run};

const GUIDE: &str = include_str!("../../docs/authzen.md");
const CALLERS: &str = include_str!("../../docs/authzen-callers.md");

/// The port in the guide for callers, in place of which a free one is taken.
const PORT: &str = "8443";

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_guide_prints_what_it_says() {
    whole(GUIDE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_guide_for_callers_prints_what_it_says() {
    whole(&CALLERS.replace(PORT, &free_port().to_string())).await;
}

async fn whole(guide: &str) {
    let (whole, parts): (Vec<_>, Vec<_>) =
        blocks(guide, "yaml").into_iter().partition(|block| block.starts_with("trust_domain:"));
    let [configuration] = whole[..] else { panic!("the guide has one configuration") };
    for part in parts {
        assert_loads(part);
    }
    let count = run(guide, configuration).await;
    assert!(count >= 10, "the guide is not understood: only {count} commands");
}

/// That a part of a configuration says nothing that is not understood.
fn assert_loads(part: &str) {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("portcullis.yaml");
    std::fs::write(&file, format!("trust_domain: example.org\n{part}")).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"));
    let output = command.args(["config", "check", "-c"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{part}\n{output:?}");
}
