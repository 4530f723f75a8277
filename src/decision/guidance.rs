//! What policies want said and done beside yes or no, in annotations: a status, a text, headers, advice, obligations and
//! how a denial can be remedied. `docs/answers.md` is the user's side.
//!
//! It is read and checked when the policies are loaded, so that nothing can come out of it that does not fit a wire, and
//! it is kept with the decision. Only policies that decided have a say.

mod access_request;
mod annotations;
mod header;
mod merge;
mod obligation;
mod step_up;
mod text;

use std::sync::Arc;

use smallvec::SmallVec;

pub use self::access_request::AccessRequest;
pub(in crate::decision) use self::annotations::{is_status, read};
pub use self::header::Header;
pub(in crate::decision) use self::merge::merge;
pub use self::obligation::{MAX_OBLIGATIONS_BYTES, Obligation, in_header};
pub use self::step_up::StepUp;
pub use self::text::{Text, check_language, check_text};

/// What the policies that decided want said and done.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Guidance {
    /// The HTTP status of the denial.
    pub status: Option<u16>,
    /// What the denial says to a person, in place of the text that its reason has.
    pub text: Option<Text>,
    /// What a client may want to know, in the order of the policies' ids.
    pub advice: Vec<Arc<str>>,
    /// Headers: of a permit those that the backend gets, of a denial those that the client gets. Each name once.
    pub headers: SmallVec<[Header; 2]>,
    /// What whoever enforces the decision must do, or else deny.
    pub obligations: Vec<Obligation>,
    /// What would turn the denial into a permit. It is only there if every policy that denies says so, and a policy
    /// permits.
    pub remedy: Option<Remedy>,
}

/// What would turn a denial into a permit.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Remedy {
    /// To authenticate anew, and better.
    pub step_up: Option<StepUp>,
    /// To ask somebody for it.
    pub access_request: Option<AccessRequest>,
}

impl Guidance {
    /// What a policy with these annotations says, which is something.
    #[cfg(test)]
    pub(crate) fn of_annotations(permits: bool, annotations: &[(&str, &str)]) -> Arc<Self> {
        read(&"p".into(), permits, annotations.iter().copied()).unwrap().expect("says something")
    }

    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Remedy {
    const fn is_empty(&self) -> bool {
        self.step_up.is_none() && self.access_request.is_none()
    }
}

#[cfg(test)]
mod tests;
