//! The request for a token (RFC 6749 section 4.4.2), with the client's assertion in place of a secret.

use url::form_urlencoded::Serializer;

use super::Target;
use crate::foundation::secret::Secret;

/// How long a form is, mostly: so that it grows in place, and leaves no copy of the assertion behind.
const ROOM: usize = 16 << 10;

/// A form of these fields.
pub fn form<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Secret<String> {
    Secret::new(Serializer::new(String::with_capacity(ROOM)).extend_pairs(fields).finish())
}

impl Target {
    /// The form by which this target's token is asked for.
    pub(super) fn form(&self, assertion: &Secret<String>) -> Secret<String> {
        let client_id = self.client_id.as_deref().unwrap_or(self.client.as_str());
        let fields = [
            ("grant_type", Some("client_credentials")),
            ("client_id", Some(client_id)),
            ("client_assertion_type", Some(self.assertion_type.uri())),
            ("client_assertion", Some(assertion.expose().as_str())),
            ("scope", self.scope.as_deref()),
            ("resource", self.resource.as_deref()),
        ];
        form(fields.into_iter().filter_map(|(name, value)| Some((name, value?))))
    }
}
