//! From the files of a mapping to the [`Mapping`]: all of it is right, or it is refused with everything that is wrong.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::OFlag;

use super::compile::Compiler;
use super::document::{Document, place};
use super::route::{HostPattern, Route};
use super::routes::Mapping;
use super::table::Table;
use crate::decision::policy::problem::refuse_if_any;
use crate::decision::policy::{LoadError, Problem};
use crate::foundation::digest::{Digest, Hasher};

/// The most that all files may hold together, in bytes.
const TOTAL_LIMIT: u64 = 16 << 20;
/// The most routes. Each is compared with those of its host.
const MAX_ROUTES: usize = 10_000;
/// How often files that change while they are read are read again.
const ATTEMPTS: usize = 10;
/// How long to wait in between.
const PAUSE: Duration = Duration::from_millis(20);

/// The files of a mapping, as they were read: one, or all of a directory that end with `.yaml` or `.yml`.
#[derive(Debug, Eq, PartialEq)]
pub struct MappingFiles(Vec<(PathBuf, String)>);

impl MappingFiles {
    /// Reads them as one state: if any changes meanwhile, they are read again.
    ///
    /// # Errors
    /// [`LoadError`]: one can't be read, is too large, is not text, or does not stop changing.
    pub fn read(path: &Path) -> Result<Self, LoadError> {
        let mut before = Self::read_once(path);
        for _ in 0..ATTEMPTS {
            let now = Self::read_once(path);
            if before.is_ok() && before == now {
                return now;
            }
            // A failure is tried again too: while Kubernetes takes a key away, its link points nowhere for a moment.
            std::thread::sleep(PAUSE);
            before = now;
        }
        before?;
        Err(LoadError::single(Problem::new(path, "the files keep changing while they are read")))
    }

    fn read_once(path: &Path) -> Result<Self, LoadError> {
        let failed = |path: &Path, error: io::Error| LoadError::single(Problem::new(path, error));
        let mut files = Vec::new();
        let mut left = TOTAL_LIMIT;
        for file in list(path).map_err(|error| failed(path, error))? {
            let text = read(&file, left).map_err(|error| failed(&file, error))?;
            left = left.saturating_sub(u64::try_from(text.len()).unwrap_or(u64::MAX));
            files.push((file, text));
        }
        if files.is_empty() {
            return Err(LoadError::single(Problem::new(
                path,
                "the directory has no file that ends with `.yaml` or `.yml`",
            )));
        }
        Ok(Self(files))
    }

    /// SHA-256 over their names and bytes.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::new();
        for (path, text) in &self.0 {
            let name = path.file_name().unwrap_or_default();
            hasher.field(name.as_encoded_bytes()).field(text.as_bytes());
        }
        hasher.finish()
    }

    /// Files that are not on a disk.
    #[cfg(test)]
    pub(in crate::decision) fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(name, text)| (PathBuf::from(name), (*text).to_owned())).collect())
    }
}

impl Mapping {
    /// Reads and compiles a file, or those of a directory. Blocks on the disk and on the CPU: not for an async thread.
    ///
    /// # Errors
    /// [`LoadError`] with every problem that was found.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        Self::compile(&MappingFiles::read(path)?)
    }

    /// Compiles what was read.
    ///
    /// # Errors
    /// [`LoadError`] with every problem that was found.
    pub fn compile(files: &MappingFiles) -> Result<Self, LoadError> {
        let (mut routes, mut problems) = (Vec::new(), Vec::new());
        for (path, text) in &files.0 {
            routes.extend(compile_file(path, text, &mut problems));
        }
        refuse_if_any(problems)?;
        if let Some(route) = routes.get(MAX_ROUTES) {
            return Err(LoadError::single(route.problem(route.position, "is one more than 10000 routes")));
        }
        let mut problems = same_names(&routes);
        problems.extend(conflicts(&routes));
        refuse_if_any(problems)?;
        Ok(Self { table: Table::of(&routes), routes, digest: files.digest() })
    }
}

fn compile_file(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Vec<Route> {
    let document = match Document::read(text) {
        Ok(document) => document,
        Err((position, message)) => {
            problems.push(Problem::positioned(path, position, message));
            return Vec::new();
        }
    };
    if document.version.value != 1 {
        problems.push(Problem::positioned(path, place(&document.version), "the version that is understood is 1"));
        return Vec::new();
    }
    let mut compiler = Compiler { file: Arc::from(path), problems };
    document.routes.iter().filter_map(|route| compiler.route(route)).collect()
}

fn same_names(routes: &[Route]) -> Vec<Problem> {
    let mut homes: HashMap<(&HostPattern, &str), &Route> = HashMap::new();
    let mut problems = Vec::new();
    for route in routes {
        if let Some(first) = homes.insert((&route.host, &route.name), route) {
            // Routes that are named after what they match, and match the same, are told of as such.
            if route.conflict(first).is_none() {
                problems.push(route.problem(route.position, format_args!("{} has this name already", first.place())));
            }
        }
    }
    problems
}

/// Routes of which both could be taken.
fn conflicts(routes: &[Route]) -> Vec<Problem> {
    let mut by_host: HashMap<&HostPattern, Vec<&Route>> = HashMap::new();
    let mut problems = Vec::new();
    for route in routes {
        let others = by_host.entry(&route.host).or_default();
        problems.extend(others.iter().filter_map(|other| route.conflict(other)));
        others.push(route);
    }
    problems
}

/// The file itself, or the files of a directory, by name. Links are followed; hidden names are not seen.
fn list(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let is_yaml = file.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        if is_yaml && !hidden {
            files.push(file);
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn read(path: &Path, limit: u64) -> io::Result<String> {
    // Opening a pipe would wait for its other end.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = String::new();
    file.take(limit.saturating_add(1)).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > limit {
        return Err(io::Error::other("the files have more than 16 MiB together"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
