//! The section `answers`: what clients are told that Envoy sends away on our word.

use std::collections::BTreeMap;
use std::path::Path;

use portcullis_spiffe::TrustDomain;

use super::node::{Member, Node, Value};
use super::reader::{Section, Setting};
use super::values::text;
use crate::decision::guidance::{check_language, check_text};
use crate::edge::envoy::ext_authz::Messages;

/// The most languages.
const MAX_LANGUAGES: usize = 64;

/// The longest realm or URL, in bytes.
const MAX_QUOTED: usize = 1024;

/// The section `answers`.
#[derive(Clone, Debug)]
pub struct Answers {
    /// What clients authenticate for.
    pub realm: String,
    /// Where OAuth clients learn who issues the tokens that are taken here.
    pub resource_metadata: Option<String>,
    /// The texts for people.
    pub messages: Messages,
}

impl Answers {
    pub(super) fn read(section: &mut Section<'_>, trust_domain: Option<&TrustDomain>) -> Option<Self> {
        let own = trust_domain.map_or("", TrustDomain::as_str);
        let realm = section.value_or::<Quoted>("realm", Value::Text(own.to_owned()));
        let resource_metadata = section.optional::<Quoted>("resource_metadata").valid();
        let language = section.optional::<Language>("language").valid();
        let texts = section.value::<Texts>("messages", "{}");
        let messages = Messages::new(texts?.0, language?.map(|language| language.0));
        let resource_metadata = resource_metadata?.map(|metadata| metadata.0);
        Some(Self { realm: realm?.0, resource_metadata, messages })
    }
}

/// What can stand between quotes in a header as it is.
struct Quoted(String);

/// A language tag, in lower case.
struct Language(String);

/// Texts by language and reason.
struct Texts(BTreeMap<String, BTreeMap<String, String>>);

impl Setting for Quoted {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let text = text(node, "a text")?;
        let is_quotable = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        if text.len() > MAX_QUOTED || !text.bytes().all(is_quotable) {
            return Err(format!("must be ASCII of at most {MAX_QUOTED} characters, without quotes and backslashes"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Setting for Language {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        check_language(text(node, "a language such as `de`")?).map(Self)
    }
}

impl Setting for Texts {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let mut texts = BTreeMap::new();
        for Member { key, node, .. } in members(node, "languages to texts")? {
            let language = check_language(key)?;
            let mut of_language = BTreeMap::new();
            for Member { key, node, .. } in members(node, "reasons to texts")? {
                if !Messages::is_key(key) {
                    return Err(format!("`{key}` is none of `denied`, `error` and the reasons to deny or to fail"));
                }
                let text =
                    text(node, "a text").and_then(check_text).map_err(|why| format!("`{language}`, `{key}`: {why}"))?;
                of_language.insert(key.clone(), text.to_owned());
            }
            if texts.insert(language, of_language).is_some() {
                return Err(format!("`{key}` is there twice, in two cases"));
            }
        }
        if texts.len() > MAX_LANGUAGES {
            return Err(format!("there are more than {MAX_LANGUAGES} languages"));
        }
        Ok(Self(texts))
    }
}

fn members<'n>(node: &'n Node, what: &str) -> Result<&'n [Member], String> {
    match &node.value {
        Value::Nothing => Ok(&[]),
        Value::Mapping(members) => Ok(members),
        other => Err(format!("expected a mapping of {what}, found {}", other.kind())),
    }
}
