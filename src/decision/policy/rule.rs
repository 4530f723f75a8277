//! One policy, compiled.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cedar_policy::{Effect, Policy, PolicyId};

use super::draft::Draft;
use super::index::{Scope, lift};
use super::program::reads::Reads;
use super::program::{Names, Op, conjuncts, dereferences, scope_of};
use crate::decision::entity::{Lineage, View};
use crate::decision::guidance::{self, Guidance};
use crate::decision::value::{Extension, ExtensionKind};
use crate::foundation::digest::Digest;

/// The serial number of the next rule.
static SERIAL: AtomicU64 = AtomicU64::new(0);

/// A policy in the form that decides.
#[derive(Debug)]
pub(super) struct Rule {
    /// The id, as it is reported.
    pub(super) id: Arc<str>,
    /// The same as a list of one, which is what most answers name.
    pub(super) alone: Arc<[Arc<str>]>,
    pub(super) effect: Effect,
    /// Which requests can meet it.
    pub(super) scope: Scope,
    /// What else must hold, in order. Rules that are made together share equal conditions, so that the policies of a
    /// pattern do not fill the processor's caches with copies of it.
    pub(super) conditions: Box<[Arc<Op>]>,
    pub(super) reads: Reads,
    /// How long a decision that it may take part in may be kept, which can be not at all; `None` if it does not say.
    pub(super) keep: Option<Duration>,
    /// What it wants said and done if it decides; `None` for most.
    pub(super) guidance: Option<Arc<Guidance>>,
    /// How many steps away from what it names the conditions can look at most.
    pub(super) steps: usize,
    /// Whether the id is the policy's own, and not made of its place.
    pub(super) named: bool,
    /// Unlike that of every other rule of this process: the epoch of this one policy.
    pub(super) serial: u64,
    /// What Cedar's validator finds odd.
    pub(super) warnings: Box<[Warning]>,
    /// Of the text.
    pub(super) digest: Digest,
    text: Box<str>,
    stock: OnceLock<Option<Policy>>,
}

/// What Cedar says of a policy, and where in its text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Warning {
    pub(super) offset: Option<usize>,
    pub(super) message: String,
}

/// What rules share while they are made.
#[derive(Debug)]
pub(super) struct Workshop<'a> {
    names: Names,
    programs: HashSet<Arc<Op>>,
    /// The schema's actions by number, and the entities that they are.
    actions: &'a [Lineage<'a>],
    known: View<'a>,
}

impl<'a> Workshop<'a> {
    pub(super) fn new(actions: &'a [Lineage<'a>], known: View<'a>) -> Self {
        Self { names: Names::default(), programs: HashSet::new(), actions, known }
    }

    /// Compiles a policy.
    ///
    /// # Errors
    /// What is wrong with it that Cedar does not know of.
    pub(super) fn rule(
        &mut self,
        policy: &Policy,
        id: Arc<str>,
        draft: &Draft<'_>,
        warnings: Vec<Warning>,
    ) -> Result<Rule, String> {
        let mut conditions = scope_of(policy, &mut self.names);
        conditions.extend(conjuncts(policy, &mut self.names));
        let (scope, conditions) = lift(conditions, self.actions, self.known);
        let reads = Reads::of(&conditions, &mut |op| shared(&mut self.programs, op));
        let conditions = conditions.iter().map(|op| shared(&mut self.programs, op)).collect();
        let guidance = guidance::read(&id, policy.effect() == Effect::Permit, policy.annotations())?;
        Ok(Rule {
            alone: Arc::new([Arc::clone(&id)]),
            id,
            effect: policy.effect(),
            scope,
            conditions,
            reads,
            keep: policy.annotation("cache").map(keep).transpose()?,
            guidance,
            steps: dereferences(policy),
            named: policy.annotation("id").is_some() && !draft.is_link(),
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            warnings: warnings.into(),
            digest: draft.digest,
            text: draft.text.as_ref().into(),
            stock: OnceLock::new(),
        })
    }
}

impl Rule {
    /// The policy as it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The policy as Cedar has it: read again when it is first needed, and kept from then on. Cedar's form of a policy
    /// takes many times the memory of ours.
    pub(super) fn stock(&self) -> Option<&Policy> {
        let read = || Policy::parse(Some(PolicyId::new(&*self.id)), &self.text).ok();
        self.stock.get_or_init(read).as_ref()
    }
}

fn shared(known: &mut HashSet<Arc<Op>>, op: &Op) -> Arc<Op> {
    if let Some(shared) = known.get(op) {
        return Arc::clone(shared);
    }
    let shared = Arc::new(op.clone());
    known.insert(Arc::clone(&shared));
    shared
}

/// `@cache("30s")` or `@cache("never")`.
fn keep(annotation: &str) -> Result<Duration, String> {
    if annotation == "never" {
        return Ok(Duration::ZERO);
    }
    match Extension::parse(ExtensionKind::Duration, annotation) {
        Some(Extension::Duration(milliseconds)) if milliseconds > 0 => {
            Ok(Duration::from_millis(milliseconds.unsigned_abs()))
        }
        _ => Err(format!("`@cache` must be `never` or a duration such as `30s`, not `{annotation}`")),
    }
}
