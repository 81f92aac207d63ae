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

#[cfg(test)]
mod tests {
    use super::super::store::Store;
    use super::*;
    use exhook_policy_core::policy::model::Sync;

    const TABLES: [&str; 9] = [
        "connections",
        "denials",
        "attempts",
        "subscriptions",
        "messages",
        "bans",
        "broker_processes",
        "drivers",
        "handovers",
    ];

    /// All columns that version 4 had, of all rows, in the order of the rows.
    fn rows(db: &Connection, columns: &[String]) -> Vec<Vec<String>> {
        let of_table = |(table, columns): (&&str, &String)| {
            let sql = format!("SELECT concat_ws('|', {columns}) FROM {table} ORDER BY rowid");
            let sql = if ["subscriptions", "handovers"].contains(table) { sql.replace("rowid", "1") } else { sql };
            let mut statement = db.prepare(&sql).unwrap();
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        TABLES.iter().zip(columns).map(of_table).collect()
    }

    #[test]
    fn a_database_recorded_by_0_5_2_is_migrated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(include_str!("recorded/0.5.2.sql")).unwrap();
        assert_eq!(check(&old).unwrap(), 4);
        let names = |table: &&str| -> String {
            let sql = format!("SELECT group_concat(name) FROM pragma_table_info('{table}')");
            old.query_row(&sql, [], |row| row.get(0)).unwrap()
        };
        let columns: Vec<String> = TABLES.iter().map(names).collect();
        let before = rows(&old, &columns);
        assert_eq!((before[0].len(), before[1].len()), (26, 20));
        drop(old);
        let store = Store::open(&path, Sync::Normal).unwrap();
        assert_eq!(check(&store.db).unwrap(), MIGRATIONS.len());
        assert_eq!(rows(&store.db, &columns), before);
        let count = |sql: &str| store.db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(count("SELECT count(*) FROM denials WHERE reason = '' AND policy = ''"), 20);
        assert_eq!(count("SELECT count(*) FROM online WHERE rule = ''"), 3);
    }
}
