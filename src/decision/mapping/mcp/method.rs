//! The methods of MCP that clients call, as of its revisions from 2024-11-05 to 2026-07-28, and what each is about.
//! Actions have the same names.

/// A stream of messages from the server is opened: GET.
pub(super) const LISTEN: &str = "session/listen";

/// A session is ended: DELETE.
pub(super) const END: &str = "session/end";

/// A call of the server's is answered: a message without a method.
pub(super) const RESPOND: &str = "session/respond";

/// What a method is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Target {
    Server,
    Tool,
    Prompt,
    Resource,
    Task,
    /// A prompt or a resource, as the parameters say.
    Reference,
}

/// All that are known. Another one is about the server, and possible only if the schema declares it as an action.
pub(super) const KNOWN: [&str; 32] = [
    "completion/complete",
    "initialize",
    "logging/setLevel",
    "notifications/cancelled",
    "notifications/initialized",
    "notifications/progress",
    "notifications/roots/list_changed",
    "notifications/tasks/status",
    "notifications/elicitation/complete",
    "ping",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/subscribe",
    "resources/templates/list",
    "resources/unsubscribe",
    "server/discover",
    "subscriptions/listen",
    "tasks/cancel",
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tasks/update",
    "tools/call",
    "tools/list",
    "sampling/createMessage",
    "elicitation/create",
    "roots/list",
    LISTEN,
    END,
    RESPOND,
];

impl Target {
    /// What a method is about.
    pub(super) fn of(method: &str) -> Self {
        match method {
            "tools/call" => Self::Tool,
            "prompts/get" => Self::Prompt,
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => Self::Resource,
            "tasks/get" | "tasks/result" | "tasks/cancel" | "tasks/update" => Self::Task,
            "completion/complete" => Self::Reference,
            _ => Self::Server,
        }
    }

    /// The parameter that names it, if it is one.
    pub(super) const fn place(self) -> Option<&'static str> {
        match self {
            Self::Tool | Self::Prompt => Some("name"),
            Self::Resource => Some("uri"),
            Self::Task => Some("taskId"),
            Self::Server | Self::Reference => None,
        }
    }
}
