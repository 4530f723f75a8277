//! Sources of entities.

use super::*;
use std::time::Duration;

#[test]
fn sources_of_each_kind_are_read_in_their_order() {
    let yaml = "trust_domain: a
decision:
  entities:
    - {name: people, files: entities}
    - {name: orders, sql: 'postgres://u:hunter2@h/db'}
    - name: cmdb
      http: {url: 'https://cmdb.example:8443/x', interval: 5s, token_file: token}
";
    let loaded = load(yaml);
    let [people, orders, cmdb] = loaded.config.decision.entities.as_slice() else { panic!() };
    assert_eq!((&*people.name, &*orders.name, &*cmdb.name), ("people", "orders", "cmdb"));
    assert!(matches!(&people.place, EntityPlace::Files(path) if path == Path::new("/etc/portcullis/entities")));
    assert!(matches!(&orders.place, EntityPlace::Sql(url) if url.to_string() == "postgres://u:…@h/db"));
    let EntityPlace::Http(feed) = &cmdb.place else { panic!() };
    assert_eq!((feed.interval, feed.fetch.timeout), (Duration::from_secs(5), Duration::from_secs(30)));
    assert_eq!(feed.fetch.token_file.as_deref(), Some(Path::new("/etc/portcullis/token")));
    assert!(!loaded.show(false).unwrap().contains("hunter2"));
}

#[test]
fn what_is_no_source_is_told_where_it_stands() {
    let yaml = "trust_domain: a
decision:
  entities:
    - {name: Upper, files: x}
    - {name: policies, files: x}
    - {name: two, files: x, sql: 'sqlite:x.db'}
    - {name: none}
    - {name: plain, http: {url: 'http://cmdb.example/'}}
    - {name: hasty, http: {url: 'https://u:hunter2@cmdb.example/', interval: 1ms}}
    - {name: same, files: x}
    - {name: same, files: y}
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:4:14: decision.entities[0].name: must be 1 to 64 lower-case letters, digits, `-` and `_`
    p.yaml:5:14: decision.entities[1].name: `policies` is the name of the policy directory's own entities
    p.yaml:6:7: decision.entities[2]: must have exactly one of `files`, `sql` and `http`
    p.yaml:7:7: decision.entities[3]: must have exactly one of `files`, `sql` and `http`
    p.yaml:8:33: decision.entities[4].http.url: must be `https://…`; `http://…` is for a loopback address alone
    p.yaml:9:33: decision.entities[5].http.url: must not hold a user or a password; there is `token_file`
    p.yaml:9:78: decision.entities[5].http.interval: 1ms is less than 1s
    p.yaml:11:14: decision.entities[7].name: `same` is the name of another source too
    ");
}
