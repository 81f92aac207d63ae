//! `exhook-policy history resync`

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use jiff::Timestamp;

use super::database;
use super::times::parse_utc;
use exhook_policy_runtime::files::input;
use exhook_policy_runtime::history::resync::{Form, List, ResyncOutcome, Scope, open, resync};

/// The most bytes of a list: `emqx_ctl` takes some 350 for a client, and the REST API 1,500.
const LARGEST: u64 = 512 << 20;

/// A list is taken for one of a minute before it was written: clocks differ, and to print it takes a while.
const MARGIN: i64 = 60_000;

/// Names that are shown of those that can be read in several ways.
const NAMED: usize = 20;

/// Which list, of which brokers, and for which database.
#[derive(Debug, clap::Args)]
pub struct Resync {
    /// The list; `-` or nothing for stdin
    #[arg(value_name = "LIST")]
    pub list: Option<PathBuf>,
    /// The database
    #[arg(long, value_name = "FILE", conflicts_with = "policy")]
    pub database: Option<PathBuf>,
    /// The policy that names the database [default: rules.yaml]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// The broker's node that the list is of, where the list does not tell and the database knows several
    #[arg(long)]
    pub node: Option<String>,
    /// Its cluster, where the database knows several
    #[arg(long)]
    pub cluster: Option<String>,
    /// When the list was taken: 2024-05-01T12:30:00Z, or 5m for so long ago (UTC) [default: a minute before the
    /// file was written, or before now where it is none]. What began later is left alone
    #[arg(long, value_name = "TIME", value_parser = parse_utc)]
    pub as_of: Option<i64>,
    /// In which form the list is, where it is not to be found out
    #[arg(long, value_enum)]
    pub form: Option<FormName>,
    /// Take a list without any client, or any of the nodes, for what it says: that nobody is connected
    #[arg(long)]
    pub empty: bool,
    /// Take several pages for the whole list: no client came or went while they were fetched
    #[arg(long)]
    pub pages: bool,
    /// Say what would be done, and do nothing; exit with 1 where there is anything
    #[arg(long)]
    pub dry_run: bool,
}

/// The form of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormName {
    /// What `emqx_ctl clients list` prints
    Ctl,
    /// What the REST API gives, or objects with a `clientid`
    Json,
    /// A clientid a line
    Plain,
}

impl From<FormName> for Form {
    fn from(name: FormName) -> Self {
        match name {
            FormName::Ctl => Form::Ctl,
            FormName::Json => Form::Json,
            FormName::Plain => Form::Plain,
        }
    }
}

/// Settles what is unsure, and says what came of it. 0 where all of it could be; 1 where something stays unsure that the
/// list does not settle, or in a dry run where something would be done; 2 where nothing could be done.
pub(super) fn run(args: &Resync) -> ExitCode {
    match settle(args) {
        Ok((outcome, listed, as_of)) => {
            let _ = io::stdout().lock().write_all(told(&outcome, listed, as_of, args.dry_run).as_bytes());
            let would_do = args.dry_run && outcome.there + outcome.gone > 0;
            if would_do || outcome.is_partial() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(text) => {
            let _ = writeln!(io::stderr(), "exhook-policy: {text}");
            ExitCode::from(2)
        }
    }
}

/// What came of it, how many clients were in the list, and when it was taken.
fn settle(args: &Resync) -> Result<(ResyncOutcome, usize, i64), String> {
    // Before the list is read, which may still be on its way.
    let now = Timestamp::now().as_millisecond();
    if args.as_of.is_some_and(|as_of| as_of > now) {
        return Err("--as-of is ahead of now: a list of then is not taken yet".to_owned());
    }
    let path = database(args.database.as_deref(), args.policy.as_deref())?;
    let (name, input) = match &args.list {
        Some(path) if path.as_os_str() != "-" => (path.display().to_string(), input::stream(path)),
        Some(_) | None => ("stdin".to_owned(), io::stdin().as_fd().try_clone_to_owned().map(File::from)),
    };
    let read = |list: File| {
        let written = written(&list)?;
        Ok((written, input::rest(list, LARGEST)?))
    };
    let (written, bytes) = input.and_then(read).map_err(|error: io::Error| format!("cannot read {name}: {error}"))?;
    let as_of = args.as_of.unwrap_or_else(|| written.unwrap_or(now).min(now).saturating_sub(MARGIN));
    let list = List::parse(&bytes, args.form.map(Form::from)).map_err(|problem| format!("{name}: {problem}"))?;
    if list.is_paged() && !args.pages {
        return Err(format!(
            "{name}: clients may have moved between pages while these were fetched, or a page be missing: fetch a single page \
             with a large `limit`, or take the list of emqx_ctl; --pages says that the pages are the whole list"
        ));
    }
    if list.is_empty() && !args.empty {
        return Err(format!("{name}: there is no client in it; --empty says that it is so"));
    }
    let scope = Scope { cluster: args.cluster.clone(), node: args.node.clone(), empty: args.empty };
    let mut db = open(&path).map_err(|text| format!("cannot open {}: {text}", path.display()))?;
    let outcome = resync(&mut db, &list, &scope, as_of, !args.dry_run)
        .map_err(|trouble| format!("{}: {trouble}", path.display()))?;
    Ok((outcome, list.len(), as_of))
}

/// When a file was written last; `None` of a pipe, which is written while it is read.
fn written(input: &File) -> io::Result<Option<i64>> {
    let metadata = input.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let written = Timestamp::try_from(metadata.modified()?).map_err(io::Error::other)?;
    Ok(Some(written.as_millisecond()))
}

fn told(outcome: &ResyncOutcome, listed: usize, as_of: i64, dry_run: bool) -> String {
    let ResyncOutcome { nodes, there, gone, later, early, unclear, elsewhere, unknown, left_alone } = outcome;
    let taken = Timestamp::from_millisecond(as_of)
        .map_or_else(|_| as_of.to_string(), |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let of = if nodes.is_empty() {
        String::new()
    } else {
        format!(" of {}", nodes.iter().map(|node| node.escape_debug().to_string()).collect::<Vec<_>>().join(", "))
    };
    let mut text = format!("{listed} clients in the list{of}, taken at {taken}\n");
    let (surely, closed) =
        if dry_run { ("would be unsure no longer", "would be closed") } else { ("unsure no longer", "closed") };
    let mut line = |count: usize, always: bool, what: &str| {
        if always || count > 0 {
            let _ = writeln!(text, "{count:>8}  {what}");
        }
    };
    line(*there, true, &format!("{surely}: in the list"));
    line(*gone, true, &format!("{closed}: not in the list"));
    line(*later, false, "unsure still: they began after the list was taken");
    line(*early, false, "unsure still: the list was taken before a driver or server began to record again");
    line(*unclear, false, "unsure still: their line can be read in several ways; JSON is clear");
    line(*elsewhere, false, "unsure still: of other nodes");
    line(
        *unknown,
        false,
        "in the list as connected, and no connection is open here: they are recorded when they come again",
    );
    // Below the numbers, since strangers choose how many there are.
    if !left_alone.is_empty() {
        text.push_str("left alone, since each of these may be several names in such a list (JSON is clear):\n");
        for name in left_alone.iter().take(NAMED) {
            let _ = writeln!(text, "          {name}");
        }
        if let Some(more @ 1..) = left_alone.len().checked_sub(NAMED) {
            let _ = writeln!(text, "          and {more} more");
        }
    }
    text
}
