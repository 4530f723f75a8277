//! What servers are asked over their wires, in `AuthZEN`'s shape.

use serde_json::json;

use super::Asked;
use crate::question::{ITEM, Question, Questions};

pub(super) fn asked(questions: &Questions) -> Vec<Asked> {
    questions.questions.iter().enumerate().map(|(number, question)| one(number, question)).collect()
}

fn one(number: usize, question: &Question) -> Asked {
    let path = question.path.replace(ITEM, &number.to_string());
    let mut headers = serde_json::Map::new();
    headers.extend(question.tenant.iter().map(|tenant| ("x-tenant".to_owned(), json!(tenant))));
    Asked {
        question: json!({
            "subject": { "type": "Workload", "id": question.principal },
            "action": { "name": question.method },
            "resource": { "type": "Path", "id": path, "properties": { "service": question.service } },
            "context": {
                "host": "orders.load.test", "path": path, "scheme": "https", "protocol": "HTTP/2", "headers": headers,
            },
        }),
        permitted: question.allow,
    }
}
