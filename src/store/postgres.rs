//! PostgreSQL, for an installation that runs one anyway.

use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Postgres, SqlSafeStr as _};

use super::{Database, StoreError};

/// `READ COMMITTED` is enough: each of our transactions writes the row first that its outcome depends on, and so waits
/// for another that does the same.
const BEGIN: &str = "BEGIN";

/// How many connections to keep at most. Decisions do not wait for the database, so few are enough.
const CONNECTIONS: u32 = 4;

/// How long to wait for a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens the database that `url` names. Migrations run under an advisory lock of the server's.
pub(super) async fn open(url: &str) -> Result<Database<Postgres>, StoreError> {
    let options: PgConnectOptions = url.parse()?;
    let options = options.application_name("portcullis");
    let pool =
        PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE).connect_with(options).await?;
    migrator().run(&pool).await?;
    Ok(Database { pool, begin: BEGIN })
}

pub(super) fn migrator() -> Migrator {
    let migration = |version, name: &'static str, statements: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, statements.into_sql_str(), false)
    };
    Migrator::with_migrations(vec![
        migration(1, "authorities", include_str!("../../migrations/postgres/0001_authorities.sql")),
        migration(2, "authority places", include_str!("../../migrations/postgres/0002_authority_places.sql")),
        migration(3, "entries", include_str!("../../migrations/postgres/0003_entries.sql")),
        migration(4, "federation", include_str!("../../migrations/postgres/0004_federation.sql")),
        migration(5, "revoked leaves", include_str!("../../migrations/postgres/0005_revoked_leaves.sql")),
        migration(
            6,
            "delegation revocations",
            include_str!("../../migrations/postgres/0006_delegation_revocations.sql"),
        ),
        migration(7, "used tokens", include_str!("../../migrations/postgres/0007_used_tokens.sql")),
    ])
}
