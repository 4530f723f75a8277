//! Documents in folders on shelves, and a thousand people, each of whom ten policies let read some of them.

use std::fmt::Write as _;

use portcullis::decision::query::{Action, Entity, Overlay, Properties};
use portcullis::decision::{Search, Sought};
use tempfile::TempDir;

const SCHEMA: &str = "
    entity Team;
    entity User in [Team];
    entity Shelf;
    entity Folder in [Shelf];
    entity Document in [Folder] { owner: User, level: Long };
    action read, edit, list, grade appliesTo { principal: User, resource: Document };
";

/// How many documents are in a folder, folders on a shelf, people, people in a team.
const IN_FOLDER: usize = 97;
const ON_SHELF: usize = 10;
const PEOPLE: usize = 1000;
const IN_TEAM: usize = 10;

/// The limit of each page.
const PAGE: usize = 1000;

pub(crate) struct Library {
    pub(crate) folders: usize,
    pub(crate) policies: usize,
}

impl Library {
    /// Everything as a policy directory.
    pub(crate) fn write(&self) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| std::fs::write(directory.path().join(name), text).unwrap();
        write("library.cedarschema", SCHEMA.to_owned());
        write("library.cedar", self.policies());
        write("library.json", self.entities());
        directory
    }

    fn policies(&self) -> String {
        let mut text = String::from(
            "permit(principal, action == Action::\"edit\", resource) when { resource.owner == principal };\n\
             permit(principal, action == Action::\"list\", resource);\n\
             permit(principal, action == Action::\"grade\", resource) when { resource.level * 2 == 84 };\n\
             forbid(principal, action, resource == Document::\"d17\");\n",
        );
        for number in 0..self.policies - 4 {
            let (user, folder) = (number % PEOPLE, (number * 7 + number / PEOPLE * 131) % self.folders);
            writeln!(
                text,
                "permit(principal == User::\"u{user}\", action == Action::\"read\", resource in Folder::\"f{folder}\");"
            )
            .unwrap();
        }
        text
    }

    fn entities(&self) -> String {
        let people = (0..PEOPLE).map(|user| entity(("User", 'u', user), "", ("Team", 't', user / IN_TEAM)));
        let folders =
            (0..self.folders).map(|folder| entity(("Folder", 'f', folder), "", ("Shelf", 's', folder / ON_SHELF)));
        let documents = (0..self.folders * IN_FOLDER).map(|document| {
            let (owner, level) = (document % PEOPLE, document % 5000);
            let attributes = format!(r#""owner":{{"type":"User","id":"u{owner}"}},"level":{level}"#);
            entity(("Document", 'd', document), &attributes, ("Folder", 'f', document / IN_FOLDER))
        });
        format!("[{}]", people.chain(folders).chain(documents).collect::<Vec<_>>().join(",\n"))
    }

    /// The searches that are measured.
    pub(crate) fn searches(&self) -> Vec<(&'static str, Search<'static>)> {
        let last = format!("d{}", 9 * self.folders * IN_FOLDER / 10);
        vec![
            ("who may read a document (selective)", self.subjects()),
            ("what u7 may read (selective: by folders)", documents("read")),
            ("what u7 may edit (selective: by owner)", documents("edit")),
            ("what u7 may grade (one of 5000, arithmetic)", documents("grade")),
            ("what u7 may list: everything, first page", documents("list")),
            ("what u7 may list: everything, a late page", Search { after: Some(last), ..documents("list") }),
        ]
    }

    pub(crate) fn subjects(&self) -> Search<'static> {
        let document = format!("d{}", self.folders / 2 * IN_FOLDER);
        let (kind, action, resource) = ("User".into(), Action::named("read"), Entity::named("Document", document));
        let (properties, overlay) = (Properties::default(), Overlay::default());
        page(Sought::Subjects { kind, properties, overlay, action, resource })
    }

    pub(crate) fn actions(&self) -> Search<'static> {
        let document = format!("d{}", self.folders / 2 * IN_FOLDER);
        page(Sought::Actions { subject: Entity::named("User", "u7"), resource: Entity::named("Document", document) })
    }
}

fn entity(
    (kind, letter, id): (&str, char, usize),
    attributes: &str,
    (above, first, parent): (&str, char, usize),
) -> String {
    let parents = format!(r#"[{{"type":"{above}","id":"{first}{parent}"}}]"#);
    format!(r#"{{"uid":{{"type":"{kind}","id":"{letter}{id}"}},"attrs":{{{attributes}}},"parents":{parents}}}"#)
}

fn documents(action: &'static str) -> Search<'static> {
    let (subject, action) = (Entity::named("User", "u7"), Action::named(action));
    let (kind, properties, overlay) = ("Document".into(), Properties::default(), Overlay::default());
    page(Sought::Resources { subject, action, kind, properties, overlay })
}

fn page(sought: Sought<'static>) -> Search<'static> {
    Search { sought, context: Properties::default(), after: None, limit: PAGE }
}
