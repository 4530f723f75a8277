//! Tables of entities, made by the very scripts of `examples/entities`.

use std::fmt::Write as _;
use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};

use super::postgres_fixture::PostgresServer;
use crate::decision::entity::contract::{Backstage, Bench, keeps_the_contract};
use crate::store::EntityTable;

const POSTGRES: &str = include_str!("../../../examples/entities/postgres.sql");
const SQLITE: &str = include_str!("../../../examples/entities/sqlite.sql");

/// Whoever owns the tables.
enum Owner {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Owner {
    async fn run(&mut self, statements: &str) {
        let statements = AssertSqlSafe(statements.to_owned());
        match self {
            Self::Postgres(connection) => drop(connection.execute(sqlx::raw_sql(statements)).await.unwrap()),
            Self::Sqlite(connection) => drop(connection.execute(sqlx::raw_sql(statements)).await.unwrap()),
        }
    }
}

impl Backstage for Owner {
    async fn say(&mut self, users: &[(&str, i64, &str)]) {
        let mut statements = "BEGIN;".to_owned();
        let ids: Vec<String> = users.iter().map(|(id, ..)| format!("'{id}'")).collect();
        write!(statements, "DELETE FROM portcullis_entities WHERE id NOT IN ({});", ids.join(",")).unwrap();
        for (id, level, team) in users {
            write!(
                statements,
                "INSERT INTO portcullis_entities (type, id, attrs, parents)
                 VALUES ('User', '{id}', '{{\"level\": {level}}}', '[{{\"type\": \"Team\", \"id\": \"{team}\"}}]')
                 ON CONFLICT (type, id) DO UPDATE SET attrs = excluded.attrs, parents = excluded.parents;"
            )
            .unwrap();
        }
        self.run(&(statements + "COMMIT;")).await;
    }

    async fn say_nonsense(&mut self) {
        self.run("INSERT INTO portcullis_entities (type, id) VALUES ('User', 'broken')").await;
    }

    async fn reach(&mut self, reachable: bool) {
        let rename = if reachable {
            "ALTER TABLE away RENAME TO portcullis_entity_sequence"
        } else {
            "ALTER TABLE portcullis_entity_sequence RENAME TO away"
        };
        self.run(rename).await;
        if let Self::Postgres(_) = self {
            // All connections but this one break, that of LISTEN too.
            let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                          WHERE datname = current_database() AND pid <> pg_backend_pid()";
            self.run(others).await;
        }
    }
}

async fn on_postgres(server: &PostgresServer, name: &str) -> (EntityTable, Owner) {
    let url = server.new_database(name).await;
    let options = PgConnectOptions::from_str(&url).unwrap();
    let mut owner = Owner::Postgres(PgConnection::connect_with(&options).await.unwrap());
    owner.run(POSTGRES).await;
    (EntityTable::open(&url).unwrap(), owner)
}

async fn on_sqlite(directory: &std::path::Path) -> (EntityTable, Owner) {
    let path = directory.join("entities.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut owner = Owner::Sqlite(SqliteConnection::connect_with(&options).await.unwrap());
    owner.run(SQLITE).await;
    (EntityTable::open(&format!("sqlite:{}", path.display())).unwrap(), owner)
}

#[tokio::test]
async fn a_table_of_sqlite_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let (table, owner) = on_sqlite(directory.path()).await;
    keeps_the_contract(Box::new(table), owner).await;
}

#[tokio::test]
async fn a_table_of_postgres_keeps_the_contract() {
    let server = PostgresServer::start();
    let (table, owner) = on_postgres(&server, "entities").await;
    keeps_the_contract(Box::new(table), owner).await;
}

/// A log that does not lead on is no reason to miss anything.
async fn misses_nothing(table: EntityTable, mut owner: Owner, empty: &str) {
    let mut bench = Bench::new(Box::new(table));
    owner.say(&[("alice", 1, "red"), ("bob", 2, "red"), ("carol", 3, "red")]).await;
    assert_eq!(bench.read_all().await.entities, 3);
    // A statement that changes nothing is no change; one that changes a name is two.
    owner.run("UPDATE portcullis_entities SET id = 'x' WHERE id = 'nobody'").await;
    owner.run("UPDATE portcullis_entities SET id = 'dave' WHERE id = 'alice'").await;
    bench.until_users(&[("bob", 2, "red"), ("carol", 3, "red"), ("dave", 1, "red")]).await;
    owner.run("DELETE FROM portcullis_entities WHERE id = 'bob'").await;
    owner.run("DELETE FROM portcullis_entity_changes").await;
    bench.until_users(&[("carol", 3, "red"), ("dave", 1, "red")]).await;
    owner.run(empty).await;
    bench.until_users(&[]).await;
    owner.run("UPDATE portcullis_entity_sequence SET sequence = 0").await;
    owner.say(&[("erin", 4, "red")]).await;
    bench.until_users(&[("erin", 4, "red")]).await;
}

#[tokio::test]
async fn nothing_is_missed_in_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let (table, owner) = on_sqlite(directory.path()).await;
    misses_nothing(table, owner, "DELETE FROM portcullis_entities").await;
}

#[tokio::test]
async fn nothing_is_missed_in_postgres() {
    let server = PostgresServer::start();
    let (table, owner) = on_postgres(&server, "entities").await;
    misses_nothing(table, owner, "TRUNCATE portcullis_entities").await;
}
