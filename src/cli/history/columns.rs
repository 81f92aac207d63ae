//! How the rows of each report are shown: by which columns.

use exhook_policy_runtime::history::read::{BanRow, ClientRow, ConnectionRow, DenialRow, OnlineRow, StoredValue};

/// A column of a report.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) is_time: bool,
    /// Whether a table goes without it where it is empty in every row.
    pub(super) is_optional: bool,
    /// Whether a table goes without it, since other columns say the same.
    pub(super) is_spare: bool,
}

const fn text(name: &'static str) -> Column {
    Column { name, is_time: false, is_optional: false, is_spare: false }
}

const fn time(name: &'static str) -> Column {
    Column { name, is_time: true, is_optional: false, is_spare: false }
}

const fn spare(name: &'static str) -> Column {
    Column { name, is_time: false, is_optional: false, is_spare: true }
}

const CLUSTER: Column = Column { name: "cluster", is_time: false, is_optional: true, is_spare: false };

/// A row of a report, as it is shown.
pub(super) trait ShownRow {
    const COLUMNS: &'static [Column];

    /// What stands in each column.
    fn values(self) -> Vec<StoredValue>;
}

/// Each field in a column of its name.
macro_rules! shown {
    ($row:ident { $($field:ident: $column:expr,)+ }) => {
        impl ShownRow for $row {
            const COLUMNS: &'static [Column] = &[$($column),+];

            fn values(self) -> Vec<StoredValue> {
                let $row { $($field),+ } = self;
                vec![$($field),+]
            }
        }
    };
}

shown! {
    OnlineRow {
        clientid: text("clientid"),
        username: text("username"),
        peerhost: text("peerhost"),
        sockport: text("sockport"),
        protocol: text("protocol"),
        proto_ver: text("proto_ver"),
        node: text("node"),
        connected_at: time("connected_at"),
        unsure: text("unsure"),
        cluster: CLUSTER,
        rule: text("rule"),
    }
}

shown! {
    ClientRow {
        clientid: text("clientid"),
        online: text("online"),
        connections: text("connections"),
        first_connected_at: time("first_connected_at"),
        last_connected_at: time("last_connected_at"),
        last_disconnected_at: time("last_disconnected_at"),
        last_reason: text("last_reason"),
        cluster: CLUSTER,
    }
}

shown! {
    ConnectionRow {
        clientid: text("clientid"),
        username: text("username"),
        peerhost: text("peerhost"),
        sockport: text("sockport"),
        protocol: text("protocol"),
        proto_ver: text("proto_ver"),
        node: text("node"),
        connected_at: time("connected_at"),
        disconnected_at: time("disconnected_at"),
        reason: text("reason"),
        closed_by: text("closed_by"),
        cluster: CLUSTER,
        rule: text("rule"),
    }
}

shown! {
    DenialRow {
        at: time("at"),
        clientid: text("clientid"),
        username: text("username"),
        peerhost: text("peerhost"),
        action: text("action"),
        topic: text("topic"),
        rule: text("rule"),
        mode: text("mode"),
        count: text("count"),
        cluster: CLUSTER,
        reason: text("reason"),
        policy: text("policy"),
    }
}

// The spare ones are as `lift` takes them.
shown! {
    BanRow {
        who: text("who"),
        by: text("by"),
        clientid: spare("clientid"),
        username: spare("username"),
        peerhost: spare("peerhost"),
        since: time("since"),
        until: time("until"),
        why: text("why"),
        lifted: time("lifted"),
        mode: text("mode"),
        cluster: CLUSTER,
    }
}
