use std::time::Duration;

use tonic::service::Routes;

use super::*;
use crate::edge::spire_api::tests::Desk;
use crate::identity::attest::WorkloadAttestor;
use crate::identity::workload::tests::{House, Sleeper, Told, entry};

const EXPLAIN: &str = "portcullis.identity.v1.Identity/Explain";
const DOCKER: &str = "/docker/09bc3d7ade839efec32b6bec4ec79d099027a668ddba043083ec21d3c3b8f1e6";

/// The desk, and a process in a container that Docker can't be asked about.
async fn desk() -> (House, Sleeper, Desk) {
    let uid = format!("unix:uid:{}", nix::unistd::geteuid());
    let mut store = entry("store", [&*uid]);
    store.terms.store_svid = true;
    let house = House::new([store, entry("web", [&*uid, "docker:label:app:web"]), entry("user", [&*uid])]).await;
    let sleeper = Sleeper::start();
    house.put(&sleeper.pid().to_string(), DOCKER);
    let others: Vec<Arc<dyn WorkloadAttestor>> = vec![Told::new("docker", Err("is not there"))];
    let workloads = Arc::new(house.workloads(others, Duration::from_mins(10)));
    let explainer = Explainer::new(workloads, Arc::clone(&house.registry), house.clock.clone());
    let service = IdentityService::new(explainer, Arc::clone(&house.authority), house.clock.clone());
    let desk = Desk::new(Routes::default().add_service(service.into_server()));
    (house, sleeper, desk)
}

#[tokio::test]
async fn an_explanation_goes_over_the_wire_whole() {
    let (_house, sleeper, desk) = desk().await;
    let found: ExplainResponse = desk.call(EXPLAIN, &ExplainRequest { pid: sleeper.pid() }).await.unwrap();
    assert!(found.selectors.is_sorted_by_key(|selector| (selector.r#type.clone(), selector.value.clone())));
    assert!(found.selectors.iter().any(|selector| selector.r#type == "unix"));
    let failure = AttestorFailure { attestor: "docker".to_owned(), reason: "is not there".to_owned() };
    assert_eq!(found.failures, [failure]);
    assert_eq!(found.granted.len(), 1);
    assert_eq!((&*found.granted[0].id, &*found.granted[0].spiffe_id.as_ref().unwrap().path), ("user", "/user"));
    let [store, web] = &*found.near_misses else { panic!("{:?}", found.near_misses) };
    assert_eq!((&*store.entry.as_ref().unwrap().id, store.missing.len()), ("store", 0));
    assert_eq!(store.reason, "its SVID goes to a store of secrets, and not to workloads that ask");
    assert_eq!((&*web.missing[0].value, &*web.reason), ("label:app:web", ""));
    let [record] = desk.recorded().try_into().unwrap();
    assert_eq!((&*record.method, record.subjects), (EXPLAIN, vec![sleeper.pid().to_string()]));
}

#[tokio::test]
async fn what_can_not_be_explained_is_said_to_be_so() {
    let (_house, mut sleeper, desk) = desk().await;
    sleeper.0.kill().unwrap();
    sleeper.0.wait().unwrap();
    for (pid, code) in [(sleeper.pid(), Code::NotFound), (0, Code::InvalidArgument), (-1, Code::InvalidArgument)] {
        let refused = desk.call::<_, ExplainResponse>(EXPLAIN, &ExplainRequest { pid }).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
    }
}
