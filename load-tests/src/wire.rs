//! The formats in which servers are asked, and how their answers are read: each an HTTP/2 request with or without a body.

mod cerbos;
mod ext_authz;
mod grpc;
mod http;

use ::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;

use crate::question::Questions;
use crate::template::Template;

/// What a server said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// The request may pass.
    Allow,
    /// It may not.
    Deny,
}

/// A format.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Wire {
    /// Envoy's `ext_authz` with raw headers, as Portcullis wants it.
    ExtAuthz,
    /// The same with a map of headers, which is Envoy's default.
    ExtAuthzJoined,
    /// The same, and without the client's certificate, which is Envoy's default too.
    ExtAuthzBare,
    /// Cerbos's `CheckResources` over gRPC.
    Cerbos,
    /// A plain request, through an Envoy that asks on its own.
    Http,
}

/// A question in a format, ready to be sent with other numbers each time.
#[derive(Debug)]
pub struct Prepared {
    head: Head,
    /// The body; empty if the request has none.
    pub body: Template,
    /// The right answer.
    pub expected: Answer,
    /// The question in words, for who has to find out why an answer is wrong.
    pub shown: String,
}

#[derive(Debug)]
enum Head {
    /// Always the same.
    Fixed(Request<()>),
    /// With numbers in its path and a header.
    Numbered { request: Request<()>, path: Template, request_id: Template },
}

impl Wire {
    /// The questions in this format.
    pub fn prepare(self, asked: &Questions) -> Vec<Prepared> {
        let questions = asked.questions.iter();
        questions
            .map(|question| {
                let (head, body) = match self {
                    Self::ExtAuthz => ext_authz::prepare(question, asked, ext_authz::Headers::Raw, true),
                    Self::ExtAuthzJoined => ext_authz::prepare(question, asked, ext_authz::Headers::Joined, true),
                    Self::ExtAuthzBare => ext_authz::prepare(question, asked, ext_authz::Headers::Joined, false),
                    Self::Cerbos => cerbos::prepare(question),
                    Self::Http => http::prepare(question),
                };
                let expected = if question.allow { Answer::Allow } else { Answer::Deny };
                Prepared { head, body: Template::new(body), expected, shown: format!("{question:?}") }
            })
            .collect()
    }

    /// What an answer says. Anything that is neither a clear yes nor a clear no is an error.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Answer, String> {
        match self {
            Self::Http => http::read(status),
            Self::ExtAuthz | Self::ExtAuthzJoined | Self::ExtAuthzBare => {
                ext_authz::read(grpc::message(status, headers, body)?)
            }
            Self::Cerbos => cerbos::read(grpc::message(status, headers, body)?),
        }
    }
}

impl Prepared {
    /// The request's head and body with these numbers.
    pub fn fill(&self, item: u64, request: u64) -> (Request<()>, Bytes) {
        let head = match &self.head {
            Head::Fixed(head) => head.clone(),
            Head::Numbered { request: head, path, request_id } => {
                let mut head = head.clone();
                http::number(&mut head, &path.fill(item, request), request_id.fill(item, request));
                head
            }
        };
        (head, self.body.fill(item, request))
    }

    /// Whether each request can be made one that was never asked before.
    pub const fn can_be_new(&self) -> bool {
        self.body.items() > 0 || matches!(&self.head, Head::Numbered { path, .. } if path.items() > 0)
    }
}

#[cfg(test)]
mod tests;
