//! Finds the route of a request: by its host, then segment by segment of its path. What that costs follows from the
//! length of the path and from how many templates begin alike, not from how many routes there are.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::inputs::Inputs;
use super::route::{HostPattern, Route};
use super::template::Segment;
use crate::decision::request::Refusal;

type Map<T> = HashMap<Box<str>, T, RandomState>;

/// Routes by their hosts and paths.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    exact: Map<Node>,
    below: Map<Node>,
    any: Node,
}

/// Where templates that begin alike part.
#[derive(Clone, Debug, Default)]
struct Node {
    literals: Map<Node>,
    variable: Option<Box<Node>>,
    /// Those that end here, the narrower before the wider, by their numbers.
    ends: Vec<usize>,
    /// Those whose last variable stands for all from here on.
    rests: Vec<usize>,
}

impl Table {
    /// Of these routes, of which no two are in conflict.
    pub(super) fn of(routes: &[Route]) -> Self {
        let mut order: Vec<_> = routes.iter().enumerate().collect();
        order.sort_by_key(|(_, route)| route.selectors.rank());
        let mut table = Self::default();
        for (number, route) in order {
            let root = match &route.host {
                HostPattern::Exact(host) => table.exact.entry(host.clone()).or_default(),
                HostPattern::Below(host) => table.below.entry(host.clone()).or_default(),
                HostPattern::Any => &mut table.any,
            };
            root.insert(route.template.segments(), number);
        }
        table
    }

    /// The route of a request, and in `inputs` what its variables stand for.
    pub(super) fn find<'r, 'q>(
        &self,
        routes: &'r [Route],
        inputs: &mut Inputs<'q>,
    ) -> Result<Option<&'r Route>, Refusal> {
        let path: &'q str = inputs.path.as_str();
        self.root(inputs.request.host().name()).find(routes, path.strip_prefix('/'), inputs)
    }

    /// The host itself, else the longest that it is below of, else all others. Once one is found no other is looked at.
    fn root(&self, host: &str) -> &Node {
        if let Some(root) = self.exact.get(host) {
            return root;
        }
        let mut rest = host;
        while let Some((_, above)) = rest.split_once('.') {
            if let Some(root) = self.below.get(above) {
                return root;
            }
            rest = above;
        }
        &self.any
    }
}

impl Node {
    fn insert(&mut self, segments: &[Segment], number: usize) {
        match segments.split_first() {
            None => self.ends.push(number),
            Some((Segment::Literal(literal), rest)) => {
                self.literals.entry(literal.clone()).or_default().insert(rest, number);
            }
            Some((Segment::Variable(_), rest)) => self.variable.get_or_insert_default().insert(rest, number),
            Some((Segment::Rest(_), _)) => self.rests.push(number),
        }
    }

    /// Tries what is narrower first: the literal, then the variable, then the one that stands for all that is left.
    fn find<'r, 'q>(
        &self,
        routes: &'r [Route],
        left: Option<&'q str>,
        inputs: &mut Inputs<'q>,
    ) -> Result<Option<&'r Route>, Refusal> {
        let Some(left) = left else { return first(routes, &self.ends, inputs) };
        let (segment, after) = left.split_once('/').map_or((left, None), |(segment, after)| (segment, Some(after)));
        if let Some(node) = self.literals.get(segment)
            && let Some(found) = node.find(routes, after, inputs)?
        {
            return Ok(Some(found));
        }
        if let Some(node) = self.variable.as_deref().filter(|_| !segment.is_empty()) {
            inputs.captures.push(segment);
            if let Some(found) = node.find(routes, after, inputs)? {
                return Ok(Some(found));
            }
            inputs.captures.pop();
        }
        inputs.captures.push(left);
        let found = first(routes, &self.rests, inputs)?;
        if found.is_none() {
            inputs.captures.pop();
        }
        Ok(found)
    }
}

fn first<'r>(routes: &'r [Route], numbers: &[usize], inputs: &Inputs<'_>) -> Result<Option<&'r Route>, Refusal> {
    for route in numbers.iter().filter_map(|number| routes.get(*number)) {
        if route.selectors.hold(inputs)? {
            return Ok(Some(route));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
