use std::os::unix::fs::symlink;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::super::contract::{Backstage, keeps_the_contract};
use super::*;

const POLL: Duration = Duration::from_millis(200);

fn user((id, level, team): &(&str, i64, &str)) -> Json {
    json!({"uid": {"type": "User", "id": id}, "attrs": {"level": level}, "parents": [{"type": "Team", "id": team}]})
}

/// Files in a directory, which are replaced as editors do, by renaming.
struct Directory {
    root: TempDir,
}

impl Directory {
    fn path(&self) -> PathBuf {
        self.root.path().join("entities")
    }

    fn put(&self, name: &str, json: &Json) {
        let new = self.root.path().join("new");
        fs::write(&new, json.to_string()).unwrap();
        fs::rename(new, self.path().join(name)).unwrap();
    }
}

impl Backstage for Directory {
    async fn say(&mut self, users: &[(&str, i64, &str)]) {
        let _none = fs::remove_file(self.path().join("z.json"));
        self.put("users.json", &users.iter().map(user).collect());
        fs::write(self.path().join(".hidden.json"), "no JSON").unwrap();
        fs::write(self.path().join("notes.txt"), "no JSON").unwrap();
    }

    async fn say_nonsense(&mut self) {
        self.put("z.json", &json!([{"uid": {"type": "User", "id": "broken"}, "attrs": {}, "parents": []}]));
    }

    async fn reach(&mut self, reachable: bool) {
        let away = self.root.path().join("away");
        let (from, to) = if reachable { (away, self.path()) } else { (self.path(), away) };
        fs::rename(from, to).unwrap();
    }
}

#[tokio::test]
async fn a_directory_keeps_the_contract() {
    let directory = Directory { root: tempfile::tempdir().unwrap() };
    fs::create_dir(directory.path()).unwrap();
    let source = EntityFiles::new(directory.path(), POLL);
    keeps_the_contract(Box::new(source), directory).await;
}

/// One file in the volume of a `ConfigMap`: links into a directory that is itself a link, which is swapped.
struct ConfigMap {
    root: TempDir,
    version: usize,
    users: Vec<Json>,
}

impl ConfigMap {
    fn swap(&mut self) {
        self.version += 1;
        let version = format!("..version_{}", self.version);
        fs::create_dir(self.root.path().join(&version)).unwrap();
        let text = serde_json::to_string_pretty(&self.users).unwrap();
        fs::write(self.root.path().join(&version).join("entities.json"), text).unwrap();
        symlink(&version, self.root.path().join("..data_tmp")).unwrap();
        fs::rename(self.root.path().join("..data_tmp"), self.root.path().join("..data")).unwrap();
    }
}

impl Backstage for ConfigMap {
    async fn say(&mut self, users: &[(&str, i64, &str)]) {
        self.users = users.iter().map(user).collect();
        self.swap();
    }

    async fn say_nonsense(&mut self) {
        self.users.push(json!({"uid": {"type": "User", "id": "broken"}, "attrs": {"level": "x"}, "parents": []}));
        self.swap();
    }

    async fn reach(&mut self, reachable: bool) {
        let (link, away) = (self.root.path().join("entities.json"), self.root.path().join("away"));
        let (from, to) = if reachable { (away, link) } else { (link, away) };
        fs::rename(from, to).unwrap();
    }
}

#[tokio::test]
async fn a_file_of_a_config_map_keeps_the_contract() {
    let root = tempfile::tempdir().unwrap();
    symlink("..data/entities.json", root.path().join("entities.json")).unwrap();
    let source = EntityFiles::new(root.path().join("entities.json"), POLL);
    keeps_the_contract(Box::new(source), ConfigMap { root, version: 0, users: Vec::new() }).await;
}
