use super::super::fixture::{mapping, refusal};
use super::*;

#[test]
fn whatever_is_wrong_is_told_with_its_place() {
    let route = |inner: &str| format!("version: 1\nroutes:\n  - {inner}\n");
    for (text, told) in [
        ("", "m.yaml:1:1: "),
        ("version: 2\nroutes: []\n", "m.yaml:1:10: the version that is understood is 1"),
        ("version: 1\n", "missing field `routes`"),
        ("version: 1\nroutes: []\nrules: []\n", "m.yaml:3:1: "),
        ("version: 1\nroutes: []\n---\nversion: 1\n", "m.yaml:"),
        (&route("{match: {path: /a, method: GET}, resorce: {}}"), "m.yaml:3:38: "),
        (&route("{match: {path: /a, method: GET, hosts: a}}"), "m.yaml:3:37: "),
        (&route("{match: {path: /a, method: GET, method: PUT}}"), "m.yaml:3:37: "),
        (&route("{name: a}"), "missing field `match`"),
        (&route("{match: {method: GET}}"), "m.yaml:3:13: a route needs `path` or `grpc`"),
        (&route("{match: {path: /a}}"), "m.yaml:3:13: a route needs `method` or `action.name`"),
        (&route("{match: {path: /a, method: []}}"), "m.yaml:3:32: without any method"),
        (&route("{match: {path: /a, method: [GET, GET]}}"), "m.yaml:3:38: this method is there twice"),
        (&route("{match: {path: /a, method: get}}"), "m.yaml:3:32: "),
        (&route("{match: {path: /a, method: CONNECT}}"), "m.yaml:3:32: a tunnel has no path"),
        (&route("{match: {path: /a, method: {a: b}}}"), "m.yaml:3:32: a method is a text"),
        (&route("{match: {path: '/{x}.json', method: GET}}"), "m.yaml:3:20: in `{x}.json`"),
        (&route("{match: {path: /a, method: GET, host: 'a:80'}}"), "m.yaml:3:43: a host is written"),
        (&route("{match: {path: /a, method: GET, host: 'A'}}"), "m.yaml:3:43: a host is written"),
        (&route("{match: {path: /a, method: GET, host: 'a.*'}}"), "m.yaml:3:43: this is no host"),
        (&route("{match: {path: /a, method: GET, host: '*'}}"), "m.yaml:3:43: this is no host"),
        (&route("{match: {path: /a, method: GET, headers: {x-a: 1}}}"), "m.yaml:3:52: what is compared is a text"),
        (&route("{match: {path: /a, method: GET, headers: {':path': a}}}"), "m.yaml:3:47: `:path` can't be"),
        (&route("{match: {path: /a, method: GET, headers: {x-a: a, X-A: b}}}"), "m.yaml:3:55: a header is there twice"),
        (&route("{match: {path: /a, method: GET, headers: [a]}}"), "expected a mapping"),
        (&route("{match: {path: /a, upgrade: WebSocket}}"), "m.yaml:3:33: an upgrade names"),
        (&route("{match: {path: /a, grpc: {service: a.B, method: C}}}"), "m.yaml:3:30: `grpc` says"),
        (&route("{match: {grpc: {service: a/B, method: C}}}"), "m.yaml:3:30: a service is named"),
        (&route("{match: {grpc: {service: a.B, method: C/D}}}"), "m.yaml:3:43: this can't be"),
        (&route("{match: {grpc: {service: a.B}}}"), "m.yaml:3:13: a route of all methods"),
        (&route("{match: {path: /a, method: GET}, resource: {id: '{path.x}'}}"), "m.yaml:3:53: `{path.x}`"),
        (&route("{match: {path: /a, method: GET}, resource: {type: Path, id: a}}"), "m.yaml:3:55: a `Path` is"),
        (&route("{match: {path: /a, method: GET}, action: {}}"), "missing field `name`"),
        (&route("{match: {path: /a, method: GET}, action: {name: ''}}"), "m.yaml:3:53: an action has a name"),
        (&route("{match: {path: /a, method: GET}, context: {a: [b]}}"), "m.yaml:3:51: a list can't"),
        (&route("{match: {path: /a, method: GET}, context: {a: 1.5}}"), "m.yaml:3:48: invalid type"),
        (&route("{match: {path: /a, method: GET}, context: {a: null}}"), "m.yaml:3:48: invalid type"),
        (&route("{match: {path: /a, method: GET}, context: {host: b}}"), "m.yaml:3:48: `context.host` follows"),
        (&route("{match: {path: /a, method: GET}, context: {action: b}}"), "m.yaml:3:48: `context.action` follows"),
        (&route("{match: {path: /a, method: GET}, principal: workload}"), "m.yaml:3:49: `workload` is none of"),
        (
            &route("{match: {path: /a, method: GET}, on_error: {fail: open}}"),
            "m.yaml:3:55: `fail` is `closed` or `envoy`",
        ),
        (&route("{match: {path: /a, method: GET}, on_error: {status: 200}}"), "m.yaml:3:57: the status is one of"),
        (&route("{match: {path: /a, method: GET}, on_error: {status: 403}}"), "m.yaml:3:57: the status is one of"),
        (&route("{match: {path: /a, method: GET}, on_error: {status: 599}}"), "m.yaml:3:57: the status is one of"),
        (&route("{match: {path: /a, method: GET}, on_error: {allow: true}}"), "m.yaml:3:49: "),
        (&route("{name: \"a\\n\", match: {path: /a, method: GET}}"), "m.yaml:3:12: a name has"),
    ] {
        let error = Mapping::compile(&MappingFiles::of(&[("m.yaml", text)])).expect_err(text).to_string();
        assert!(error.contains(told), "{text}\n{error}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let said = refusal(&[
        "{match: {path: a, method: GET}, resource: {type: Todo, id: '{nope}'}}",
        "{match: {path: /b, method: GET, host: 'A'}, context: {x: '{nope}', y: '{'}}",
    ]);
    assert_eq!(said.lines().count(), 4, "{said}");
}

#[test]
fn routes_in_conflict_are_named_with_their_places() {
    let said = refusal(&[
        "{match: {path: '/a/{x}', method: GET}}",
        "{match: {path: '/{y}/b', method: GET}}",
        "{name: third, match: {path: '/a/{z}', method: [GET, POST]}, action: {name: GET}}",
        "{name: fourth, match: {path: '/a/{z}', method: [POST, DELETE]}, action: {name: GET}}",
    ]);
    for line in [
        "m.yaml:4:5: route `GET /{y}/b`: matches some of the same requests, and neither is the narrower of the two, as route \
         `GET /a/{x}` at m.yaml:3:5",
        "m.yaml:6:5: route `fourth`: matches some of the same requests, and neither is the narrower of the two, as route \
         `third` at m.yaml:5:5",
    ] {
        assert!(said.contains(line), "{said}");
    }
    let same = refusal(&["{match: {path: '/a/{x}', method: GET}}", "{match: {path: '/a/{y}', method: GET}}"]);
    assert!(same.contains("matches the same requests as route `GET /a/{x}` at m.yaml:3:5"), "{same}");
    let named = refusal(&["{name: a, match: {path: /a, method: GET}}", "{name: a, match: {path: /b, method: GET}}"]);
    assert_eq!(named, "m.yaml:4:5: route `a`: m.yaml:3:5 has this name already");
}

#[test]
fn what_can_never_fit_the_schema_is_told() {
    for (route, told) in [
        ("{match: {path: /a, method: PUT}}", "m.yaml:3:5: route `PUT /a`: the schema has no action `PUT`"),
        ("{match: {path: /a, method: [GET, PUT]}}", "the schema has no action `PUT`"),
        (
            "{match: {path: /a, method: GET}, action: {name: nope}}",
            "m.yaml:3:53: route `GET /a`: the schema has no action `nope`",
        ),
        (
            "{match: {path: /a, method: GET}, resource: {type: Nope}}",
            "m.yaml:3:55: route `GET /a`: the schema has no entity type `Nope`",
        ),
        ("{match: {path: /a, method: GET}, resource: {type: Todo}}", "the resource of action `GET` can't be a `Todo`"),
        (
            "{match: {path: /a, method: GET}, context: {x: y}}",
            "m.yaml:3:51: route `GET /a`: the context of action `GET` declares no `x`",
        ),
        (
            "{match: {path: /a, method: GET}, context: {delegation: {subject: '{query.s}'}}}",
            "`context.delegation` is what a verified token says, so no route can say it",
        ),
    ] {
        let said = refusal(&[route]);
        assert!(said.contains(told), "{route}\n{said}");
    }
    let todo = |rest: &str| format!("{{match: {{path: /a, method: GET}}, resource: {{type: Todo, id: a{rest}");
    for (rest, told) in [
        ("}, action: {name: needs}}", "action `needs` requires `context.amount`"),
        ("}, action: {name: can_read_todo}, context: {amount: 'a{path}'}}", "`amount` is declared as another type"),
        ("}, action: {name: can_read_todo}, context: {amount: true}}", "`amount` is declared as another type"),
        ("}, action: {name: can_read_todo}, context: {tags: '{query.t}'}}", "`tags` is declared as another type"),
        ("}, action: {name: can_read_todo}, context: {by: alice}}", "`by` is declared as another type"),
        ("}, action: {name: can_read_todo}, context: {by: {type: User, name: a}}}", "a reference to an entity has"),
        (", properties: {nope: a}}, action: {name: can_read_todo}}", "`Todo` declares no `nope`"),
        (", properties: {place: {town: a}}}, action: {name: can_read_todo}}", "`place` declares no `town`"),
    ] {
        let said = refusal(&[&todo(rest)]);
        assert!(said.contains(told), "{rest}\n{said}");
    }
    let fits = todo("}, action: {name: needs}, context: {amount: '{body.n}'}}");
    assert_eq!(mapping(&[&fits]).len(), 1);
}

#[test]
fn a_directory_is_one_mapping_of_its_yaml_files() {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    let route = |path: &str| format!("version: 1\nroutes: [{{match: {{path: {path}, method: GET}}}}]\n");
    put("b.yaml", &route("/b"));
    put("a.yml", &route("/a"));
    put(".hidden.yaml", "no: mapping");
    put("notes.txt", "neither");
    let whole = Mapping::load(directory.path()).unwrap();
    assert_eq!(whole.len(), 2);
    assert_eq!(Mapping::load(&directory.path().join("b.yaml")).unwrap().len(), 1);
    put("c.yaml", &route("/b"));
    let error = Mapping::load(directory.path()).unwrap_err().to_string();
    assert!(error.contains("c.yaml:2:10") && error.contains("b.yaml:2:10"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    assert!(Mapping::load(empty.path()).unwrap_err().to_string().contains("no file that ends with"));
    assert!(Mapping::load(&empty.path().join("gone.yaml")).is_err());
    fs::write(empty.path().join("a.yaml"), [0xff]).unwrap();
    assert!(Mapping::load(empty.path()).unwrap_err().to_string().contains("UTF-8"));
}
