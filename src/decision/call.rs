//! A call of a JSON-RPC method (JSON-RPC 2.0, section 4) that a request carries: whoever waits for its answer reads a
//! denial best if it is an answer too.

use serde_json::Value as Json;

/// A call that waits for an answer. A notification is none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Call {
    /// Its id, a string of bounded length or an integer; `None` if the message could not be read so far.
    pub id: Option<Json>,
    /// Whether a denial is told as servers tell of any call that failed, with the HTTP status 200.
    pub in_band: bool,
}
