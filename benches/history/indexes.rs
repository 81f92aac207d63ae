//! What an event costs SQLite, by the form of the file: the statements of the driver's usual way, in one thread.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use crate::ROUNDS;
use crate::cpu;
use crate::rows::{Part, Report, Row, Spread};
use crate::workload::{CALLERS, Script, Workload, name};

const EVENTS: usize = 100_000;

const FIRST: &str = include_str!("../../schema/0001_history.sql");
const SECOND: &str = include_str!("../../schema/0002_history.sql");
const CHECK: &str = "CHECK (closed_by IN ('event', 'takeover', 'superseded', 'restart'))";

/// A form of the file.
#[derive(Debug, Clone, Copy)]
struct Form {
    about: &'static str,
    /// Beside the index on open rows.
    indexes: &'static [&'static str],
    page_size: u32,
    /// The driver has SQLite pass over it.
    check: bool,
    /// Events between two checkpoints.
    checkpoint: usize,
}

const PLAIN: Form =
    Form { about: "index on open rows", indexes: &[], page_size: 4_096, check: false, checkpoint: 4_000 };

const FORMS: &[Form] = &[
    PLAIN,
    Form { about: "and (clientid)", indexes: &["clientid"], ..PLAIN },
    Form { about: "and (clientid, connected_at)", indexes: &["clientid, connected_at"], ..PLAIN },
    Form { about: "and (connected_at)", indexes: &["connected_at"], ..PLAIN },
    Form { about: "and (disconnected_at)", indexes: &["disconnected_at"], ..PLAIN },
    Form { about: "with the CHECK on closed_by", check: true, ..PLAIN },
    Form { about: "pages of 1,024", page_size: 1_024, ..PLAIN },
    Form { about: "pages of 8,192", page_size: 8_192, ..PLAIN },
    Form { about: "a checkpoint each 1,000 events", checkpoint: 1_000, ..PLAIN },
    Form { about: "a checkpoint each 16,000 events", checkpoint: 16_000, ..PLAIN },
];

/// The second part of the report.
pub(crate) fn table(rows: &mut Report) {
    println!("\nplain SQL, {CALLERS} events a commit, one thread");
    let [small, _, fleet] = Workload::ALL;
    let mut values = vec![[Vec::new(), Vec::new()]; FORMS.len()];
    for _ in 0..ROUNDS {
        for (form, values) in FORMS.iter().zip(&mut values) {
            for (workload, values) in [small, fleet].into_iter().zip(values) {
                values.push(run(*form, workload));
            }
        }
    }
    for (form, values) in FORMS.iter().zip(&values) {
        for (workload, values) in [small, fleet].into_iter().zip(values) {
            rows.push(Row::new(Part::Indexes, form.about, workload.about, "us", Spread::of_rounds(values)));
        }
    }
}

fn run(form: Form, workload: Workload) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let mut db = open(form, &dir.path().join("history.db"));
    let names: Vec<String> = (0..workload.names).map(name).collect();
    if workload.online {
        let transaction = db.transaction().unwrap();
        for client in &names {
            connected(&transaction, client, 0);
        }
        transaction.commit().unwrap();
    }
    let mut script = Script::of(workload);
    let mut since = 0;
    let began = cpu(|_| true);
    for batch in 0..EVENTS / CALLERS {
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        for caller in 0..CALLERS {
            let step = script.next(caller);
            let at = i64::try_from(1_000_000 + batch).unwrap();
            if step.connects {
                connected(&transaction, &names[step.client], at);
            } else {
                disconnected(&transaction, &names[step.client], at);
            }
        }
        transaction.commit().unwrap();
        since += CALLERS;
        if since >= form.checkpoint {
            since = 0;
            db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
        }
    }
    each(cpu(|_| true).saturating_sub(began))
}

fn each(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6 / EVENTS as f64
}

fn open(form: Form, path: &Path) -> Connection {
    let db = Connection::open(path).unwrap();
    db.set_prepared_statement_cache_capacity(64);
    db.pragma_update(None, "page_size", form.page_size).unwrap();
    db.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
    db.pragma_update(None, "synchronous", "NORMAL").unwrap();
    db.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    db.pragma_update(None, "cache_size", -16_000).unwrap();
    assert!(FIRST.contains(CHECK));
    db.execute_batch(&if form.check { FIRST.to_owned() } else { FIRST.replace(CHECK, "") }).unwrap();
    db.execute_batch(SECOND).unwrap();
    for (number, columns) in form.indexes.iter().enumerate() {
        db.execute_batch(&format!("CREATE INDEX more{number} ON connections ({columns})")).unwrap();
    }
    db
}

fn connected(db: &Transaction<'_>, clientid: &str, at: i64) {
    db.prepare_cached(
        "INSERT INTO connections (clientid, username, peerhost, sockport, protocol, node, connected_at, broker)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .unwrap()
    .execute(params![clientid, clientid, "10.0.17.42", 1883, "mqtt", "emqx@127.0.0.1", at, 1])
    .unwrap();
}

fn disconnected(db: &Transaction<'_>, clientid: &str, at: i64) {
    let ended = db
        .prepare_cached(
            "UPDATE connections SET disconnected_at = max(?2, connected_at), reason = ?3, closed_by = 'event'
             WHERE clientid = ?1 AND disconnected_at IS NULL
               AND NOT EXISTS (SELECT 1 FROM handovers WHERE clientid = ?1)",
        )
        .unwrap()
        .execute(params![clientid, at, "tcp_closed"])
        .unwrap();
    assert_eq!(ended, 1);
}
