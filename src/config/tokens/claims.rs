//! What becomes of an issuer's claims.

use std::path::Path;

use super::super::node::{Member, Node, Value};
use super::super::reader::{Section, Setting};
use super::super::values::text;
use crate::decision::principal::{ClaimMapping, ClaimPath, GroupMapping, Preset, Template};

/// The type that only a trust domain vouches for.
const WORKLOAD: &str = "Workload";

pub(super) fn read(section: &mut Section<'_>, preset: Option<Preset>) -> Option<ClaimMapping> {
    let kind = section.value::<EntityKind>("type", preset.unwrap_or(Preset::Oidc).kind());
    let id = section.value_or::<Template>("id", Value::Text(preset.unwrap_or(Preset::Oidc).id().to_owned()));
    let more = section.value::<Attributes>("attributes", "{}");
    let groups = section.optional::<Claim>("groups");
    let group_kind = section.value::<EntityKind>("group_type", "Group");
    let prefix = section.value::<String>("group_prefix", "''");
    let mut attributes = preset.map(Preset::attributes).unwrap_or_default();
    for (name, path) in more?.0 {
        attributes.retain(|(known, _)| *known != name);
        attributes.push((name, path));
    }
    attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
    let (kind, group_kind, prefix) = (kind?, group_kind?, prefix?);
    if kind.0 == WORKLOAD && preset != Some(Preset::Spiffe) {
        section.fault("type", "a `Workload` is whom a trust domain vouches for: that is what `spiffe: true` is for");
    }
    let groups = groups.valid()?.map(|claim| GroupMapping { claim: claim.0, kind: group_kind.0, prefix });
    Some(ClaimMapping { kind: kind.0, id: id?, attributes, groups })
}

/// The name of an entity type, e.g. `Human` or `Shop::Human`.
struct EntityKind(String);

/// Where something stands in claims.
struct Claim(ClaimPath);

/// Attributes and where their values stand.
struct Attributes(Vec<(String, ClaimPath)>);

impl Setting for EntityKind {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let name = text(node, "the name of an entity type")?;
        let is_word = |word: &str| {
            let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            word.bytes().all(letters) && word.bytes().next().is_some_and(|first| !first.is_ascii_digit())
        };
        if name.split("::").all(is_word) {
            return Ok(Self(name.to_owned()));
        }
        Err(format!("`{name}` is not the name of an entity type"))
    }
}

impl Setting for Template {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let template = text(node, "a template such as `{sub}`")?;
        template.parse().map_err(|error| format!("`{template}`: {error}"))
    }
}

impl Setting for Claim {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        match text(node, "the name of a claim, or its place such as `/realm_access/roles`")? {
            "" | "/" => Err("the name of the claim is empty".to_owned()),
            path => Ok(Self(ClaimPath::new(path))),
        }
    }
}

impl Setting for Attributes {
    fn read(node: &Node, base: &Path) -> Result<Self, String> {
        let members = match &node.value {
            Value::Nothing => &[],
            Value::Mapping(members) => members.as_slice(),
            other => return Err(format!("expected a mapping of attributes to claims, found {}", other.kind())),
        };
        let attribute = |member: &Member| {
            let claim = Claim::read(&member.node, base).map_err(|error| format!("`{}`: {error}", member.key))?;
            Ok((member.key.clone(), claim.0))
        };
        members.iter().map(attribute).collect::<Result<_, String>>().map(Self)
    }
}
