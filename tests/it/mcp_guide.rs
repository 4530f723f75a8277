//! `docs/mcp.md` is run, and the files of its example are what its commands make.

use crate::support::guide::{blocks, run};
use crate::support::root;

const GUIDE: &str = include_str!("../../docs/mcp.md");

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_mcp_guide_prints_what_it_says() {
    let configurations = blocks(GUIDE, "yaml").into_iter().filter(|block| block.starts_with("trust_domain:"));
    let [configuration] = configurations.collect::<Vec<_>>()[..] else { panic!("the guide has one configuration") };
    let count = run(GUIDE, configuration).await;
    assert!(count >= 9, "the guide is not understood: only {count} commands");
}

#[test]
fn the_files_of_the_example_are_what_the_guide_shows() {
    let file = |name: &str| std::fs::read_to_string(root().join("examples/mcp").join(name)).unwrap();
    let catalog = blocks(GUIDE, "console")[0].split_once("catalog.json\n").unwrap().1;
    assert_eq!(file("policies/catalog.json"), catalog);
    let route = blocks(GUIDE, "yaml").into_iter().find(|block| block.contains("- name: orders-mcp")).unwrap();
    assert!(file("routes.yaml").ends_with(route), "{route}");
    let line = blocks(GUIDE, "yaml").into_iter().find(|block| block.starts_with("with_request_body")).unwrap();
    assert!(file("envoy.yaml").contains(line.trim_end()), "{line}");
}
