//! What the reports have of each row. The fields are named as the columns in `schema/`; times are Unix milliseconds.

use rusqlite::types::{FromSql, FromSqlResult, Value, ValueRef};
use rusqlite::{Result, Row};

/// A value as it stands in the database. SQLite keeps in any column what somebody wrote there by hand, and it is shown as
/// that.
#[derive(Debug, Clone, PartialEq)]
pub enum StoredValue {
    /// There is none.
    Missing,
    /// A number, or a time.
    Integer(i64),
    /// A number with a fraction: no column of this program's has one.
    Real(f64),
    /// A text. Of bytes that are none, what can be read as one.
    Text(String),
}

impl FromSql for StoredValue {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(match Value::column_result(value)? {
            Value::Null => StoredValue::Missing,
            Value::Integer(number) => StoredValue::Integer(number),
            Value::Real(number) => StoredValue::Real(number),
            Value::Text(text) => StoredValue::Text(text),
            Value::Blob(bytes) => StoredValue::Text(String::from_utf8_lossy(&bytes).into_owned()),
        })
    }
}

/// A struct of values, with the names of its columns in the order of its fields.
macro_rules! row {
    ($(#[$doc:meta])* $name:ident { $($field:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        #[expect(missing_docs, reason = "the names are the columns'")]
        pub struct $name {
            $(pub $field: StoredValue,)+
        }

        impl $name {
            /// The columns that are asked for, in this order.
            pub(super) const COLUMNS: &'static [&'static str] = &[$(stringify!($field)),+];

            pub(super) fn of(row: &Row<'_>) -> Result<Self> {
                let mut columns = 0..;
                let mut next = || row.get(columns.next().unwrap_or_default());
                Ok($name { $($field: next()?,)+ })
            }
        }
    };
}

row! {
    /// A connection that lasts.
    OnlineRow {
        clientid, username, peerhost, sockport, protocol, proto_ver, node, connected_at, unsure, cluster, rule,
    }
}

row! {
    /// What is known of a client. `online` is 0 or 1, and `connections` a number.
    ClientRow {
        clientid, online, connections, first_connected_at, last_connected_at, last_disconnected_at, last_reason, cluster,
    }
}

row! {
    /// A connection.
    ConnectionRow {
        clientid, username, peerhost, sockport, protocol, proto_ver, node, connected_at, disconnected_at, reason, closed_by,
        cluster, rule,
    }
}

row! {
    /// A refusal, as often as it came within a minute.
    DenialRow {
        at, clientid, username, peerhost, action, topic, rule, mode, count, cluster, reason, policy,
    }
}

row! {
    /// A ban. `who` has the names that it is on, and `by` the columns in which they stand.
    BanRow {
        who, by, clientid, username, peerhost, since, until, why, lifted, mode, cluster,
    }
}
