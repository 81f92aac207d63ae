//! Reading lists again and again.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use super::{Unreadable, file, sqlite};
use crate::log::Log;
use crate::policy::lists::{List, Lists, Uses};
use crate::policy::model::{ListDef, ListId, ListSource};

/// The lists of a policy as they were read last. Dropping it ends the reading.
#[derive(Debug)]
pub struct Sources {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    lists: RwLock<Arc<Lists>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// By [`ListId`]: nobody knows yet whether it can be read.
    unread: Vec<bool>,
    stopped: bool,
}

impl Sources {
    /// Begins to read, and waits until each list was read or was found unreadable, but no longer than
    /// `patience`. Lists that no condition uses are left alone.
    pub fn start(defs: &[ListDef], log: &Log, patience: Duration) -> Self {
        let now = Instant::now();
        let read_at_once = |def: &ListDef| match &def.source {
            ListSource::Inline(entries) => inline(def, entries, log),
            ListSource::File { .. } | ListSource::Sqlite { .. } => (!used(def.uses())).then(Arc::default),
        };
        let lists: Vec<Option<Arc<List>>> = defs.iter().map(read_at_once).collect();
        let readers: Vec<Reader> = (0..).zip(defs).filter_map(|(id, def)| Reader::of(ListId(id), def)).collect();
        let mut unread = vec![false; defs.len()];
        for reader in &readers {
            mark(&mut unread, reader.id, true);
        }
        let shared = Arc::new(Shared {
            lists: RwLock::new(Arc::new(Lists::new(lists))),
            state: Mutex::new(State { unread, stopped: false }),
            changed: Condvar::new(),
        });
        for reader in readers {
            let (id, name) = (reader.id, reader.name.clone());
            let (reads, writes) = (Arc::clone(&shared), log.clone());
            let thread = thread::Builder::new().name("list".to_owned());
            if let Err(error) = thread.spawn(move || reader.run(&reads, &writes)) {
                log.line(format_args!("list `{name}` cannot be read, and decisions that need it deny: {error}"));
                shared.was_read(id);
            }
        }
        let sources = Sources { shared };
        sources.wait_for_first(defs, log, patience.saturating_sub(now.elapsed()));
        sources
    }

    fn wait_for_first(&self, defs: &[ListDef], log: &Log, patience: Duration) {
        let unread = |state: &mut State| state.unread.contains(&true);
        let waited = self.shared.changed.wait_timeout_while(self.shared.state(), patience, unread);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        for (def, _) in defs.iter().zip(&state.unread).filter(|(_, unread)| **unread) {
            log.line(format_args!("list `{}` is still being read, and decisions that need it deny so long", def.name));
        }
    }

    /// The lists as they are now.
    pub fn lists(&self) -> Arc<Lists> {
        Arc::clone(&self.shared.lists.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        self.shared.state().stopped = true;
        self.shared.changed.notify_all();
    }
}

fn used(uses: Uses) -> bool {
    uses.text || uses.networks
}

fn inline(def: &ListDef, entries: &[String], log: &Log) -> Option<Arc<List>> {
    match List::build(def.uses(), (1..).zip(entries.iter().map(String::as_str))) {
        Ok(list) => Some(Arc::new(list)),
        Err(bad) => {
            let why = Unreadable::of_rows(bad);
            log.line(format_args!("list `{}` cannot be read, and decisions that need it deny: {why}", def.name));
            None
        }
    }
}

fn mark(unread: &mut [bool], id: ListId, value: bool) {
    if let Some(place) = unread.get_mut(id.0) {
        *place = value;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, id: ListId, list: List) {
        let list = Arc::new(list);
        let mut lists = self.lists.write().unwrap_or_else(PoisonError::into_inner);
        let new = Arc::new(lists.with(id, list));
        let old = std::mem::replace(&mut *lists, new);
        // Freeing a large list takes a while, and decisions are waiting for the lock.
        drop(lists);
        drop(old);
    }

    fn was_read(&self, id: ListId) {
        mark(&mut self.state().unread, id, false);
        self.changed.notify_all();
    }

    /// Waits, and tells whether to go on.
    fn pause(&self, pause: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.state(), pause, |state| !state.stopped);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !state.stopped
    }
}

/// Reads one list.
#[derive(Debug)]
struct Reader {
    id: ListId,
    name: String,
    uses: Uses,
    place: Place,
    refresh: Duration,
}

#[derive(Debug)]
enum Place {
    File(PathBuf, Option<file::Stamp>),
    Sqlite(PathBuf, String),
}

impl Reader {
    fn of(id: ListId, def: &ListDef) -> Option<Self> {
        let (place, refresh) = match &def.source {
            ListSource::Inline(_) => return None,
            ListSource::File { path, refresh } => (Place::File(path.clone(), None), *refresh),
            ListSource::Sqlite { path, query, refresh } => (Place::Sqlite(path.clone(), query.clone()), *refresh),
        };
        let reader = Reader { id, name: def.name.clone(), uses: def.uses(), place, refresh };
        used(reader.uses).then_some(reader)
    }

    fn run(mut self, shared: &Shared, log: &Log) {
        let mut failures = Failures { ever_read: false, count: 0, last: None };
        loop {
            let result = self.read(failures.ever_read);
            failures.tell(&self, result.as_ref().err(), log);
            if let Ok(Some(list)) = result {
                shared.publish(self.id, list);
            }
            shared.was_read(self.id);
            if !shared.pause(pause(self.refresh, failures.count)) {
                return;
            }
        }
    }

    /// The list, or `None` where it surely has not changed since it was read.
    fn read(&mut self, ever_read: bool) -> Result<Option<List>, Unreadable> {
        match &mut self.place {
            Place::File(path, stamp) => {
                if stamp.is_some() && *stamp == file::Stamp::at(path) {
                    return Ok(None);
                }
                if ever_read {
                    file::await_writer(path);
                }
                *stamp = None;
                let (list, read) = file::read_list(path, self.uses)?;
                *stamp = read;
                Ok(Some(list))
            }
            Place::Sqlite(path, query) => sqlite::read_list(path, query, self.uses, sqlite::LIMITS).map(Some),
        }
    }

    fn path(&self) -> &PathBuf {
        match &self.place {
            Place::File(path, _) | Place::Sqlite(path, _) => path,
        }
    }
}

/// What went wrong since the list was read last.
struct Failures {
    ever_read: bool,
    count: u32,
    last: Option<String>,
}

impl Failures {
    /// Logs what is new.
    fn tell(&mut self, reader: &Reader, error: Option<&Unreadable>, log: &Log) {
        let Some(error) = error else {
            if self.last.take().is_some() {
                log.line(format_args!("list `{}` can be read again", reader.name));
            }
            self.count = 0;
            self.ever_read = true;
            return;
        };
        self.count = self.count.saturating_add(1);
        let message = error.to_string();
        if self.last.as_ref() == Some(&message) {
            return;
        }
        let (name, path) = (&reader.name, reader.path().display());
        if self.ever_read {
            log.line(format_args!("list `{name}` cannot be refreshed and stays as it was: {path}: {message}"));
        } else {
            log.line(format_args!("list `{name}` cannot be read, and decisions that need it deny: {path}: {message}"));
        }
        self.last = Some(message);
    }
}

/// After a failure it is tried again soon, and then ever more seldom.
fn pause(refresh: Duration, failures: u32) -> Duration {
    const SOON: Duration = Duration::from_secs(1);
    const LEAST: Duration = Duration::from_millis(10);
    let pause = match failures.checked_sub(1) {
        None => refresh,
        Some(before) => SOON.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX)).min(refresh),
    };
    pause.max(LEAST)
}
