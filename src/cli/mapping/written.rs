//! A mapping as it is printed: one line for each route, whatever it was made from.

use std::fmt::Write as _;

/// Routes on their way to paper.
#[derive(Debug)]
pub(super) struct Written {
    comments: String,
    routes: String,
}

impl Written {
    /// No route yet; `from` is what they are made from.
    pub(super) fn new(from: &str) -> Self {
        Self {
            comments: format!("# Routes made from {}. docs/mapping.md says what they can say.\n", on_one_line(from)),
            routes: String::new(),
        }
    }

    /// Adds a route: what stands in its braces.
    pub(super) fn route(&mut self, members: &[String], comment: &str) {
        let comment = if comment.is_empty() { String::new() } else { format!(" # {}", on_one_line(comment)) };
        let _infallible = writeln!(self.routes, "  - {{ {} }}{comment}", members.join(", "));
    }

    /// Tells of something for which there is no route.
    pub(super) fn left_out(&mut self, what: &str, why: &str) {
        let _infallible = writeln!(self.comments, "# Left out: {}: {}.", on_one_line(what), on_one_line(why));
    }

    /// The YAML.
    pub(super) fn finish(self) -> String {
        let routes = if self.routes.is_empty() { " []\n".to_owned() } else { format!("\n{}", self.routes) };
        format!("{}version: 1\nroutes:{routes}", self.comments)
    }
}

/// A text in quotes. What JSON writes for one, YAML reads as the same.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn on_one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}
