//! `docs/authzen.md` is run: its configuration starts a gateway, its commands are sent, and what they print is compared.

use crate::support::guide::{blocks, run};

const GUIDE: &str = include_str!("../../docs/authzen.md");

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_guide_prints_what_it_says() {
    let [configuration] = blocks(GUIDE, "yaml")[..] else { panic!("the guide has one configuration") };
    let count = run(GUIDE, configuration).await;
    assert!(count >= 10, "the guide is not understood: only {count} commands");
}
