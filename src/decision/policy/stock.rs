//! Questions put to Cedar itself: those that the compiled form can't answer, and whole ones to compare.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicyId,
    PolicySet, Request, Response, RestrictedExpression,
};

use super::question::Question;
use super::rule::Rule;
use crate::decision::entity::{Known, Uid, UidRef, View};
use crate::decision::value::{Extension, IpNet, Record, Value};

/// Entity types by full name; parsing one costs as much as a decision.
pub(super) type Kinds = HashMap<String, EntityTypeName>;

/// What Cedar says of some rules, by their place in the list that it was asked about.
#[derive(Debug, Default)]
pub(super) struct Advice {
    /// Those that decide: of a permit and a forbid that both apply, only the forbid.
    pub(super) met: Vec<usize>,
    /// Those that fail, with Cedar's words for it.
    pub(super) failed: Vec<(usize, String)>,
}

/// Asks Cedar about `rules` alone. If even that fails, each of them has failed.
pub(super) fn consult(rules: &[&Rule], question: &Question<'_>, view: View<'_>, kinds: &Kinds) -> Advice {
    ask(rules, question, Translator { view, kinds }).unwrap_or_else(|why| Advice {
        met: Vec::new(),
        failed: (0..rules.len()).map(|rule| (rule, why.clone())).collect(),
    })
}

fn ask(rules: &[&Rule], question: &Question<'_>, translator: Translator<'_>) -> Result<Advice, String> {
    let mut policies = PolicySet::new();
    let mut named: Vec<Uid> =
        [question.principal, question.action_uid, question.resource].map(|uid| uid.to_owned()).into();
    for (number, rule) in rules.iter().enumerate() {
        let policy = rule.stock().ok_or("the policy can't be read again")?;
        named.extend(policy.entity_literals().iter().map(own));
        policies.add(policy.new_id(PolicyId::new(number.to_string()))).map_err(|error| error.to_string())?;
    }
    let steps = rules.iter().map(|rule| rule.steps).max().unwrap_or(0);
    question.context.iter().for_each(|(_, value)| references(value, &mut named));
    let entities = translator.entities(named, steps)?;
    let response = Authorizer::new().is_authorized(&translator.request(question)?, &policies, &entities);
    advice(&response)
}

fn advice(response: &Response) -> Result<Advice, String> {
    let number = |id: &PolicyId| id.to_string().parse::<usize>().map_err(|error| error.to_string());
    let met: Result<_, _> = response.diagnostics().reason().map(number).collect();
    let failed = response.diagnostics().errors().map(|AuthorizationError::PolicyEvaluationError(error)| {
        Ok((number(error.policy_id())?, error.inner().to_string()))
    });
    Ok(Advice { met: met?, failed: failed.collect::<Result<_, String>>()? })
}

/// From our form of a question to Cedar's.
#[derive(Clone, Copy)]
struct Translator<'a> {
    view: View<'a>,
    kinds: &'a Kinds,
}

impl Translator<'_> {
    fn request(&self, question: &Question<'_>) -> Result<Request, String> {
        let context = Context::from_pairs(self.fields(&question.context)?).map_err(|error| error.to_string())?;
        let [principal, action, resource] = [question.principal, question.action_uid, question.resource];
        Request::new(self.uid(principal)?, self.uid(action)?, self.uid(resource)?, context, None)
            .map_err(|error| error.to_string())
    }

    /// The entities that can be reached from `named` in so many steps.
    fn entities(&self, named: Vec<Uid>, steps: usize) -> Result<Entities, String> {
        let (mut entities, mut seen, mut reached) = (Vec::new(), HashSet::new(), named);
        for _ in 0..=steps {
            let mut next = Vec::new();
            for uid in reached {
                if let Some(known) = self.view.get(uid.as_ref())
                    && seen.insert(uid.clone())
                {
                    known.attributes().chain(known.tags()).for_each(|(_, value)| references(value, &mut next));
                    entities.push(self.entity(&uid, &known)?);
                }
            }
            reached = next;
        }
        Entities::from_entities(entities, None).map_err(|error| error.to_string())
    }

    /// An entity with all its ancestors as parents, which need not be there themselves.
    fn entity(&self, uid: &Uid, known: &Known<'_>) -> Result<Entity, String> {
        let attributes: Result<HashMap<_, _>, String> = known.attributes().map(|field| self.field(field)).collect();
        let tags: Result<Vec<_>, String> = known.tags().map(|field| self.field(field)).collect();
        let lineage = self.view.lineage(uid.as_ref());
        let parents: Result<HashSet<_>, _> = lineage.iter().skip(1).map(|parent| self.uid(parent)).collect();
        Entity::new_with_tags(self.uid(uid.as_ref())?, attributes?, parents?, tags?).map_err(|error| error.to_string())
    }

    fn field(&self, (name, value): (&str, &Value<'_>)) -> Result<(String, RestrictedExpression), String> {
        Ok((name.to_owned(), self.expression(value)?))
    }

    fn fields(&self, record: &Record<'_>) -> Result<Vec<(String, RestrictedExpression)>, String> {
        record.iter().map(|(name, value)| self.field((name.as_str(), value))).collect()
    }

    fn uid(&self, uid: UidRef<'_>) -> Result<EntityUid, String> {
        let kind = match self.kinds.get(uid.kind()) {
            Some(kind) => kind.clone(),
            None => uid.kind().parse().map_err(|_| format!("`{}` is no entity type", uid.kind()))?,
        };
        Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(uid.id())))
    }

    fn expression(&self, value: &Value<'_>) -> Result<RestrictedExpression, String> {
        Ok(match value {
            Value::Bool(value) => RestrictedExpression::new_bool(*value),
            Value::Long(value) => RestrictedExpression::new_long(*value),
            Value::Text(text) => RestrictedExpression::new_string(text.as_str().to_owned()),
            Value::Entity(uid) => RestrictedExpression::new_entity_uid(self.uid(uid.as_ref())?),
            Value::Set(set) => {
                let values: Result<Vec<_>, _> = set.iter().map(|value| self.expression(value)).collect();
                RestrictedExpression::new_set(values?)
            }
            Value::Record(record) => {
                RestrictedExpression::new_record(self.fields(record)?).map_err(|error| error.to_string())?
            }
            Value::Extension(value) => extension(*value)?,
        })
    }
}

fn extension(value: Extension) -> Result<RestrictedExpression, String> {
    Ok(match value {
        Extension::Ip(ip) => RestrictedExpression::new_ip(spelled(ip)),
        Extension::Decimal(number) => {
            let (sign, number) = (if number < 0 { "-" } else { "" }, number.unsigned_abs());
            RestrictedExpression::new_decimal(format!("{sign}{}.{:04}", number / 10_000, number % 10_000))
        }
        Extension::Duration(time) => RestrictedExpression::new_duration(format!("{time}ms")),
        Extension::Datetime(time) => format!("datetime(\"1970-01-01\").offset(duration(\"{time}ms\"))")
            .parse()
            .map_err(|_| format!("the time {time} can't be told to Cedar"))?,
    })
}

/// Cedar does not read the mixed form `::ffff:10.0.0.1`, in which such addresses are usually written.
fn spelled(ip: IpNet) -> String {
    let address = match ip.address() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address.segments().map(|segment| format!("{segment:x}")).join(":"),
    };
    format!("{address}/{}", ip.prefix())
}

fn own(uid: &EntityUid) -> Uid {
    Uid::new(uid.type_name().to_string().into(), uid.id().unescaped())
}

fn references(value: &Value<'_>, found: &mut Vec<Uid>) {
    match value {
        Value::Entity(uid) => found.push(uid.clone()),
        Value::Set(set) => set.iter().for_each(|value| references(value, found)),
        Value::Record(record) => record.iter().for_each(|(_, value)| references(value, found)),
        Value::Bool(_) | Value::Long(_) | Value::Text(_) | Value::Extension(_) => {}
    }
}
