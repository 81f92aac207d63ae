//! Reading lists again and again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use super::{ReadStop, UnreadableSource, file, sqlite};
use crate::files::stamp::Stamp;
use crate::log::Log;
use exhook_policy_core::policy::lists::{List, Lists, Uses};
use exhook_policy_core::policy::model::{ListDef, ListId, ListSource};

/// How often it is looked whether a source has changed.
const LOOK: Duration = Duration::from_secs(1);
/// A source that changes all the time is read again after so many times what reading it takes.
const SHARE: u32 = 10;

/// The lists of a policy as they were read last. Dropping it ends the reading.
#[derive(Debug)]
pub struct Sources {
    defs: Vec<ListDef>,
    shared: Arc<PublishedLists>,
}

#[derive(Debug)]
struct PublishedLists {
    lists: RwLock<Arc<Lists>>,
    state: Mutex<ReadState>,
    changed: Condvar,
    stop: ReadStop,
}

#[derive(Debug)]
struct ReadState {
    /// By [`ListId`]: nobody knows yet whether it can be read.
    unread: Vec<bool>,
}

impl Sources {
    /// Begins to read, and waits until each list was read or was found unreadable, but no longer than
    /// `patience`. Lists that no condition uses are left alone.
    pub fn start(defs: &[ListDef], log: &Log, patience: Duration) -> Self {
        Sources::succeed(None, defs, log, patience)
    }

    /// The sources of a policy that takes the place of another. As [`start`](Self::start), but what the sources `before` hold
    /// of the same list is what there is of it until it was read anew, and where it cannot be. It is waited for all the
    /// same: a policy that was changed together with a list must not decide by what the list was before.
    pub fn succeed(before: Option<&Sources>, defs: &[ListDef], log: &Log, patience: Duration) -> Self {
        let now = Instant::now();
        let read_at_once = |def: &ListDef| match &def.source {
            ListSource::Inline(entries) => inline(def, entries, log),
            ListSource::File { .. } | ListSource::Sqlite { .. } if !used(def.uses()) => Some(Arc::default()),
            ListSource::File { .. } | ListSource::Sqlite { .. } => before.and_then(|before| before.list(def)),
        };
        let lists: Vec<Option<Arc<List>>> = defs.iter().map(read_at_once).collect();
        let readers: Vec<ListReader> =
            (0..).zip(defs).filter_map(|(id, def)| ListReader::of(ListId(id), def)).collect();
        let mut readers = readers;
        let mut unread = vec![false; defs.len()];
        for reader in &mut readers {
            reader.known = lists.get(reader.id.0).is_some_and(Option::is_some);
            mark(&mut unread, reader.id, true);
        }
        let known: Vec<bool> = lists.iter().map(Option::is_some).collect();
        let shared = Arc::new(PublishedLists {
            lists: RwLock::new(Arc::new(Lists::new(lists))),
            state: Mutex::new(ReadState { unread }),
            changed: Condvar::new(),
            stop: ReadStop::default(),
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
        let sources = Sources { defs: defs.to_vec(), shared };
        sources.wait_for_first(&known, log, patience.saturating_sub(now.elapsed()));
        sources
    }

    /// `known`: by [`ListId`], those of which there is something already.
    fn wait_for_first(&self, known: &[bool], log: &Log, patience: Duration) {
        let unread = |state: &mut ReadState| state.unread.contains(&true);
        let waited = self.shared.changed.wait_timeout_while(self.shared.state(), patience, unread);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        for ((def, known), _) in self.defs.iter().zip(known).zip(&state.unread).filter(|(_, unread)| **unread) {
            let so_long = if *known { "is as it was before" } else { "decisions that need it deny" };
            log.line(format_args!("list `{}` is still being read, and {so_long} so long", def.name));
        }
    }

    /// What is there of a list that is defined as this one, in the forms in which this one is used.
    fn list(&self, def: &ListDef) -> Option<Arc<List>> {
        let same = |own: &ListDef| own.source.is_same_place(&def.source) && own.uses() == def.uses();
        self.lists().share(ListId(self.defs.iter().position(same)?))
    }

    /// The lists as they are now.
    pub fn lists(&self) -> Arc<Lists> {
        Arc::clone(&self.shared.lists.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A list as if it were read now.
    #[cfg(test)]
    pub(crate) fn swap(&self, id: ListId, list: List) {
        self.shared.publish(id, list);
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        // Under the lock, so that nobody begins to wait who has not seen it.
        let state = self.shared.state();
        self.shared.stop.say();
        drop(state);
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
            let why = UnreadableSource::of_rows(bad);
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

impl PublishedLists {
    fn state(&self) -> MutexGuard<'_, ReadState> {
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
        let waited = self.changed.wait_timeout_while(self.state(), pause, |_| !self.stop.is_said());
        drop(waited);
        !self.stop.is_said()
    }
}

/// A database that is written to changes itself or its WAL. Of the latter, root changes the owner whenever it opens the database,
/// which is no change of its contents.
fn stamps_of_database(path: &Path) -> [Option<Stamp>; 2] {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    [Stamp::at(path), Stamp::at(Path::new(&wal)).map(Stamp::whoever_owns_it)]
}

/// Reads one list.
#[derive(Debug)]
struct ListReader {
    id: ListId,
    name: String,
    uses: Uses,
    place: ListPlace,
    refresh: Duration,
    /// Its contents were there when the reading began.
    known: bool,
}

#[derive(Debug)]
enum ListPlace {
    /// `good` is the stamp of what was read, where it may be relied on, and `tried` that of the last try, whatever came of it.
    File { path: PathBuf, good: Option<Stamp>, tried: Option<Stamp> },
    /// The stamps are those of the file and of its WAL, from before the last query.
    Sqlite(PathBuf, String, [Option<Stamp>; 2]),
}

impl ListReader {
    fn of(id: ListId, def: &ListDef) -> Option<Self> {
        let (place, refresh) = match &def.source {
            ListSource::Inline(_) => return None,
            ListSource::File { path, refresh } => {
                (ListPlace::File { path: path.clone(), good: None, tried: None }, *refresh)
            }
            ListSource::Sqlite { path, query, refresh } => {
                (ListPlace::Sqlite(path.clone(), query.clone(), [None; 2]), *refresh)
            }
        };
        let reader = ListReader { id, name: def.name.clone(), uses: def.uses(), place, refresh, known: false };
        used(reader.uses).then_some(reader)
    }

    fn run(mut self, shared: &PublishedLists, log: &Log) {
        let mut failures = Failures { ever_read: self.known, count: 0, last: None };
        loop {
            let begun = Instant::now();
            let result = self.read(failures.ever_read, &shared.stop);
            if shared.stop.is_said() {
                return;
            }
            failures.tell(&self, result.as_ref().err(), log);
            if let Ok(Some(list)) = result {
                shared.publish(self.id, list);
            }
            shared.was_read(self.id);
            if !self.rest(shared, pause(self.refresh, failures.count), begun.elapsed()) {
                return;
            }
        }
    }

    /// Waits until the list is to be read again: after `pause`, or when what it is read from has changed. Reading, which took so
    /// long, does not become most of what this does. Tells whether to go on.
    fn rest(&self, shared: &PublishedLists, pause: Duration, took: Duration) -> bool {
        let begun = Instant::now();
        loop {
            let left = pause.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return true;
            }
            if !shared.pause(left.min(LOOK)) {
                return false;
            }
            if begun.elapsed() >= took.saturating_mul(SHARE) && self.has_changed() {
                return true;
            }
        }
    }

    /// Whether there is something else to read than last time, as far as that can be seen from outside.
    fn has_changed(&self) -> bool {
        match &self.place {
            ListPlace::File { path, tried, .. } => Stamp::at(path) != *tried,
            ListPlace::Sqlite(path, _, stamps) => stamps_of_database(path) != *stamps,
        }
    }

    /// The list, or `None` where it surely has not changed since it was read.
    fn read(&mut self, ever_read: bool, stop: &ReadStop) -> Result<Option<List>, UnreadableSource> {
        match &mut self.place {
            ListPlace::File { path, good, tried } => {
                if good.is_some() && *good == Stamp::at(path) {
                    return Ok(None);
                }
                if ever_read {
                    file::await_writer(path);
                }
                *good = None;
                *tried = Stamp::at(path);
                let (list, read) = file::read_list(path, self.uses, stop)?;
                (*good, *tried) = (read, read);
                Ok(Some(list))
            }
            ListPlace::Sqlite(path, query, stamps) => {
                *stamps = stamps_of_database(path);
                sqlite::read_list(path, query, self.uses, sqlite::LIMITS, stop).map(Some)
            }
        }
    }

    fn path(&self) -> &PathBuf {
        match &self.place {
            ListPlace::File { path, .. } | ListPlace::Sqlite(path, _, _) => path,
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
    fn tell(&mut self, reader: &ListReader, error: Option<&UnreadableSource>, log: &Log) {
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

#[cfg(test)]
mod tests;
