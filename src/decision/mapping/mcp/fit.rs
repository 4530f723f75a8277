//! Whether what MCP's messages become can fit the schema.

use super::Mcp;
use super::arguments::SUPPLIED;
use super::method::{KNOWN, Target};
use crate::decision::mapping::route::Route;
use crate::decision::policy::Problem;
use crate::decision::policy::shape::is_supplied;
use crate::decision::schema::{ActionType, SchemaTypes};

impl Mcp {
    /// What of it can't, if anything.
    pub(in crate::decision::mapping) fn misfits(
        &self,
        route: &Route,
        types: &SchemaTypes,
        problems: &mut Vec<Problem>,
    ) {
        let complain = |what: String| route.problem(route.position, what);
        for kind in [&self.kinds.server, &self.kinds.tool] {
            if !types.entities.contains_key(&**kind) {
                problems.push(complain(format!("the schema has no entity type `{kind}`")));
            }
        }
        let (server, tool) = (&self.kinds.server, &self.kinds.tool);
        if types.entities.get(&**tool).is_some_and(|tool| !tool.ancestors.contains(&**server)) {
            problems.push(complain(format!("a `{tool}` must be allowed within a `{server}`")));
        }
        let declared: Vec<(&str, &ActionType)> =
            KNOWN.iter().filter_map(|name| Some((*name, types.actions.get(&*self.qualified(name))?))).collect();
        if declared.is_empty() {
            problems.push(complain("the schema has none of MCP's methods as an action, e.g. `tools/call`".to_owned()));
        }
        for (name, action) in &declared {
            self.action_misfits(route, name, action, problems);
        }
        for (attribute, value) in &route.context {
            let mut having = declared.iter().filter(|(_, action)| action.context.contains_key(&**attribute)).peekable();
            if having.peek().is_none() {
                let what = format_args!("the context of none of MCP's methods declares `{attribute}`");
                problems.push(route.problem(value.position, what));
            }
            for (name, action) in having {
                let of = format!("the context of action `{name}`");
                route.misfit(&of, &action.context, attribute, value, problems);
            }
        }
        for declared in self.tools.values() {
            route.asks_misfits(&declared.asks, (&declared.context, &route.context), types, problems);
        }
    }

    fn action_misfits(&self, route: &Route, name: &str, action: &ActionType, problems: &mut Vec<Problem>) {
        let kinds = &self.kinds;
        let about: &[&str] = match Target::of(name) {
            Target::Server => &[&kinds.server],
            Target::Tool => &[&kinds.tool],
            Target::Prompt => &[&kinds.prompt],
            Target::Resource => &[&kinds.resource],
            Target::Task => &[&kinds.task],
            Target::Reference => &[&kinds.prompt, &kinds.resource],
        };
        if !about.iter().any(|kind| action.resources.contains(*kind)) {
            let what = format_args!("the resource of action `{name}` can't be a `{}`", about.join("` or a `"));
            problems.push(route.problem(route.position, what));
        }
        for (attribute, kind) in &action.context {
            let given = route.context.iter().any(|(given, _)| **given == **attribute);
            if kind.required && !given && !is_supplied(attribute) && !SUPPLIED.contains(&attribute.as_str()) {
                let what =
                    format_args!("action `{name}` requires `context.{attribute}`, which the route does not give");
                problems.push(route.problem(route.position, what));
            }
        }
    }
}
