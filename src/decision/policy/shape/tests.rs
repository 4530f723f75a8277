use crate::decision::mapping::Shape as _;
use crate::decision::policy::fixture::Directory;

const PERMIT: &str = "permit(principal, action, resource);";

fn directory(schema: &str) -> Directory {
    let entities = "entity Workload; entity Path; entity Service; entity Thing;";
    Directory::new(&[("s.cedarschema", &format!("{entities}\n{schema}")), ("p.cedar", PERMIT)])
}

#[test]
fn common_types_and_namespaces_are_followed() {
    let policies = directory(
        r#"
        type Headers = { "x-a": String, "x-b"?: Text };
        type Text = String;
        action GET appliesTo { principal: Workload, resource: Path, context: Request };
        type Request = { headers: Headers, host: __cedar::String };
        namespace App {
          type Headers2 = { "x-c": String };
          type Route = { tier?: String };
          type Context = { headers: Headers2, route: Route };
          entity Host;
          action see appliesTo { principal: Workload, resource: Host, context: Context };
        }
        "#,
    );
    let policies = policies.load().unwrap();
    let shape = policies.shape();
    assert_eq!(shape.context_attributes("GET").unwrap().iter().collect::<Vec<_>>(), ["headers", "host"]);
    assert_eq!(shape.headers("GET").iter().collect::<Vec<_>>(), ["x-a", "x-b"]);
    assert!(shape.route_attributes("GET").is_empty());
    assert_eq!(shape.headers("App::see").iter().collect::<Vec<_>>(), ["x-c"]);
    assert_eq!(shape.route_attributes("App::see").iter().collect::<Vec<_>>(), ["tier"]);
    assert_eq!(shape.context_attributes("see"), None);
    assert!(shape.headers("see").is_empty());
}

#[test]
fn a_schema_that_demands_what_no_request_supplies_is_refused() {
    let refusal = |context: &str| {
        let action = format!("action GET appliesTo {{ principal: Workload, resource: Path, context: {context} }};");
        directory(&action).refusal()
    };
    let of = "s.cedarschema: action `GET`: ";
    assert_eq!(
        refusal("{ tenant: String }"),
        format!("{of}requires `context.tenant`, which no request supplies; make it optional")
    );
    assert_eq!(refusal("{ host: Long }"), format!("{of}`context.host` of a request is a String"));
    assert_eq!(refusal("{ headers: String }"), format!("{of}`context.headers` of a request is a record"));
    assert_eq!(
        refusal("{ headers: { \"x-ids\"?: Set<String> } }"),
        format!("{of}`context.headers[\"x-ids\"]` of a request is a String")
    );
    assert!(refusal("{ action: String }").contains("it must be a record"));
}

#[test]
fn an_action_that_no_http_check_asks_for_is_free() {
    let schema =
        "action buy appliesTo { principal: Workload, resource: Thing, context: { tenant: Long, host: Long } };";
    assert_eq!(directory(schema).load().unwrap().len(), 1);
    let optional = "action GET appliesTo { principal: Workload, resource: [Path, Thing], context: { tenant?: Long } };";
    assert_eq!(directory(optional).load().unwrap().len(), 1);
}
