use proptest::prelude::*;

use super::*;

fn template(text: &str) -> Template {
    Template::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Whether `path` is one of those that `template` stands for, said in the plainest way.
pub(in crate::decision::mapping) fn matches(template: &Template, path: &str) -> bool {
    fn walk(segments: &[Segment], path: &[&str]) -> bool {
        match (segments, path) {
            ([], []) | ([Segment::Rest(_)], [_, ..]) => true,
            ([Segment::Literal(literal), segments @ ..], [first, path @ ..]) => {
                **literal == **first && walk(segments, path)
            }
            ([Segment::Variable(_), segments @ ..], [first, path @ ..]) => !first.is_empty() && walk(segments, path),
            _ => false,
        }
    }
    walk(&template.segments, &path.strip_prefix('/').unwrap().split('/').collect::<Vec<_>>())
}

#[test]
fn what_a_template_can_be() {
    for text in ["/", "/a", "/a/", "/{x}", "/a/{x}/b", "/{x=**}", "/a/{x}/{y=**}", "/grün/a b", "/a.b/v1:run"] {
        assert_eq!(template(text).as_str(), text);
        assert_eq!(Template::of(template(text).segments), template(text));
    }
}

#[test]
fn what_no_request_could_ever_match_is_refused() {
    for (text, why) in [
        ("", "begins with"),
        ("a", "begins with"),
        ("//", "empty segment"),
        ("/a//b", "empty segment"),
        ("/a/{x=**}/b", "nothing can follow"),
        ("/{x}/{x}", "twice"),
        ("/{}", "is not"),
        ("/{x y}", "is not"),
        ("/{*x}", "is not"),
        ("/{x...}", "is not"),
        ("/{x}.json", "all of it"),
        ("/v{x}", "all of it"),
        ("/a/../b", "`..`"),
        ("/a;b", "';'"),
        ("/a%2fb", "escaped"),
        ("/a%20b", "canonical"),
        ("/a?b=c", "canonical"),
        ("/a#b", "'#'"),
    ] {
        let error = Template::parse(text).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
}

fn segment() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("a"), Just("b"), Just("{}")]
}

fn templates() -> impl Strategy<Value = Template> {
    (proptest::collection::vec(segment(), 0..4), prop_oneof![Just(""), Just("/"), Just("/{rest=**}")]).prop_map(
        |(segments, end)| {
            let names = segments.iter().enumerate().map(|(at, text)| text.replace("{}", &format!("{{v{at}}}")));
            let text: String = names.map(|segment| format!("/{segment}")).chain([end.to_owned()]).collect();
            template(if text.is_empty() { "/" } else { &text })
        },
    )
}

/// Every path of up to five segments over three names, with and without a trailing slash.
fn paths() -> Vec<String> {
    let mut all = vec![String::new()];
    let mut last = all.clone();
    for _ in 0..5 {
        last = last.iter().flat_map(|path| ["a", "b", "c"].map(|name| format!("{path}/{name}"))).collect();
        all.extend(last.clone());
    }
    let slashed: Vec<_> = all.iter().map(|path| format!("{path}/")).collect();
    all.retain(|path| !path.is_empty());
    all.extend(slashed);
    all
}

proptest! {
    #[test]
    fn within_and_overlap_are_what_all_paths_together_say(a in templates(), b in templates()) {
        let paths = paths();
        let both = |path: &&String| matches(&a, path) && matches(&b, path);
        prop_assert_eq!(a.overlaps(&b), paths.iter().any(|path| both(&path)), "{} {}", a.as_str(), b.as_str());
        let within = paths.iter().filter(|path| matches(&a, path)).all(|path| matches(&b, path));
        prop_assert_eq!(a.is_within(&b), within, "{} {}", a.as_str(), b.as_str());
    }

    #[test]
    fn any_text_is_read_or_refused(text in "/?[a/{}=*%.;?é -]{0,20}") {
        if let Ok(template) = Template::parse(&text) {
            prop_assert_eq!(template.as_str(), text);
        }
    }
}
