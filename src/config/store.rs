//! Where state is kept.

use std::fmt;
use std::path::{Path, PathBuf};

use super::node::{Node, Value};
use super::reader::{Section, Setting};
use super::values::{absolute, text};
use crate::foundation::secret::Secret;

/// Parameters of a connection URL that may be seen. Any other is hidden: `password` is a secret however it is spelt.
const OPEN_PARAMETERS: [&str; 7] = ["application_name", "dbname", "host", "port", "sslmode", "sslrootcert", "user"];

/// The section `store`.
#[derive(Clone, Debug)]
pub struct Store {
    /// The database.
    pub url: StoreUrl,
}

/// A database.
#[derive(Clone, Debug)]
pub enum StoreUrl {
    /// A file of SQLite, which is made if it does not exist.
    Sqlite(PathBuf),
    /// `postgres://…`, which may hold a password.
    Postgres(Secret<String>),
}

impl Store {
    pub(super) fn read(section: &mut Section<'_>, data_dir: &Path) -> Option<Self> {
        let default = Value::Text(format!("sqlite:{}/portcullis.db", data_dir.display()));
        Some(Self { url: section.value_or("url", default)? })
    }
}

impl Setting for StoreUrl {
    fn read(node: &Node, base: &Path) -> Result<Self, String> {
        let expected = "`sqlite:PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`";
        let url = text(node, expected)?;
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" | ":memory:" => Err("the database must be a file, or every restart would forget all".to_owned()),
                _ if path.contains(['?', '\0']) => Err("the path of an SQLite file takes no parameters".to_owned()),
                _ => Ok(Self::Sqlite(absolute(base, path))),
            };
        }
        // The text itself stays out of every message: it may hold a password.
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let rest = rest.ok_or_else(|| format!("expected {expected}"))?;
        let (authority, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if after.contains('@') || authority.matches('@').count() > 1 {
            return Err("`@`, `/`, `?` and `#` in a user name or password must be percent-encoded".to_owned());
        }
        Ok(Self::Postgres(Secret::new(url.to_owned())))
    }

    fn shown(&self, _written: &Node) -> Value {
        Value::Text(self.to_string())
    }
}

impl StoreUrl {
    /// The whole URL, secrets and all, for who connects.
    pub fn expose(&self) -> Secret<String> {
        match self {
            Self::Sqlite(path) => Secret::new(format!("sqlite:{}", path.display())),
            Self::Postgres(url) => url.clone(),
        }
    }
}

/// The URL without its secrets.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => f.write_str(&masked(url.expose())),
        }
    }
}

/// Hides the password and every parameter that is not known to be harmless. Reading has made sure that the only `@`
/// ends the user's part.
fn masked(url: &str) -> String {
    let (base, parameters) = url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
    let (scheme, rest) = base.split_once("://").unwrap_or(("postgres", base));
    let shown = match rest.split_once('@') {
        Some((user, place)) => match user.split_once(':') {
            Some((name, _password)) => format!("{scheme}://{name}:…@{place}"),
            None => base.to_owned(),
        },
        None => base.to_owned(),
    };
    match parameters {
        Some(query) => format!("{shown}?{}", query.split('&').map(masked_parameter).collect::<Vec<_>>().join("&")),
        None => shown,
    }
}

fn masked_parameter(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((name, _)) if OPEN_PARAMETERS.contains(&name) => parameter.to_owned(),
        Some((name, _)) => format!("{name}=…"),
        None => "…".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<StoreUrl, String> {
        let origin = super::super::origin::Origin::Default;
        StoreUrl::read(&Node { origin, value: Value::Text(url.to_owned()) }, Path::new("/base"))
    }

    #[test]
    fn no_spelling_of_a_password_is_shown() {
        for (url, shown) in [
            ("postgres://u:hunter2@h:5432/db?sslmode=require", "postgres://u:…@h:5432/db?sslmode=require"),
            ("postgresql://u:hunter2:x@h/db", "postgresql://u:…@h/db"),
            ("postgres://h/db?user=u&password=hunter2", "postgres://h/db?user=u&password=…"),
            ("postgres://h/db?pass%77ord=hunter2", "postgres://h/db?pass%77ord=…"),
            ("postgres://u:hunter2@h/db?options=-c%20x=hunter2&hunter2", "postgres://u:…@h/db?options=…&…"),
            ("postgres://h/db", "postgres://h/db"),
        ] {
            let url = read(url).unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_url_whose_password_could_not_be_told_apart_is_refused_without_repeating_it() {
        for url in [
            "postgres://u:hunter2/x@h/db",
            "postgres://u:x@hunter2@h/db",
            "postgres://h/db?password=hunter2@x",
            "postgres://u:hunter2#@h/db",
            "mysql://u:hunter2@h/db",
        ] {
            assert!(!read(url).unwrap_err().contains("hunter2"), "{url}");
        }
    }

    #[test]
    fn sqlite_is_a_file() {
        assert_eq!(read("sqlite:x.db").unwrap().to_string(), "sqlite:/base/x.db");
        assert_eq!(read("sqlite:///x.db").unwrap().to_string(), "sqlite:/x.db");
        for url in ["sqlite:", "sqlite::memory:", "sqlite:x.db?mode=ro"] {
            assert!(read(url).is_err(), "{url}");
        }
    }
}
