//! The schema of the database, brought up to date.

use rusqlite::{Connection, TransactionBehavior};

use super::store::StoreFault;

/// The files of `schema/`, in their order. The number of those that were applied is the database's
/// `user_version`.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("../../../../../schema/0001_history.sql"),
    include_str!("../../../../../schema/0002_history.sql"),
    include_str!("../../../../../schema/0003_history.sql"),
    include_str!("../../../../../schema/0004_history.sql"),
    include_str!("../../../../../schema/0005_history.sql"),
];

/// `application_id` of a history database; the first migration sets it.
const APPLICATION_ID: i32 = 0x6578_686b;

/// The schema's version, which is 0 in a new file.
pub(super) fn check(db: &Connection) -> Result<usize, StoreFault> {
    // One statement, so that another process's migration is seen as a whole or not at all.
    let (version, application, objects): (i64, i32, i64) = db.query_row(
        "SELECT (SELECT user_version FROM pragma_user_version),
                (SELECT application_id FROM pragma_application_id),
                (SELECT count(*) FROM sqlite_schema)",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    if application != APPLICATION_ID && (application != 0 || version != 0 || objects != 0) {
        return Err(StoreFault::Unfit("it is a SQLite database, but not one of connection history".to_owned()));
    }
    match usize::try_from(version) {
        Ok(version) if version <= MIGRATIONS.len() => Ok(version),
        Ok(_) | Err(_) => Err(StoreFault::Unfit(format!(
            "it has schema version {version}, and this program knows versions up to {}",
            MIGRATIONS.len()
        ))),
    }
}

/// Brings the schema up to date. Of several processes that try at once, one does it.
pub(super) fn migrate(db: &mut Connection) -> Result<(), StoreFault> {
    if check(db)? == MIGRATIONS.len() {
        return Ok(());
    }
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = check(&transaction)?;
    for migration in MIGRATIONS.iter().skip(done) {
        transaction
            .execute_batch(migration)
            .map_err(|error| StoreFault::Unfit(format!("its migration failed: {error}")))?;
    }
    transaction.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX))?;
    Ok(transaction.commit()?)
}
