//! Records that would be longer than an entry of a log may be. Their lists keep the first items, and the rest is
//! committed to by its digest: whoever has it can still prove it.

use std::sync::Arc;

use super::{AdministrationRecord, DecisionRecord, Field, MappingLoadRecord, PolicyLoadRecord, Record, SearchRecord};
use crate::foundation::digest::{Digest, Hasher};
use crate::foundation::telemetry::printable;

/// How many items of a list are kept.
const ITEMS: usize = 64;

/// How much of each is kept, in bytes.
const ITEM: usize = 256;

/// How much of a message is kept, in bytes.
const MESSAGE: usize = 16 << 10;

/// Does something with a shorter form of `record`.
pub(in crate::evidence) fn shortened<T>(record: &Record<'_>, work: impl FnOnce(&Record<'_>) -> T) -> T {
    match record {
        Record::Decision(record) => {
            let (policies, policy_errors) = (cut(&record.policies), cut(&record.policy_errors));
            let fields = record.fields.as_deref().map(cut_fields);
            work(&Record::Decision(&DecisionRecord { policies, policy_errors, fields, ..(*record).clone() }))
        }
        Record::Administration(record) => {
            let subjects = cut_texts(record.subjects.iter().map(String::as_str));
            work(&Record::Administration(Box::new(AdministrationRecord { subjects, ..(**record).clone() })))
        }
        Record::PolicyLoad(record) => {
            let error = record.error.as_deref().map(|error| printable(error, MESSAGE));
            work(&Record::PolicyLoad(Box::new(PolicyLoadRecord { error, ..(**record).clone() })))
        }
        Record::MappingLoad(record) => {
            let error = record.error.as_deref().map(|error| printable(error, MESSAGE));
            work(&Record::MappingLoad(Box::new(MappingLoadRecord { error, ..(**record).clone() })))
        }
        Record::Search(record) => {
            let short =
                |list: &Option<Vec<String>>| list.as_ref().map(|list| cut_texts(list.iter().map(String::as_str)));
            let (policies, policy_errors) = (short(&record.policies), short(&record.policy_errors));
            work(&Record::Search(Box::new(SearchRecord { policies, policy_errors, ..(**record).clone() })))
        }
        record => work(record),
    }
}

fn cut(list: &Arc<[Arc<str>]>) -> Arc<[Arc<str>]> {
    cut_texts(list.iter().map(AsRef::as_ref)).into_iter().map(Arc::from).collect()
}

/// Long values go: of those that are redacted the commitment stays, of others a digest.
fn cut_fields(fields: &[Field]) -> Vec<Field> {
    let long = |value: &String| format!("\"({} bytes, SHA-256 {})\"", value.len(), Digest::of(value.as_bytes()));
    let cut = |field: &Field| Field {
        value: field.value.as_ref().map(|value| if value.len() > ITEM { long(value) } else { value.clone() }),
        sealed: field.sealed.clone().filter(|sealed| sealed.0.len() <= 2 * ITEM),
        ..field.clone()
    };
    fields.iter().map(cut).collect()
}

fn cut_texts<'t>(texts: impl Iterator<Item = &'t str> + Clone) -> Vec<String> {
    let mut kept: Vec<String> = texts.clone().take(ITEMS).map(|text| printable(text, ITEM)).collect();
    let mut all = Hasher::new();
    for text in texts.clone() {
        all.field(text.as_bytes());
    }
    kept.push(format!("({} in all, SHA-256 of all with their lengths {})", texts.count(), all.finish()));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::record::tests::decision;
    use crate::foundation::clock::Timestamp;

    #[test]
    fn a_long_list_keeps_its_beginning_and_is_committed_to_as_a_whole() {
        let long = |last: &str| {
            let ids = (0..5000).map(|number| format!("policy-{number}")).chain([last.to_owned()]);
            let policies: Arc<[Arc<str>]> = ids.map(Arc::from).collect();
            let record = DecisionRecord { policies, ..decision(Timestamp::default()) };
            shortened(&Record::Decision(&record), |short| match short {
                Record::Decision(short) => short.policies.to_vec(),
                _ => Vec::new(),
            })
        };
        let (one, other) = (long("a"), long("b"));
        assert_eq!((one.len(), &*one[63]), (65, "policy-63"));
        assert!(one[64].starts_with("(5001 in all, SHA-256 of all"), "{}", one[64]);
        assert_eq!(one[..64], other[..64]);
        assert_ne!(one[64], other[64]);
    }
}
