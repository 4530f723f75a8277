//! The section `tokens`: whose tokens are believed, what becomes of their claims, and who is the principal of a request.

mod claims;
mod issuer;

use std::collections::HashSet;
use std::path::Path;

use http::HeaderName;

pub use issuer::{KeyPlace, TokenIssuer};

use super::node::{Node, Value};
use super::reader::{Section, Setting};
use super::values::text;
use crate::decision::principal::{Mapping, PrincipalRule, PrincipalRules, UnknownPrincipalRule};

/// The section `tokens`. Without issuers, no token counts and none is looked at.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// Who is the principal, and what requests must show.
    pub rules: PrincipalRules,
    /// How many verified tokens are remembered.
    pub remembered: usize,
    /// Whose tokens are believed.
    pub issuers: Vec<TokenIssuer>,
}

impl Tokens {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let principal = section.value::<PrincipalRule>("principal", "svid");
        let peer = section.value::<Peer>("peer", "required");
        let unverified = section.value::<Unverified>("unverified", "deny");
        let headers = section.one_or_more::<TokenHeader>("headers", "[authorization]");
        let remembered = section.bounded("remembered", "10000", (1, 1_000_000));
        let issuers = read_issuers(section);
        if peer.as_ref().is_some_and(|peer| peer.is_optional) && principal == Some(PrincipalRule::Svid) {
            section.fault(
                "peer",
                "can be `optional` only if `principal` is `token` or `token_or_svid`: who else would ask?",
            );
        }
        let (principal, issuers) = (principal?, issuers?);
        let (Peer { is_optional }, Unverified { is_ignored }) = (peer?, unverified?);
        if issuers.is_empty() && principal != PrincipalRule::Svid {
            section.fault("principal", "must be `svid` as long as there are no `issuers`");
        }
        let headers = headers?.into_iter().map(|header| header.0).collect();
        let rules = PrincipalRules { principal, peer_is_optional: is_optional, ignore_unverified: is_ignored, headers };
        Some(Self { rules, remembered: remembered?, issuers })
    }
}

/// The issuers in a section's `issuers`.
pub(super) fn read_issuers(section: &mut Section<'_>) -> Option<Vec<TokenIssuer>> {
    let issuers = section.mappings("issuers", issuer::read)?;
    refuse_twice(section, &issuers);
    tell_apart(section, &issuers);
    Some(issuers)
}

/// The same of tokens whose claims become no entity: policies are shown them as they are, so there is nobody to tell apart.
pub(super) fn read_subjects(section: &mut Section<'_>) -> Option<Vec<TokenIssuer>> {
    let issuers = section.mappings("issuers", issuer::read)?;
    refuse_twice(section, &issuers);
    Some(issuers)
}

fn refuse_twice(section: &mut Section<'_>, issuers: &[TokenIssuer]) {
    let mut names = HashSet::new();
    for issuer in issuers {
        if !names.insert(&issuer.rules.issuer) {
            section.fault("issuers", format!("`{}` is there twice", issuer.rules.issuer));
        }
    }
}

/// No two of them can name one and the same entity: whom one of them calls alice is not whom another calls so.
fn tell_apart(section: &mut Section<'_>, issuers: &[TokenIssuer]) {
    for (index, issuer) in issuers.iter().enumerate() {
        let Mapping::Claims(own) = &issuer.mapping else { continue };
        let beginning = own.id.beginning(&issuer.rules.issuer);
        for other in issuers.iter().take(index) {
            let Mapping::Claims(others) = &other.mapping else { continue };
            let theirs = others.id.beginning(&other.rules.issuer);
            if own.kind == others.kind && (beginning.starts_with(&theirs) || theirs.starts_with(&beginning)) {
                let message = format!(
                    "`{}` and `{}` could both name the same `{}`; have one of their ids begin with a text of its own, \
                     e.g. `{{iss}}|{{sub}}`",
                    other.rules.issuer, issuer.rules.issuer, own.kind
                );
                section.fault("issuers", message);
            }
        }
    }
}

/// Whether a peer may be without a certificate.
struct Peer {
    is_optional: bool,
}

/// What becomes of a token that proves nothing.
struct Unverified {
    is_ignored: bool,
}

/// A header that tokens stand in.
struct TokenHeader(String);

impl Setting for PrincipalRule {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let rule = text(node, "`svid`, `token` or `token_or_svid`")?;
        rule.parse().map_err(|error: UnknownPrincipalRule| error.to_string())
    }
}

impl Setting for Peer {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        match text(node, "`required` or `optional`")? {
            "required" => Ok(Self { is_optional: false }),
            "optional" => Ok(Self { is_optional: true }),
            other => Err(format!("`{other}` is neither `required` nor `optional`")),
        }
    }
}

impl Setting for Unverified {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        match text(node, "`deny` or `ignore`")? {
            "deny" => Ok(Self { is_ignored: false }),
            "ignore" => Ok(Self { is_ignored: true }),
            other => Err(format!("`{other}` is neither `deny` nor `ignore`")),
        }
    }
}

impl Setting for TokenHeader {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let text = text(node, "the name of a header")?;
        let name =
            HeaderName::from_bytes(text.as_bytes()).map_err(|_| format!("`{text}` is not the name of a header"))?;
        Ok(Self(name.as_str().to_owned()))
    }

    fn shown(&self, _written: &Node) -> Value {
        Value::Text(self.0.clone())
    }
}
