//! How the rows of each report are shown: by which columns.

use exhook_policy_runtime::history::read::{BanRow, ClientRow, ConnectionRow, DenialRow, OnlineRow, StoredValue};

/// A column of a report.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) is_time: bool,
    pub(super) shown: InTables,
}

/// When a table has the column. JSON and CSV have all.
#[derive(Debug)]
pub(super) enum InTables {
    Always,
    /// In wide tables alone.
    Wide,
    /// If some row has something there.
    IfFilled,
    /// In wide tables, and in others if some row has something else there.
    Unless(&'static str),
    /// Never, since other columns say the same.
    Never,
}

const fn text(name: &'static str) -> Column {
    Column { name, is_time: false, shown: InTables::Always }
}

const fn time(name: &'static str) -> Column {
    Column { name, is_time: true, shown: InTables::Always }
}

impl Column {
    const fn shown(self, shown: InTables) -> Self {
        Column { shown, ..self }
    }

    const fn wide(self) -> Self {
        self.shown(InTables::Wide)
    }

    const fn spare(self) -> Self {
        self.shown(InTables::Never)
    }

    /// The name of the column that tells the time of this one in words.
    pub(super) fn iso(&self) -> String {
        format!("{}_iso", self.name)
    }
}

const CLUSTER: Column = text("cluster").shown(InTables::IfFilled);
const MODE: Column = text("mode").shown(InTables::Unless("enforce"));

/// What is counted by a key: the key, and how many.
pub(super) const BY_CLIENTID: &[Column] = &[text("clientid"), text("count")];
pub(super) const BY_HOUR: &[Column] = &[time("hour"), text("count")];
pub(super) const BY_REASON: &[Column] = &[text("reason"), text("count")];
pub(super) const BY_NODE: &[Column] = &[text("node"), text("count")];
/// All of them.
pub(super) const COUNT: &[Column] = &[text("count")];

/// What happened to one client. A denial has no `connected_at`, and an end no `action`.
pub(super) const WHY: &[Column] = &[
    time("at"),
    text("event"),
    text("clientid"),
    text("username"),
    text("peerhost"),
    text("action"),
    text("topic"),
    text("rule"),
    text("reason"),
    text("policy"),
    text("mode"),
    text("count"),
    text("node"),
    time("connected_at"),
    text("closed_by"),
    text("cluster"),
    text("said"),
];

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
        sockport: text("sockport").wide(),
        protocol: text("protocol").wide(),
        proto_ver: text("proto_ver").wide(),
        node: text("node"),
        connected_at: time("connected_at"),
        unsure: text("unsure"),
        cluster: CLUSTER,
        rule: text("rule").wide(),
    }
}

shown! {
    ClientRow {
        clientid: text("clientid"),
        online: text("online"),
        connections: text("connections"),
        first_connected_at: time("first_connected_at").wide(),
        last_connected_at: time("last_connected_at"),
        last_disconnected_at: time("last_disconnected_at").wide(),
        last_reason: text("last_reason"),
        cluster: CLUSTER,
    }
}

shown! {
    ConnectionRow {
        clientid: text("clientid"),
        username: text("username").wide(),
        peerhost: text("peerhost"),
        sockport: text("sockport").wide(),
        protocol: text("protocol").wide(),
        proto_ver: text("proto_ver").wide(),
        node: text("node").wide(),
        connected_at: time("connected_at"),
        disconnected_at: time("disconnected_at"),
        reason: text("reason"),
        closed_by: text("closed_by").wide(),
        cluster: CLUSTER,
        rule: text("rule").wide(),
    }
}

shown! {
    DenialRow {
        at: time("at"),
        clientid: text("clientid"),
        username: text("username").wide(),
        peerhost: text("peerhost").wide(),
        action: text("action"),
        topic: text("topic"),
        rule: text("rule"),
        mode: MODE,
        count: text("count"),
        cluster: CLUSTER,
        reason: text("reason"),
        policy: text("policy").wide(),
    }
}

// The spare ones are as `lift` takes them.
shown! {
    BanRow {
        who: text("who"),
        by: text("by"),
        clientid: text("clientid").spare(),
        username: text("username").spare(),
        peerhost: text("peerhost").spare(),
        since: time("since").wide(),
        until: time("until"),
        why: text("why"),
        lifted: time("lifted").shown(InTables::IfFilled),
        mode: MODE,
        cluster: CLUSTER,
    }
}
