//! Long names that a version before 0.5.1 wrote whole. What is told of a client now has its name as
//! it is cut, and must find by it what that version left open.

use rusqlite::{Connection, Params, Result, params};

use exhook_policy_core::event::short::stored;

/// Of an attempt that is further back than so many, no answer comes any more.
const ANSWERED_WITHIN: i64 = 10_000;

/// Reads nothing but the index of what is open.
const OPEN: &str = "SELECT id, clientid, cluster FROM connections
     WHERE disconnected_at IS NULL AND octet_length(clientid) > 512";
/// No index has the user names, so the newest are read.
const UNANSWERED: &str = "SELECT id, clientid, username FROM attempts
     WHERE id > (SELECT max(id) FROM attempts) - ?1 AND connack IS NULL
       AND (octet_length(clientid) > 512 OR octet_length(username) > 512)";
const EXPECTED: &str = "SELECT connection, clientid, cluster FROM handovers WHERE octet_length(clientid) > 512";

/// Cuts the names of what is open: connections and their subscriptions, attempts without an answer,
/// and ends that are expected. Writes in the transaction that is open.
pub(crate) fn cut(db: &Connection) -> Result<()> {
    for (id, clientid, cluster) in rows(db, OPEN, [])? {
        let name = stored(&clientid);
        if name == clientid {
            continue;
        }
        // Where the client came again meanwhile, its newer row is the open one.
        db.execute(
            "UPDATE connections SET closed_by = 'superseded', disconnected_at = max(connections.connected_at, newer.connected_at)
             FROM (SELECT connected_at FROM connections
                   WHERE clientid = ?2 AND cluster = ?3 AND disconnected_at IS NULL) AS newer
             WHERE id = ?1",
            params![id, name, cluster],
        )?;
        db.execute("UPDATE connections SET clientid = ?2 WHERE id = ?1", params![id, name])?;
        db.execute(
            "UPDATE OR REPLACE subscriptions SET clientid = ?2 WHERE clientid = ?1 AND cluster = ?3",
            params![clientid, name, cluster],
        )?;
    }
    for (id, clientid, username) in rows(db, UNANSWERED, [ANSWERED_WITHIN])? {
        db.execute(
            "UPDATE attempts SET clientid = ?2, username = ?3 WHERE id = ?1",
            params![id, stored(&clientid), stored(&username)],
        )?;
    }
    for (connection, clientid, cluster) in rows(db, EXPECTED, [])? {
        db.execute(
            "UPDATE OR REPLACE handovers SET clientid = ?3 WHERE connection = ?1 AND clientid = ?2 AND cluster = ?4",
            params![connection, clientid, stored(&clientid), cluster],
        )?;
    }
    Ok(())
}

fn rows(db: &Connection, sql: &str, params: impl Params) -> Result<Vec<(i64, String, String)>> {
    db.prepare(sql)?.query_map(params, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::sqlite::store::Store;
    use exhook_policy_core::event::short::short;
    use exhook_policy_core::policy::model::Sync;

    fn texts(db: &Connection, sql: &str, column: usize) -> Vec<String> {
        let mut statement = db.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(column)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    #[test]
    fn open_rows_with_long_names_are_found_in_the_index_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("history.db"), Sync::Normal).unwrap();
        let plan = texts(&store.db, &format!("EXPLAIN QUERY PLAN {OPEN}"), 3);
        assert_eq!(plan, ["SCAN connections USING INDEX connections_open"]);
        let plan = texts(&store.db, &format!("EXPLAIN QUERY PLAN {}", UNANSWERED.replace("?1", "9")), 3);
        assert_eq!(plan[0], "SEARCH attempts USING INTEGER PRIMARY KEY (rowid>?)");
    }

    #[test]
    fn what_is_open_gets_the_cut_name_and_all_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("history.db"), Sync::Normal).unwrap();
        let names = ["a", "b"].map(|end| "x".repeat(600) + end);
        let insert = |sql: &str| {
            let sql = sql.replace("A*", &names[0]).replace("B*", &names[1]).replace("b-", &short(&names[1]));
            store.db.execute_batch(&sql).unwrap();
        };
        insert(
            "INSERT INTO connections (id, clientid, username, peerhost, sockport, protocol, node, connected_at,
                                      disconnected_at, broker, cluster)
             VALUES (1, 'A*', 'A*', '', 1, '', '', 10, 20, 1, ''), (2, 'A*', 'A*', '', 1, '', '', 30, NULL, 1, ''),
                    (3, 'B*', 'u', '', 1, '', '', 40, NULL, 1, ''), (4, 'b-', 'u', '', 1, '', '', 50, NULL, 1, ''),
                    (5, 'A*', 'u', '', 1, '', '', 60, NULL, 1, 'eu'), (6, 'c', 'u', '', 1, '', '', 70, NULL, 1, '');
             INSERT INTO subscriptions (clientid, topic, qos, subscribed_at, broker, cluster)
             VALUES ('A*', 't', 0, 1, 1, ''), ('A*', 'eu/t', 0, 1, 1, 'eu'), ('B*', 't', 0, 1, 1, ''), ('b-', 't', 1, 1, 1, '');
             INSERT INTO attempts (id, at, clientid, username, peerhost, sockport, proto_name, proto_ver, keepalive, node, connack)
             VALUES (1, 1, 'A*', 'B*', '', 1, '', 5, 1, '', 'success'), (2, 1, 'A*', 'B*', '', 1, '', 5, 1, '', NULL),
                    (3, 1, 'c', 'B*', '', 1, '', 5, 1, '', NULL);
             INSERT INTO handovers (clientid, connection, until, cluster) VALUES ('A*', 1, 99, '');",
        );
        cut(&store.db).unwrap();
        let shown = |sql: &str| -> Vec<String> {
            let whole = |text: String| text.replace(&names[0], "A*").replace(&names[1], "B*");
            let cut = |text: String| text.replace(&*short(&names[0]), "a-").replace(&*short(&names[1]), "b-");
            let mut shown: Vec<String> = texts(&store.db, sql, 0).into_iter().map(cut).map(whole).collect();
            shown.sort();
            shown
        };
        let connections = "SELECT concat_ws(' ', id, clientid, username, disconnected_at, closed_by) FROM connections";
        let expected = ["1 A* A* 20", "2 a- A*", "3 b- u 50 superseded", "4 b- u", "5 a- u", "6 c u"];
        assert_eq!(shown(connections), expected);
        let subscriptions = "SELECT concat_ws(' ', clientid, topic, cluster) FROM subscriptions";
        assert_eq!(shown(subscriptions), ["a- eu/t eu", "a- t ", "b- t "]);
        let attempts = "SELECT concat_ws(' ', id, clientid, username) FROM attempts";
        assert_eq!(shown(attempts), ["1 A* B*", "2 a- b-", "3 c b-"]);
        assert_eq!(shown("SELECT clientid FROM handovers"), ["a-"]);
        // What is cut is not cut again.
        cut(&store.db).unwrap();
        assert_eq!(shown(connections), expected);
    }
}
