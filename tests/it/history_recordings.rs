//! The recorded traffic of two broker versions leaves the rows that its scenarios tell.

use std::time::Duration;

use crate::support::answers::Answered;
use crate::support::history::Kept as _;
use crate::support::recordings::{PARTS, for_each_frame, recording};
use crate::support::wait::PATIENCE;
use exhook_policy_core::policy::model::{HistoryDef, Record, Sync};
use exhook_policy_runtime::history::History;
use exhook_policy_runtime::log::Log;
use exhook_policy_runtime::port::call::Incoming;
use exhook_policy_runtime::process::Recorder;

/// The columns `clientid`, `closed_by`, `reason` and `proto_ver`. `assigned` is a clientid that the broker chose.
const CONNECTIONS: &[&str] = &[
    "cid-01 event normal 4",
    "cid-02 event normal 4",
    "cid-03 event normal 4",
    "assigned event normal 4",
    "cid-05 event normal 3",
    "cid-é中 event normal 4",
    "cid-08 event normal 4",
    "cid-12 event tcp_closed 4",
    "cid-13 event tcp_closed 4",
    "cid-14 event keepalive_timeout 4",
    "cid-15 takeover discarded 4",
    "cid-15 event normal 4",
    "cid-16 takeover takeovered 4",
    "cid-16 event normal 4",
    "cid-16 event normal 4",
    "cid-16 event normal 4",
    "cid-18 event disconnect_with_will_message 5",
    "cid-19 event normal 5",
    "cid-21 takeover takeovered 5",
    "cid-21 takeover discarded 5",
    "cid-21 event normal 5",
    "cid-23 event function_clause 4",
    "cid-24 event protocol_error 4",
    "cid-25 event frame_too_large 4",
    "cid-26 event topic_name_invalid 4",
    "cid-26b event topic_filter_invalid 4",
    "cid-28 event kicked 4",
];

/// The code, and how often.
const ATTEMPTS: &[&str] =
    &["client_identifier_not_valid 1", "not_authorized 2", "success 27", "unsupported_protocol_version 2"];

#[track_caller]
fn check(version: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let record = Record { connections: true, denials: true, attempts: true, subscriptions: true, messages: true };
    let def = HistoryDef { database: path.clone(), keep: None, sync: Sync::Normal, record };
    let answered = Answered::default();
    let history = History::start(
        &def,
        Recorder::of_this_process("python3"),
        Duration::from_secs(60),
        answered.sink(),
        &Log::stderr(),
    );
    let mut token = 0;
    for_each_frame(&recording(version, PARTS[0]), |frame| {
        let Ok(Incoming::Call(call)) = Incoming::read(frame) else { panic!("no call: {frame:?}") };
        let Some(hook) = call.hook() else { return };
        token += 1;
        if history.record(&call.event(hook).unwrap(), token) {
            assert!(answered.comes(token, PATIENCE), "{hook:?} is not answered");
        }
    });
    history.finish();
    let rows = |sql: &str| path.rows(sql);
    let connections = rows(
        "SELECT iif(length(clientid) > 30, 'assigned', clientid) || ' ' || coalesce(closed_by, 'open') || ' ' ||
                coalesce(reason, '-') || ' ' || coalesce(proto_ver, '-')
         FROM connections ORDER BY id",
    );
    assert_eq!(connections, CONNECTIONS);
    assert_eq!(rows("SELECT connack || ' ' || count(*) FROM attempts GROUP BY connack ORDER BY connack"), ATTEMPTS);
    assert_eq!(rows("SELECT clientid || ' ' || topic FROM subscriptions"), [""; 0]);
    assert_eq!(rows("SELECT clientid FROM handovers WHERE told IS NULL"), [""; 0]);
}

#[test]
fn recording_of_4_1() {
    check("4.1.5");
}

#[test]
fn recording_of_4_2() {
    check("4.2.14");
}
