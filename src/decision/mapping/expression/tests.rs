use proptest::prelude::*;

use super::*;

fn read(text: &str, grpc: bool) -> Result<Text, String> {
    let template = Template::parse("/a/{x}/{y=**}").unwrap();
    Text::parse(text, Scope { template: &template, grpc: grpc.then_some(("p.S", Some("Get"))), mcp: false })
}

#[test]
fn a_text_is_pieces() {
    let pieces = read("a{path.y}{{b}}{header.X-Tenant}", false).unwrap().0;
    let literal = |text: &str| Piece::Literal(text.into());
    assert_eq!(
        pieces,
        [
            literal("a"),
            Piece::Input(Input::Variable(1)),
            literal("{b}"),
            Piece::Input(Input::Header("x-tenant".into()))
        ]
    );
    assert_eq!(read("", false).unwrap().0, []);
    assert_eq!(read("{body.a.b-c}", false).unwrap().as_input().unwrap().to_string(), "`{body.a.b-c}`");
    assert_eq!(read("{grpc.service}/{grpc.method}", true).unwrap().0, [literal("p.S/Get")]);
}

#[test]
fn values_that_a_client_chooses_have_something_between_them() {
    for text in ["{path.x}{query.a}", "a{path.x}{host}b", "{path}{path.x}", "{query.a}{{{query.a}{query.b}"] {
        let error = read(text, false).unwrap_err();
        assert!(error.contains("where one value ends"), "{text}: {error}");
    }
    for text in ["{host}{path}", "{path.x}{route.a}", "{route.a}{path.x}", "{path.x}{{{query.a}"] {
        read(text, false).unwrap();
    }
}

#[test]
fn anything_else_in_braces_is_refused() {
    for (text, why) in [
        ("{", "brace alone"),
        ("}", "brace alone"),
        ("a{path", "brace alone"),
        ("{}", "nothing that a request has"),
        ("{nope}", "nothing that a request has"),
        ("{cookie.a}", "nothing that a request has"),
        ("{path.z}", "no variable `z`"),
        ("{path.x.y}", "no variable"),
        ("{header.}", "name of a header"),
        ("{header.a b}", "name of a header"),
        ("{header.:path}", "name of a header"),
        ("{query.}", "query parameter"),
        ("{route.}", "nothing that a request has"),
        ("{body.}", "a field has"),
        ("{body.a..b}", "a field has"),
        ("{body.a[0]}", "a field has"),
        ("{body}", "nothing that a request has"),
        ("{grpc.method}", "only a route with"),
        ("{ path.x }", "nothing that a request has"),
    ] {
        let error = read(text, false).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
    assert!(read("{body.a}", true).unwrap_err().contains("never read"));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[a{}.path:query é]{0,16}", grpc in any::<bool>()) {
        let _any = read(&text, grpc);
    }

    #[test]
    fn doubled_braces_are_the_braces(text in "[a-z{}é]{0,12}") {
        let pieces = read(&text.replace('{', "{{").replace('}', "}}"), false).unwrap().0;
        let literal = (!text.is_empty()).then(|| Piece::Literal(text.into()));
        prop_assert_eq!(pieces, literal.into_iter().collect::<Vec<_>>());
    }
}
