//! What must hold when all is quiet, by what is there and by what was told.

use std::ops::ControlFlow;

use super::story::BrokerFamily;
use super::world::{CLIENTS, NODE_NAMES, Over, StoryRun};
use crate::history::resync::{Form, List, Scope, open, resync};

/// The expression of the view `online` that is the time of day.
const TIME_OF_DAY: &str = "CAST(strftime('%s', 'now') AS INTEGER) * 1000";
/// By so much the time of a restart may be too early: recorders show now and then that they are
/// alive.
const HEARTBEAT: i64 = 3_600;

/// An open row.
struct OpenRow {
    unsure: bool,
    node: String,
    peerport: Option<u16>,
}

fn wrong(what: String) -> ControlFlow<String> {
    ControlFlow::Break(what)
}

impl StoryRun<'_> {
    /// What the view shows of a client at the time of the story.
    fn open_row(&self, client: usize) -> Option<OpenRow> {
        let db = &self.world.store.db;
        let view: String =
            db.query_row("SELECT sql FROM sqlite_schema WHERE name = 'online'", [], |row| row.get(0)).unwrap();
        let (_, select) = view.split_once(" AS\n").unwrap();
        let select = select.replace(TIME_OF_DAY, &self.now.to_string());
        let mut rows = db
            .prepare_cached(&format!("SELECT unsure, node, peerport FROM ({select}) WHERE clientid = ?1"))
            .unwrap()
            .query_map([Self::clientid(client)], |row| {
                Ok(OpenRow { unsure: row.get(0)?, node: row.get(1)?, peerport: row.get(2)? })
            })
            .unwrap()
            .collect::<Result<Vec<_>, _>>()
            .unwrap();
        assert!(rows.len() < 2, "two open rows");
        rows.pop()
    }

    /// Whether the client is open for sure.
    pub(super) fn is_sure_of(&self, client: usize) -> bool {
        self.open_row(client).is_some_and(|row| !row.unsure)
    }

    pub(super) fn check_at_rest(&mut self) -> ControlFlow<String> {
        for client in 0..CLIENTS {
            self.check_client(client, "")?;
        }
        self.check_restarts()?;
        if self.is_calm { self.check_calm() } else { ControlFlow::Continue(()) }
    }

    fn check_client(&self, client: usize, when: &str) -> ControlFlow<String> {
        let (row, live) = (self.open_row(client), self.live[client]);
        match (row, live) {
            (None, Some(live)) if self.connections[live].begin_heard => {
                wrong(format!("c{client} is missing{when}: it is connected, and no row is open"))
            }
            (Some(OpenRow { peerport: Some(port), .. }), Some(live))
                if self.connections[live].begin_heard && self.connections[live].port != port =>
            {
                wrong(format!("c{client}: the row of another connection is open{when}"))
            }
            (Some(OpenRow { unsure: false, .. }), None) => {
                let heard_of = self.heard_of[client];
                let over = heard_of.newest.map(|newest| self.connections[newest].over);
                match over {
                    Some(Some(Over::Quiet)) if !heard_of.may_have_ended => ControlFlow::Continue(()),
                    Some(Some(Over::Told)) if heard_of.taken_for_before && !heard_of.may_have_ended => {
                        ControlFlow::Continue(())
                    }
                    over => wrong(format!("c{client} is online for sure{when}, and is not connected: {over:?}")),
                }
            }
            (None | Some(_), None | Some(_)) => ControlFlow::Continue(()),
        }
    }

    /// What ended with a broker ended when that was last known to be there.
    fn check_restarts(&self) -> ControlFlow<String> {
        if !self.family.tells_ports() {
            return ControlFlow::Continue(());
        }
        for connection in self.connections.iter().filter(|one| one.over == Some(Over::BrokerGone) && one.begin_heard) {
            let mut rows = self
                .world
                .store
                .db
                .prepare_cached(
                    "SELECT connected_at, disconnected_at FROM connections
                     WHERE peerport = ?1 AND closed_by = 'restart' ORDER BY id DESC LIMIT 1",
                )
                .unwrap();
            let ended = rows.query_map([connection.port], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
            for times in ended.unwrap() {
                let (begun, ended) = times.unwrap();
                if ended < connection.known_until - HEARTBEAT || ended > connection.gone_at.max(begun) {
                    let late = ended - connection.known_until;
                    return wrong(format!("the broker was there {} ms longer than its connection", -late));
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Nothing went wrong: all is known.
    fn check_calm(&self) -> ControlFlow<String> {
        for client in 0..CLIENTS {
            match (self.open_row(client), self.live[client]) {
                (Some(OpenRow { unsure: true, .. }), _) => return wrong(format!("c{client} is unsure without need")),
                (Some(_), Some(_)) | (None, None) => {}
                (Some(_), None) | (None, Some(_)) => return wrong(format!("c{client} is not as it is")),
            }
            let rows: Vec<String> = self
                .world
                .store
                .db
                .prepare_cached("SELECT coalesce(closed_by, 'open') FROM connections WHERE clientid = ?1 ORDER BY id")
                .unwrap()
                .query_map([Self::clientid(client)], |row| row.get(0))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            let of_client = self.connections.iter().filter(|connection| connection.client == client);
            let expected: Vec<&str> =
                of_client.map(|one| if one.over.is_some() { one.closed_by } else { "open" }).collect();
            if rows != expected {
                return wrong(format!("c{client} has {rows:?} and not {expected:?}"));
            }
        }
        ControlFlow::Continue(())
    }

    /// The whole list of every node's clients settles everything.
    pub(super) fn check_after_resync(&mut self) -> ControlFlow<String> {
        let path = self.world.store.db.path().unwrap().to_owned();
        let mut db = open(path.as_ref()).unwrap();
        for (node, name) in NODE_NAMES.iter().enumerate() {
            let clients = (0..CLIENTS)
                .filter(|&client| self.live[client].is_some_and(|live| self.connections[live].route.node == node));
            let list = clients.map(Self::clientid).collect::<Vec<_>>().join("\n");
            let list = List::parse(list.as_bytes(), Some(Form::Plain)).unwrap();
            let cluster = match self.family {
                BrokerFamily::Driver | BrokerFamily::Session => "",
                BrokerFamily::Both | BrokerFamily::Ports => "eu",
            };
            let scope = Scope { cluster: Some(cluster.to_owned()), node: Some((*name).to_owned()), empty: true };
            // One that was never heard of has nothing open.
            let _ = resync(&mut db, &list, &scope, self.now, true);
        }
        for client in 0..CLIENTS {
            self.check_client(client, " after resync")?;
            match (self.open_row(client), self.live[client]) {
                (Some(row), Some(live)) if row.node == NODE_NAMES[self.connections[live].route.node] => {}
                (Some(_), _) => return wrong(format!("c{client} is open after resync, and not in the list")),
                (None, _) => {}
            }
            let unsure: i64 =
                db.query_row("SELECT count(*) FROM online WHERE id IN unsure", [], |row| row.get(0)).unwrap();
            if unsure > 0 {
                return wrong(format!("{unsure} are unsure after resync"));
            }
        }
        ControlFlow::Continue(())
    }
}
