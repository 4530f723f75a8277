//! From what is written of an MCP endpoint to the [`Mcp`].

use serde_saphyr::Spanned;

use super::{Declared, Kinds, Mcp, Source};
use crate::decision::mapping::compile::Compiler;
use crate::decision::mapping::document::{McpText, RouteText, ToolText, place};
use crate::decision::mapping::expression::{Scope, Text};
use crate::decision::mapping::inputs::body;
use crate::decision::mapping::route::{ActionName, Asks, Resource};
use crate::decision::mapping::template::is_name;
use crate::decision::policy::problem::Position;

/// The longest body that can be asked for, in bytes.
const MOST_BYTES: usize = 1024 * 1024;

/// The longest id of a server, and the longest prefix, as they are written, in bytes.
const MAX_TEXT: usize = 1024;

impl Compiler<'_> {
    /// The endpoint of a route; `None` if something is wrong with it, which is then told.
    pub(in crate::decision::mapping) fn mcp(
        &mut self,
        text: &Spanned<McpText>,
        route: &RouteText,
        scope: Scope<'_>,
    ) -> Option<Mcp> {
        let matches = &route.matches.value;
        if matches.method.is_some() || matches.upgrade.is_some() || matches.grpc.is_some() {
            return self.complain(place(text), "`mcp` says which methods there are, so `match` can't");
        }
        if route.resource.is_some() || route.action.is_some() {
            return self.complain(place(text), "`mcp` says what a message is about, so `resource` and `action` can't");
        }
        let position = place(text);
        let text = &text.value;
        let server = self.id(&text.server, scope);
        let prefix = match &text.prefix {
            Some(prefix) => self.id(prefix, scope),
            None => Some(Text::default()),
        };
        let namespace = self.namespace(text.namespace.as_ref());
        let source = self.source(text.source.as_ref());
        let max_bytes = self.max_bytes(text.max_bytes.as_ref());
        let in_band = self.in_band(text.denied_status.as_ref());
        let mut tools = Vec::with_capacity(text.tools.len());
        for (name, tool) in &text.tools {
            tools.push(self.tool(&tool.value, position, scope).map(|declared| (name.as_str().into(), declared)));
        }
        let namespace = namespace?;
        Some(Mcp {
            server: server?,
            prefix: prefix?,
            kinds: Kinds::within(namespace.as_deref().unwrap_or_default()),
            namespace,
            source: source?,
            max_bytes: max_bytes?,
            in_band: in_band?,
            tools: tools.into_iter().collect::<Option<_>>()?,
        })
    }

    fn id(&mut self, text: &Spanned<String>, scope: Scope<'_>) -> Option<Text> {
        if text.value.is_empty() || text.value.len() > MAX_TEXT {
            return self.complain(place(text), "it has 1 to 1024 bytes");
        }
        // It is needed before there is a message, and must not be what a client writes into one.
        self.told(place(text), Text::parse(&text.value, Scope { mcp: false, ..scope }))
    }

    #[expect(clippy::option_option, reason = "the outer one is only there for `?`")]
    fn namespace(&mut self, text: Option<&Spanned<String>>) -> Option<Option<Box<str>>> {
        let Some(text) = text else { return Some(None) };
        if !text.value.split("::").all(|part| is_name(part) && !part.contains('-')) {
            return self.complain(place(text), "a namespace is written as Cedar has it, e.g. `Mcp`");
        }
        Some(Some(format!("{}::", text.value).into()))
    }

    fn source(&mut self, text: Option<&Spanned<String>>) -> Option<Source> {
        match text.map(|text| (text.value.as_str(), place(text))) {
            None | Some(("body", _)) => Some(Source::Body),
            Some(("both", _)) => Some(Source::Both),
            Some(("metadata", _)) => Some(Source::Metadata),
            Some((_, position)) => self.complain(position, "a source is `body`, `both` or `metadata`"),
        }
    }

    fn max_bytes(&mut self, given: Option<&Spanned<u64>>) -> Option<usize> {
        let Some(given) = given else { return Some(body::MAX_BYTES) };
        match usize::try_from(given.value) {
            Ok(bytes @ 1..=MOST_BYTES) => Some(bytes),
            _ => self.complain(place(given), "a body has 1 to 1048576 bytes"),
        }
    }

    fn in_band(&mut self, given: Option<&Spanned<u64>>) -> Option<bool> {
        match given.map(|given| (given.value, place(given))) {
            None | Some((200, _)) => Some(true),
            Some((403, _)) => Some(false),
            Some((_, position)) => self.complain(position, "a denied call has the status 200 or 403"),
        }
    }

    fn tool(&mut self, text: &ToolText, route: Position, scope: Scope<'_>) -> Option<Declared> {
        let name = &text.action.name;
        if name.value.is_empty() || name.value.len() > MAX_TEXT {
            return self.complain(place(name), "an action has a name of 1024 bytes at most");
        }
        let action = ActionName::Named(name.value.as_str().into(), place(name));
        let resource = self.resource(Some(&text.resource), route, scope);
        let context = self.context(&text.context, scope);
        let resource = resource?;
        if let Resource::Path = resource {
            return self.complain(route, "a tool is not about a `Path`");
        }
        Some(Declared { asks: Asks { action, resource }, context: context? })
    }
}

impl Kinds {
    fn within(namespace: &str) -> Self {
        let kind = |name: &str| format!("{namespace}{name}").into();
        Self {
            server: kind("McpServer"),
            tool: kind("Tool"),
            prompt: kind("Prompt"),
            resource: kind("Resource"),
            task: kind("Task"),
        }
    }
}
