//! SAPL's hospital, as its documentation describes it, in Cedar: for each department 32 permits by role and kind of record
//! and one `forbid` by sensitivity, beside five permits for emergencies; 500 questions with their answers. SAPL asks its
//! engines in one process too, and publishes 0.18 to 0.37 µs.
//!
//! What SAPL has in conditions is in a policy's scope here, where a Cedar author would put it: the department that both
//! the caller and the record must be in, and the action.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::Asked;
use crate::Failure;
use crate::random::Random;

/// A role, its clearance, and what it may do to which kind of record.
type Role = (&'static str, i64, &'static [(&'static str, &'static [&'static str])]);

const ROLES: [Role; 9] = [
    (
        "attending",
        4,
        &[
            ("PatientRecord", &["read", "write", "create"]),
            ("LabResult", &["read", "order"]),
            ("Prescription", &["read", "write", "prescribe"]),
            ("Imaging", &["read", "order"]),
            ("CareNote", &["read", "write", "create"]),
            ("Referral", &["read", "write", "create"]),
        ],
    ),
    (
        "resident",
        3,
        &[
            ("PatientRecord", &["read", "write"]),
            ("LabResult", &["read"]),
            ("Prescription", &["read"]),
            ("Imaging", &["read", "order"]),
            ("CareNote", &["read", "write", "create"]),
            ("Referral", &["read", "create"]),
        ],
    ),
    (
        "nurse",
        3,
        &[
            ("PatientRecord", &["read", "write"]),
            ("LabResult", &["read"]),
            ("Prescription", &["read"]),
            ("CareNote", &["read", "write", "create"]),
            ("Schedule", &["read", "write"]),
        ],
    ),
    ("labTech", 2, &[("LabResult", &["read", "write", "create"]), ("Imaging", &["read", "write", "create"])]),
    ("pharmacist", 3, &[("Prescription", &["read", "write", "approve"]), ("PatientRecord", &["read"])]),
    (
        "admin",
        2,
        &[
            ("Schedule", &["read", "write", "create", "delete"]),
            ("BillingRecord", &["read", "write"]),
            ("AuditLog", &["read"]),
        ],
    ),
    ("billing", 2, &[("BillingRecord", &["read", "write", "create", "bill"]), ("PatientRecord", &["read"])]),
    (
        "auditor",
        4,
        &[
            ("AuditLog", &["read", "write", "create", "audit"]),
            ("PatientRecord", &["read"]),
            ("BillingRecord", &["read"]),
        ],
    ),
    ("researcher", 1, &[("PatientRecord", &["read"]), ("LabResult", &["read"]), ("Imaging", &["read"])]),
];

const ACTIONS: [&str; 12] = [
    "read",
    "write",
    "create",
    "delete",
    "prescribe",
    "order",
    "discharge",
    "transfer",
    "bill",
    "audit",
    "approve",
    "override",
];

/// What may be done in an emergency, and to what.
const EMERGENCY: [&str; 4] = ["read", "write", "prescribe", "override"];
const EMERGENCY_KINDS: [&str; 5] = ["PatientRecord", "LabResult", "Prescription", "Imaging", "CareNote"];

/// What is asked for, as often as it stands here out of all.
const ASKED_ACTIONS: [(&str, usize); 9] = [
    ("read", 7),
    ("write", 3),
    ("create", 2),
    ("order", 1),
    ("prescribe", 1),
    ("approve", 1),
    ("bill", 1),
    ("audit", 1),
    ("delete", 1),
];
const ASKED_KINDS: [(&str, usize); 9] = [
    ("PatientRecord", 3),
    ("LabResult", 2),
    ("CareNote", 2),
    ("Prescription", 1),
    ("Imaging", 1),
    ("Schedule", 1),
    ("BillingRecord", 1),
    ("AuditLog", 1),
    ("Referral", 1),
];

const STAFF_PER_DEPARTMENT: usize = 5;
const TEAMS_PER_DEPARTMENT: usize = 2;
const QUESTIONS: usize = 500;

/// A hospital.
#[derive(Debug)]
pub(super) struct Hospital {
    departments: usize,
    staff: Vec<Staff>,
    questions: Vec<Question>,
}

/// Who works there.
#[derive(Clone, Debug)]
struct Staff {
    role: &'static str,
    clearance: i64,
    /// Two of each department, counted through.
    teams: Vec<usize>,
}

/// May this member of staff do this to a record of this kind?
#[derive(Debug)]
struct Question {
    staff: usize,
    action: &'static str,
    kind: &'static str,
    department: usize,
    sensitivity: i64,
    /// The right answer.
    permitted: bool,
}

impl Hospital {
    /// The hospital of so many departments; always the same.
    pub(super) fn new(departments: usize) -> Self {
        let mut random = Random::new(42);
        let mut staff = Vec::new();
        for department in 0..departments {
            for _ in 0..STAFF_PER_DEPARTMENT {
                let (role, clearance, _) = ROLES.get(random.below(ROLES.len())).copied().unwrap_or(ROLES[0]);
                let mut team = |department| department * TEAMS_PER_DEPARTMENT + random.below(TEAMS_PER_DEPARTMENT);
                let mut teams = vec![team(department)];
                for other in (0..departments).filter(|other| *other != department) {
                    if random.unit() < 0.05 {
                        teams.push(other * TEAMS_PER_DEPARTMENT + random.below(TEAMS_PER_DEPARTMENT));
                    }
                }
                staff.push(Staff { role, clearance, teams });
            }
        }
        let mut hospital = Self { departments, staff, questions: Vec::new() };
        hospital.questions = (0..QUESTIONS).map(|_| hospital.question(&mut random)).collect();
        hospital
    }

    fn question(&self, random: &mut Random) -> Question {
        let staff = random.below(self.staff.len());
        let home = staff / STAFF_PER_DEPARTMENT;
        let mut question = Question {
            staff,
            action: weighted(random, &ASKED_ACTIONS),
            kind: weighted(random, &ASKED_KINDS),
            department: if random.unit() < 0.8 { home } else { random.below(self.departments) },
            sensitivity: if random.unit() < 0.7 { 1 } else { i64::try_from(random.below(4)).unwrap_or(0) + 1 },
            permitted: false,
        };
        question.permitted = self.permits(&question);
        question
    }

    /// The rules, read plainly. Nobody here has the role of emergencies.
    fn permits(&self, question: &Question) -> bool {
        let Some(staff) = self.staff.get(question.staff) else { return false };
        let member = staff.teams.iter().any(|team| team / TEAMS_PER_DEPARTMENT == question.department);
        let may = ROLES.iter().any(|(role, _, permissions)| {
            *role == staff.role
                && permissions
                    .iter()
                    .any(|(kind, actions)| *kind == question.kind && actions.contains(&question.action))
        });
        member && may && question.sensitivity <= staff.clearance
    }

    /// How many policies there are.
    pub(super) const fn policies(&self) -> usize {
        33 * self.departments + EMERGENCY_KINDS.len()
    }

    /// What is asked.
    pub(super) fn asked(&self) -> Vec<Asked> {
        let questions = self.questions.iter().enumerate();
        questions
            .map(|(number, question)| Asked {
                question: json!({
                    "subject": { "type": "Staff", "id": format!("staff_{}", question.staff) },
                    "action": { "name": question.action },
                    "resource": { "type": "Record", "id": format!("record_{number}") },
                }),
                permitted: question.permitted,
            })
            .collect()
    }

    /// Writes a policy directory: schema, policies, entities.
    ///
    /// # Errors
    /// [`Failure`] if it can't be written.
    pub(super) fn write(&self, directory: &Path) -> Result<(), Failure> {
        let write = |file: &str, text: String| {
            let path = directory.join(file);
            std::fs::write(&path, text).map_err(|error| Failure::new(path.display(), error))
        };
        write("hospital.cedarschema", schema())?;
        write("hospital.cedar", self.text())?;
        write("hospital.json", Value::Array(self.entities()).to_string())
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for department in 0..self.departments {
            let within = format!("Department::\"dept_{department}\"");
            for (role, _, permissions) in ROLES {
                for (kind, actions) in permissions {
                    let _ = writeln!(
                        text,
                        "@id(\"dept-{department}-{role}-{kind}\")\npermit (principal in {within}, {}, resource in {within})\n\
                         when {{ principal.role == \"{role}\" && resource.kind == \"{kind}\" }};",
                        scope(actions)
                    );
                }
            }
            let _ = writeln!(
                text,
                "@id(\"sensitivity-{department}\")\nforbid (principal, action, resource in {within})\n\
                 when {{ resource.sensitivity > principal.clearance }};"
            );
        }
        for kind in EMERGENCY_KINDS {
            let _ = writeln!(
                text,
                "@id(\"emergency-{kind}\")\npermit (principal, {}, resource)\n\
                 when {{ principal.role == \"emergency\" && resource.kind == \"{kind}\" }};",
                scope(&EMERGENCY)
            );
        }
        text
    }

    fn entities(&self) -> Vec<Value> {
        let entity = |kind: &str, id: String, attrs: Value, parents: Vec<Value>| json!({ "uid": { "type": kind, "id": id }, "attrs": attrs, "parents": parents });
        let departments = (0..self.departments)
            .map(|department| entity("Department", format!("dept_{department}"), json!({}), Vec::new()));
        let teams = (0..self.departments * TEAMS_PER_DEPARTMENT).map(|team| {
            let department = json!({ "type": "Department", "id": format!("dept_{}", team / TEAMS_PER_DEPARTMENT) });
            entity("Team", format!("team_{team}"), json!({}), vec![department])
        });
        let staff = self.staff.iter().enumerate().map(|(number, staff)| {
            let teams = staff.teams.iter().map(|team| json!({ "type": "Team", "id": format!("team_{team}") }));
            let attrs = json!({ "role": staff.role, "clearance": staff.clearance });
            entity("Staff", format!("staff_{number}"), attrs, teams.collect())
        });
        let records = self.questions.iter().enumerate().map(|(number, question)| {
            let department = json!({ "type": "Department", "id": format!("dept_{}", question.department) });
            let attrs = json!({ "kind": question.kind, "sensitivity": question.sensitivity });
            entity("Record", format!("record_{number}"), attrs, vec![department])
        });
        departments.chain(teams).chain(staff).chain(records).collect()
    }
}

fn weighted(random: &mut Random, of: &[(&'static str, usize)]) -> &'static str {
    let mut left = random.below(of.iter().map(|(_, weight)| weight).sum());
    for (name, weight) in of {
        if left < *weight {
            return name;
        }
        left -= weight;
    }
    ""
}

/// One action as `==`, several as a list.
fn scope(actions: &[&str]) -> String {
    let named: Vec<_> = actions.iter().map(|action| format!("Action::\"{action}\"")).collect();
    match named.as_slice() {
        [one] => format!("action == {one}"),
        all => format!("action in [{}]", all.join(", ")),
    }
}

fn schema() -> String {
    format!(
        "entity Department;\nentity Team in [Department];\n\
         entity Staff in [Team] {{ role: String, clearance: Long }};\n\
         entity Record in [Department] {{ kind: String, sensitivity: Long }};\n\
         action {} appliesTo {{ principal: Staff, resource: Record }};\n",
        ACTIONS.join(", ")
    )
}
