//! Whether one scope may be granted to whom acts for somebody, in a token: a question that the exchange of tokens puts itself, so
//! nobody has to be let in to ask it.

use std::sync::Arc;

use super::{Answer, Asker, Authorizer, Proofs, Question};
use crate::decision::caller::Caller;
use crate::decision::foreign::describe;
use crate::decision::mapping::complete;
use crate::decision::query::Query;
use crate::decision::request::Refusal;
use crate::decision::verdict::Verdict;
use crate::evidence::Edge;
use crate::identity::token::VerifiedToken;

impl Authorizer {
    /// Answers whether the client `by` may have what `query` asks for, on the strength of the subject's `token`. Nobody is
    /// there to do what a permit demands, so one that demands anything is none.
    pub fn grant(&self, mut query: Query<'_>, by: Asker<'_>, token: &Arc<VerifiedToken>) -> Verdict {
        let mut question = self.begin(Edge::Token);
        question.called(by);
        question.token = Some(Arc::clone(token));
        let answer = self.granted(&mut query, by, token, &mut question).map(Answer::without_obligations);
        self.conclude(question, answer)
    }

    fn granted(
        &self,
        query: &mut Query<'_>,
        by: Asker<'_>,
        token: &VerifiedToken,
        question: &mut Question<'_>,
    ) -> Result<Answer, Refusal> {
        let foreign = self.ports.leaves.foreign();
        let understood = complete(query).and_then(|()| describe(query, &foreign, question.policies.types()));
        if let Err(refusal) = understood {
            self.take_down(query, question);
            return Err(refusal);
        }
        let proofs = Proofs { leaf: by.caller.and_then(Caller::leaf), token: Some(token) };
        self.decide(query, proofs, question)
    }
}
