//! The SQL of the reports, and how the filters apply to each.

use std::fmt::Write as _;

use rusqlite::types::Value;

use super::rows::{BanRow, ClientRow, ConnectionRow, DenialRow, OnlineRow};
use super::{HostFilter, RowFilter};
use crate::limits::Peer;
use exhook_policy_core::event::short::stored;

/// From this schema version on there are clusters.
const HAS_CLUSTERS: i64 = 3;
/// From this schema version on there are the columns that a report calls new.
const HAS_REASONS: i64 = 5;

/// One kind of rows: a table or view, and how the filters apply to it. `CLUSTER` stands for the column, which older
/// files do not have.
pub(super) struct ReportSql {
    from: &'static str,
    columns: &'static [&'static str],
    /// Those of them that files before [`HAS_REASONS`] do not have.
    new: &'static [&'static str],
    /// Newest first.
    order: &'static str,
    /// Of a name, as it was given and as it is cut.
    username: &'static str,
    peerhost: &'static str,
    /// Whether addresses stand there as they are counted: those of a network of IPv6 as that.
    has_networks: bool,
    /// Conditions in which `?` is a time.
    since: &'static str,
    until: &'static str,
}

pub(super) const ONLINE: ReportSql = ReportSql {
    from: "online",
    columns: OnlineRow::COLUMNS,
    new: &["rule"],
    order: "connected_at DESC, id DESC",
    username: "username IN (?, ?)",
    peerhost: "peerhost = ?",
    has_networks: false,
    since: "connected_at >= ?",
    until: "connected_at <= ?",
};

pub(super) const CLIENTS: ReportSql = ReportSql {
    from: "clients",
    columns: ClientRow::COLUMNS,
    new: &[],
    order: "last_connected_at DESC, clientid, CLUSTER",
    username: "(clientid, CLUSTER) IN (SELECT clientid, CLUSTER FROM connections WHERE username IN (?, ?))",
    peerhost: "(clientid, CLUSTER) IN (SELECT clientid, CLUSTER FROM connections WHERE peerhost = ?)",
    has_networks: false,
    // Seen at some time between the two.
    since: "(online = 1 OR last_disconnected_at >= ?)",
    until: "first_connected_at <= ?",
};

pub(super) const CONNECTIONS: ReportSql = ReportSql {
    from: "connections",
    columns: ConnectionRow::COLUMNS,
    new: &["rule"],
    order: "id DESC",
    username: "username IN (?, ?)",
    peerhost: "peerhost = ?",
    has_networks: false,
    // That lasted at some time between the two.
    since: "(disconnected_at IS NULL OR disconnected_at >= ?)",
    until: "connected_at <= ?",
};

/// Those that ended, by their ends.
pub(super) const ENDS: ReportSql = ReportSql {
    from: "(SELECT * FROM connections WHERE disconnected_at IS NOT NULL)",
    order: "disconnected_at DESC, id DESC",
    since: "disconnected_at >= ?",
    until: "disconnected_at <= ?",
    ..CONNECTIONS
};

pub(super) const DENIALS: ReportSql = ReportSql {
    from: "denials",
    columns: DenialRow::COLUMNS,
    new: &["reason", "policy"],
    order: "id DESC",
    username: "username IN (?, ?)",
    peerhost: "peerhost = ?",
    has_networks: false,
    since: "at >= ?",
    until: "at <= ?",
};

/// A ban ends when it is over or lifted. What it is by stands in columns, of which those that are not asked for are NULL.
pub(super) const ALL_BANS: ReportSql = ReportSql {
    from: "(SELECT *, concat_ws(' ', clientid, username, peerhost) AS who,
                   concat_ws(', ', iif(clientid IS NULL, NULL, 'clientid'), iif(username IS NULL, NULL, 'username'),
                             iif(peerhost IS NULL, NULL, 'peerhost')) AS \"by\" FROM bans)",
    columns: BanRow::COLUMNS,
    new: &[],
    order: "id DESC",
    username: "username IN (?, ?)",
    peerhost: "peerhost = ?",
    has_networks: true,
    since: "min(until, coalesce(lifted, until)) >= ?",
    until: "since <= ?",
};

/// Those that hold.
pub(super) const BANS: ReportSql = ReportSql {
    from: "(SELECT *, concat_ws(' ', clientid, username, peerhost) AS who,
                   concat_ws(', ', iif(clientid IS NULL, NULL, 'clientid'), iif(username IS NULL, NULL, 'username'),
                             iif(peerhost IS NULL, NULL, 'peerhost')) AS \"by\" FROM bans
            WHERE lifted IS NULL AND until > unixepoch('subsec') * 1000)",
    ..ALL_BANS
};

impl ReportSql {
    /// The query for a database of this schema version, and its parameters.
    pub(super) fn query(&self, filter: &RowFilter, version: i64) -> (String, Vec<Value>) {
        let (from, values) = self.selection(filter, version);
        let columns: Vec<String> = self.columns.iter().map(|column| self.column(column, version)).collect();
        let order = self.order.replace("CLUSTER", &self.column("cluster", version));
        let mut sql = format!("SELECT {} {from} ORDER BY {order}", columns.join(", "));
        if let Some(limit) = filter.limit {
            let _ = write!(sql, " LIMIT {limit}");
        }
        (sql, values)
    }

    /// A column in a database of this schema version.
    pub(super) fn column(&self, column: &str, version: i64) -> String {
        let is_missing =
            (version < HAS_CLUSTERS && column == "cluster") || (version < HAS_REASONS && self.new.contains(&column));
        // `by` is a word of SQL.
        if is_missing { "''".to_owned() } else { format!("\"{column}\"") }
    }

    /// The rows that the filter asks for, as SQL from `FROM` on, and its parameters.
    pub(super) fn selection(&self, filter: &RowFilter, version: i64) -> (String, Vec<Value>) {
        let mut conditions = vec!["1".to_owned()];
        let mut values = Vec::new();
        let mut add = |condition: &str, of_condition: Vec<Value>| {
            if !of_condition.is_empty() {
                conditions.push(condition.to_owned());
                values.extend(of_condition);
            }
        };
        // Long names stand there cut and marked, and may be asked for as they are shown. Before 0.5.1
        // they stood there whole.
        let name = |name: &Option<String>| {
            let name = name.as_deref();
            let texts = name.map(|name| [name.to_owned(), stored(name).into_owned()]);
            texts.map(|texts| texts.map(Value::Text).to_vec()).unwrap_or_default()
        };
        let one = |value: Option<Value>| value.into_iter().collect();
        add("clientid IN (?, ?)", name(&filter.clientid));
        add("CLUSTER IN (?, ?)", name(&filter.cluster));
        add(self.username, name(&filter.username));
        let host = |host: HostFilter| match host {
            HostFilter::Address(address) if self.has_networks => Peer::from(address).to_string(),
            HostFilter::Address(address) => address.to_string(),
            HostFilter::Network(network) => network.to_string(),
        };
        add(self.peerhost, one(filter.peerhost.map(host).map(Value::Text)));
        add(self.since, one(filter.since.map(Value::Integer)));
        add(self.until, one(filter.until.map(Value::Integer)));
        let sql = format!("FROM {} WHERE {}", self.from, conditions.join(" AND "));
        (sql.replace("CLUSTER", &self.column("cluster", version)), values)
    }
}
