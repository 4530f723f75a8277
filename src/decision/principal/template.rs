//! How an id is made of claims: a text with names of claims in braces.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

/// The longest id that is made, in bytes.
const MAX_ID: usize = 1024;

/// Where in a token's claims something stands: the name of a claim, to the letter, or with a leading `/` a JSON Pointer
/// (RFC 6901), e.g. `/kubernetes.io/namespace`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClaimPath(String);

/// A text such as `{sub}` or `{iss}|{sub}`. Claims are told apart by the text between them, so no two different tokens can
/// make one id out of different claims.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Text(String),
    Claim(ClaimPath),
}

/// Why a text is no template.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TemplateError {
    /// It has an opening brace without a closing one, or the other way round.
    #[error("a brace is never closed or never opened")]
    Brace,
    /// A pair of braces names no claim.
    #[error("there is no claim between two braces")]
    Empty,
    /// It names no claim, so all tokens would be of one and the same.
    #[error("it names no claim, so all tokens would be of one and the same")]
    NoClaim,
    /// Two claims follow each other.
    #[error("two claims follow each other, so it could not be told where one ends")]
    Adjacent,
}

/// Why a token makes no id.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum IdError {
    #[error("the token has no claim `{0}`, or not a text or whole number in it")]
    Missing(String),
    #[error("the claim `{0}` has what follows it in an id in it, or a control character, or nothing")]
    Ambiguous(String),
    #[error("the id has more than {MAX_ID} bytes")]
    TooLong,
}

impl ClaimPath {
    /// The claim of this name or at this place.
    pub fn new(path: impl Into<String>) -> Self {
        Self(path.into())
    }

    /// What stands there. A `null` is nothing.
    pub(super) fn find<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        let found = match self.0.strip_prefix('/') {
            None => claims.get(&self.0),
            Some(pointer) => {
                let (first, rest) = pointer.split_at(pointer.find('/').unwrap_or(pointer.len()));
                claims.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(rest)
            }
        };
        found.filter(|value| !value.is_null())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Template {
    /// What every id begins with, if `issuer` is the token's `iss`: up to the first other claim.
    pub fn beginning(&self, issuer: &str) -> String {
        let known = self.parts.iter().map_while(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Claim(path) if path.as_str() == "iss" => Some(issuer),
            Part::Claim(_) => None,
        });
        known.collect()
    }

    /// The id that `claims` make.
    pub(super) fn fill(&self, claims: &Map<String, Value>) -> Result<String, IdError> {
        let mut id = String::new();
        for (index, part) in self.parts.iter().enumerate() {
            match part {
                Part::Text(text) => id.push_str(text),
                Part::Claim(path) => {
                    let value = word(path, claims).ok_or_else(|| IdError::Missing(path.0.clone()))?;
                    let follows = match self.parts.get(index + 1) {
                        Some(Part::Text(text)) if index + 2 < self.parts.len() => Some(text.as_str()),
                        _ => None,
                    };
                    // Who looks for where the claim ends must find its end, and nothing before it.
                    let ambiguous =
                        follows.is_some_and(|text| format!("{value}{text}").find(text) != Some(value.len()));
                    if ambiguous || value.is_empty() || value.chars().any(char::is_control) {
                        return Err(IdError::Ambiguous(path.0.clone()));
                    }
                    id.push_str(&value);
                }
            }
        }
        if id.len() > MAX_ID { Err(IdError::TooLong) } else { Ok(id) }
    }
}

fn word(path: &ClaimPath, claims: &Map<String, Value>) -> Option<String> {
    match path.find(claims)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_u64() || number.is_i64() => Some(number.to_string()),
        _ => None,
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let (claim, after) = after.split_once('}').ok_or(TemplateError::Brace)?;
            if before.contains('}') || claim.contains('{') {
                return Err(TemplateError::Brace);
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            } else if !parts.is_empty() {
                return Err(TemplateError::Adjacent);
            }
            if claim.is_empty() {
                return Err(TemplateError::Empty);
            }
            parts.push(Part::Claim(ClaimPath::new(claim)));
            rest = after;
        }
        if rest.contains('}') {
            return Err(TemplateError::Brace);
        }
        if parts.is_empty() {
            return Err(TemplateError::NoClaim);
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn filled(template: &str, claims: &Value) -> Result<String, IdError> {
        template.parse::<Template>().unwrap().fill(claims.as_object().unwrap())
    }

    #[test]
    fn an_id_is_made_of_claims_and_what_stands_between_them() {
        let claims = json!({
            "iss": "https://idp.example", "sub": "alice", "uid": 17, "https://x/y": "z", "none": null,
            "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "cart"}}, "a/b": {"~": "t"},
        });
        for (template, id) in [
            ("{sub}", "alice"),
            ("{iss}|{sub}", "https://idp.example|alice"),
            ("user:{uid}!", "user:17!"),
            ("{/kubernetes.io/namespace}/{/kubernetes.io/serviceaccount/name}", "shop/cart"),
            ("{https://x/y}", "z"),
            ("{/a~1b/~0}", "t"),
        ] {
            assert_eq!(filled(template, &claims).unwrap(), id, "{template}");
        }
        for template in ["{nobody}", "{kubernetes.io}", "{none}", "{/kubernetes.io}", "{/kubernetes.io/nobody}", "{/}"]
        {
            assert!(matches!(filled(template, &claims), Err(IdError::Missing(_))), "{template}");
        }
    }

    #[test]
    fn what_makes_no_template_is_told() {
        for (text, error) in [
            ("{", TemplateError::Brace),
            ("}", TemplateError::Brace),
            ("{a}}", TemplateError::Brace),
            ("{a{b}", TemplateError::Brace),
            ("{}", TemplateError::Empty),
            ("alice", TemplateError::NoClaim),
            ("", TemplateError::NoClaim),
            ("{a}{b}", TemplateError::Adjacent),
        ] {
            assert_eq!(text.parse::<Template>(), Err(error), "{text}");
        }
    }

    #[test]
    fn ids_of_nothing_and_endless_ones_are_refused() {
        for bad in ["", "a\nb", "a\u{0}"] {
            assert!(matches!(filled("{sub}", &json!({"sub": bad})), Err(IdError::Ambiguous(_))), "{bad:?}");
        }
        assert_eq!(filled("{sub}", &json!({"sub": "a".repeat(2000)})), Err(IdError::TooLong));
    }

    proptest! {
        #[test]
        fn different_claims_never_make_one_id(
            between in "[ab|]{1,3}",
            one in ("[ab|]{1,4}", "[ab|]{1,4}"),
            two in ("[ab|]{1,4}", "[ab|]{1,4}"),
        ) {
            let template = format!("x{{a}}{between}{{b}}");
            let id = |(first, second): &(String, String)| filled(&template, &json!({"a": first, "b": second}));
            if let (Ok(first), Ok(second)) = (id(&one), id(&two)) {
                prop_assert_eq!(first == second, one == two);
            }
        }
    }
}
