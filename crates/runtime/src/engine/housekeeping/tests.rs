use std::fs;

use super::*;
use crate::engine::{Engine, Setup};
use crate::log::Log;
use crate::process::Recorder;
use exhook_policy_core::broker_id::BrokerId;
use exhook_policy_core::handler::{BrokerRegistry, CallingBroker};
use exhook_policy_core::hook::HookSet;

fn engine(dir: &tempfile::TempDir) -> Engine {
    let file = dir.path().join("rules.yaml");
    fs::write(&file, "version: 1\nauth: { rules: [{ id: one, allow: everyone }] }\n").unwrap();
    let setup = Setup {
        state: Folder::of(&file, Some(&dir.path().join("kept"))),
        ..Setup::new(&file, Recorder::server(), Arc::new(|_| {}), Log::stderr())
    };
    Engine::begin(setup).0
}

/// What is in the state folder, by its ending.
fn kept(dir: &tempfile::TempDir) -> Vec<String> {
    let files = fs::read_dir(dir.path().join("kept")).unwrap();
    let mut endings: Vec<String> = files
        .map(|file| file.unwrap().path().extension().unwrap_or_default().to_string_lossy().into_owned())
        .filter(|ending| ["json", "brokers"].contains(&ending.as_str()))
        .collect();
    endings.sort();
    endings
}

#[test]
fn the_status_is_there_until_the_end_and_the_record_of_brokers_stays() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(&dir);
    let mut housekeeping = Housekeeping::begin(&engine.shared);
    housekeeping.round(&PolicyStanding::default());
    assert_eq!(kept(&dir), ["json"]);
    engine.broker_calls(CallingBroker {
        broker: BrokerId::At([10, 0, 0, 1].into()),
        version: None,
        refused_if_ignored: HookSet::EMPTY,
        mend: "mend it".to_owned(),
    });
    housekeeping.round(&PolicyStanding::default());
    assert_eq!(kept(&dir), ["brokers", "json"]);
    let standing = engine.shared.standing.lock().unwrap().clone();
    assert_eq!(standing.brokers.iter().map(|wrong| &*wrong.broker).collect::<Vec<_>>(), ["the broker at 10.0.0.1"]);
    assert!(!housekeeping.is_unwritten());
    housekeeping.end();
    assert_eq!(kept(&dir), ["brokers"]);
}

#[test]
fn a_policy_of_before_is_kept_until_its_last_call_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(&dir);
    let mut housekeeping = Housekeeping::begin(&engine.shared);
    let call = engine.shared.core.swap(None).unwrap();
    housekeeping.retire(Some(Arc::clone(&call)));
    housekeeping.reap();
    assert_eq!(Arc::strong_count(&call), 2);
    let ended = Arc::downgrade(&call);
    drop(call);
    housekeeping.reap();
    assert!(ended.upgrade().is_none());
}
