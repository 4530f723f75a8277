//! Searches: a question with one part left open, and all that can stand there so that the answer is a permit.
//!
//! Nobody is permitted anything but by a permit. So `reach` gives the few permits that the known parts can meet,
//! `candidates` are those whom the scopes of these permits name, in order, and each of them is then put in the open
//! place and answered as any other question. What is never looked at costs nothing: a page costs what it shows.

mod candidates;
mod merged;
mod narrow;
mod open;
mod reach;

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Bound;

use self::candidates::Candidates;
use self::open::{Open, party_of};
pub(super) use self::reach::Reach;
use super::{Effect, PolicySet, Question};
use crate::decision::foreign::describe;
use crate::decision::mapping::complete;
use crate::decision::query::{Action, Entity, Query};
use crate::decision::schema::SchemaTypes;
use crate::decision::search::{Page, Search, SearchError, Sought};
use crate::identity::foreign::ForeignIdentities;

/// What it costs to put a question, in units of work: a look at one name is one. Beside that, each ancestor costs one.
const QUESTION: usize = 8;

/// What each policy costs that is tried.
const POLICY: usize = 2;

/// What it costs if Cedar itself has to be asked.
const CEDAR: usize = 1000;

/// The work that a page may still cost.
#[derive(Debug)]
struct Budget(Cell<usize>);

impl Budget {
    fn spend(&self, work: usize) {
        self.0.set(self.0.get().saturating_sub(work));
    }

    const fn is_spent(&self) -> bool {
        self.0.get() == 0
    }
}

/// A search, and what is known of those whom it may find beside what is stored.
struct Searching<'s, 'q> {
    search: &'s Search<'q>,
    foreign: &'s ForeignIdentities,
    types: &'s SchemaTypes,
}

impl Searching<'_, '_> {
    /// Fills in what follows from ids; not so if there is nobody of such an id, or nobody who is let in.
    fn completes(&self, query: &mut Query<'_>) -> bool {
        complete(query).is_ok() && describe(query, self.foreign, self.types).is_ok()
    }
}

impl PolicySet {
    /// Answers a search for at most `most_work`, in units of about a tenth of a microsecond.
    ///
    /// # Errors
    /// [`SearchError::TooMuchWork`]
    pub fn search(
        &self,
        search: &Search<'_>,
        most_work: usize,
        foreign: &ForeignIdentities,
    ) -> Result<Page, SearchError> {
        let budget = Budget(Cell::new(most_work));
        let searching = Searching { search, foreign, types: self.types() };
        if let Sought::Actions { subject, resource } = &search.sought {
            return self.actions((subject, resource), &searching, &budget);
        }
        Open::of(search).map_or_else(|| Ok(Page::default()), |open| self.entities(&open, &searching, &budget))
    }

    fn actions(
        &self,
        (subject, resource): (&Entity<'_>, &Entity<'_>),
        searching: &Searching<'_, '_>,
        budget: &Budget,
    ) -> Result<Page, SearchError> {
        let search = searching.search;
        let (subject, resource) = (subject.clone().into_owned(), resource.clone().into_owned());
        let context = search.context.clone().into_owned();
        let mut query = Query { subject, action: Action::named(""), resource, context, extra: Vec::new() };
        if !searching.completes(&mut query) {
            return Ok(Page::default());
        }
        let after = search.after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let names = self.vocabulary.types.actions.range::<str, _>((after, Bound::Unbounded));
        page(names.map(|(name, _)| (name.as_str(), name.as_str())), search.limit, budget, |name| {
            query.action.name = Cow::Borrowed(name);
            self.answers_permit(&query, budget)
        })
    }

    fn entities(&self, open: &Open, searching: &Searching<'_, '_>, budget: &Budget) -> Result<Page, SearchError> {
        let search = searching.search;
        // Every question fails to be typed if this one does, of which nothing but the open part is missing.
        let Some(first) = self.entities.order().of_kind(open.kind(), None).next() else { return Ok(Page::default()) };
        let Some(query) = open.about(first, searching) else { return Ok(Page::default()) };
        let Ok(typed) = self.question(&query) else { return Ok(Page::default()) };
        let asked = self.ask(&typed);
        let candidates = Candidates::of(self, &asked, open, search.after.as_deref(), budget)?;
        let candidates = candidates.map(|uid| (uid, uid.id()));
        if open.is_described() {
            let mut query = open.query();
            return page(candidates, search.limit, budget, |uid| {
                party_of(&mut query, open.party).id = Cow::Borrowed(uid.id());
                searching.completes(&mut query) && self.answers_permit(&query, budget)
            });
        }
        let Ok(mut question) = self.question(&query) else { return Ok(Page::default()) };
        page(candidates, search.limit, budget, |uid| {
            question.put(open.party, uid);
            self.is_permitted(&question, budget)
        })
    }

    fn answers_permit(&self, query: &Query<'_>, budget: &Budget) -> bool {
        budget.spend(QUESTION);
        self.question(query).is_ok_and(|question| self.is_permitted(&question, budget))
    }

    fn is_permitted(&self, question: &Question<'_>, budget: &Budget) -> bool {
        let asked = self.ask(question);
        let fresh = asked.evaluate();
        let to_cedar = !fresh.cacheable || asked.rules().any(|rule| rule.reads.anything);
        let cedar = if to_cedar { CEDAR } else { 0 };
        budget.spend(QUESTION + asked.ancestors() + POLICY * asked.rules().count() + cedar);
        fresh.evaluation.effect == Effect::Permit && !fresh.evaluation.has_obligations()
    }
}

/// The first `limit` of these, which come in order, of whom `permits` holds.
fn page<'n, N>(
    candidates: impl Iterator<Item = (N, &'n str)>,
    limit: usize,
    budget: &Budget,
    mut permits: impl FnMut(N) -> bool,
) -> Result<Page, SearchError> {
    let mut names = Vec::new();
    for (candidate, name) in candidates {
        if budget.is_spent() {
            // A page gets its reader on, or it is none.
            return if names.is_empty() { Err(SearchError::TooMuchWork) } else { Ok(Page { names, more: true }) };
        }
        if permits(candidate) {
            if names.len() >= limit {
                return Ok(Page { names, more: true });
            }
            names.push(name.to_owned());
        }
    }
    Ok(Page { names, more: false })
}

#[cfg(test)]
mod tests;
