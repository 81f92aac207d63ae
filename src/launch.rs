//! Called as `python3` or `java`, the program is the broker's port driver.
//!
//! The broker knows these two names and no other. It asks `python3 -V` first, and then starts what it
//! takes for erlport:
//!
//! ```text
//! PYTHONPATH=<erlport>/priv/python3:<path>  python3 -u -m erlport.cli --packet=4 --use_stdio ...
//! JAVAPATH=<erlport.jar>:<path>             java -cp <erlport.jar>:<path> com.erlport.Main --packet=4 ...
//! ```
//!
//! Any other caller of these names gets the next program of the name on the PATH.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use exhook_policy_core::handler::{Load, Refused};
use exhook_policy_runtime::engine::{Engine, Setup};
use exhook_policy_runtime::files::stamp::Stamp;
use exhook_policy_runtime::log::Log;
use exhook_policy_runtime::port::driver;
use exhook_policy_runtime::port::frame::Packet;
use exhook_policy_runtime::port::pipes::Pipes;
use exhook_policy_runtime::process::Recorder;
use exhook_policy_runtime::state::{Folder, last_good};

/// What `python3 -V` answers. The broker wants 3.0 or later; erlport runs on this one.
const PYTHON_VERSION: &str = "Python 3.8.0";

/// How long the console may take for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How long a file must have been left alone before it is read again.
const QUIET: Duration = Duration::from_secs(1);

/// The language whose interpreter the broker believes to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// `python3`, and with a minor version behind it.
    Python,
    /// `java`.
    Java,
}

impl Language {
    /// The name by which the broker knows the driver.
    pub fn as_str(self) -> &'static str {
        match self {
            Language::Python => "python3",
            Language::Java => "java",
        }
    }
}

/// A name under which the program is a driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    language: Language,
    name: OsString,
}

/// Whether the program was called by a driver's name; `argv0` is the path or name of the call.
pub fn called_as(argv0: &OsStr) -> Option<Called> {
    let name = Path::new(argv0).file_name()?;
    let language = match name.to_str()? {
        "java" => Language::Java,
        "python3" => Language::Python,
        other => {
            other.strip_prefix("python3.").filter(|minor| minor.bytes().all(|digit| digit.is_ascii_digit()))?;
            Language::Python
        }
    };
    Some(Called { language, name: name.to_owned() })
}

/// Does what a program of that name is called for. `args` are those behind the name.
pub fn run(called: &Called, args: &[OsString]) -> ExitCode {
    match Task::of(called.language, args) {
        Task::Version => {
            // It has no reader: nothing to do about that.
            let _ = writeln!(std::io::stdout(), "{PYTHON_VERSION}");
            ExitCode::SUCCESS
        }
        Task::Drive(options) => drive(called.language, options, args),
        Task::HandOn => hand_on(called, args),
    }
}

/// What a call is for.
#[derive(Debug, PartialEq, Eq)]
enum Task<'a> {
    /// To say a version.
    Version,
    /// To be erlport, with these options.
    Drive(&'a [OsString]),
    /// Something else.
    HandOn,
}

impl<'a> Task<'a> {
    fn of(language: Language, args: &'a [OsString]) -> Self {
        let begins = match language {
            Language::Python => {
                if let [only] = args
                    && (only == "-V" || only == "--version")
                {
                    return Task::Version;
                }
                let is_erlport = |pair: &[OsString]| matches!(pair, [m, name] if m == "-m" && name == "erlport.cli");
                args.windows(2).position(is_erlport).map(|at| at + 2)
            }
            Language::Java => {
                args.iter().position(|arg| arg == "erlport.CLI" || arg == "com.erlport.Main").map(|at| at + 1)
            }
        };
        begins.and_then(|at| args.get(at..)).map_or(Task::HandOn, Task::Drive)
    }
}

/// erlport's options.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    packet: Packet,
    stdio: bool,
    unknown: Vec<String>,
}

impl Options {
    fn read(args: &[OsString]) -> Result<Self, String> {
        let mut options = Options { packet: Packet::Four, stdio: true, unknown: Vec::new() };
        let mut args = args.iter().map(|arg| arg.to_string_lossy());
        while let Some(arg) = args.next() {
            let (name, value) = match arg.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (arg.into_owned(), None),
            };
            match name.as_str() {
                "--use_stdio" => options.stdio = true,
                "--nouse_stdio" => options.stdio = false,
                "--packet" => {
                    let value = value.or_else(|| args.next().map(Into::into)).unwrap_or_default();
                    options.packet = match value.as_str() {
                        "1" => Packet::One,
                        "2" => Packet::Two,
                        "4" => Packet::Four,
                        other => return Err(format!("--packet={other}: 1, 2 and 4 are the lengths that there are")),
                    };
                }
                // How erlport reads, and whether it compresses what it sends: nothing that the host would notice.
                "--compressed" | "--buffer_size" => {
                    if value.is_none() {
                        args.next();
                    }
                }
                _ => options.unknown.push(name),
            }
        }
        Ok(options)
    }
}

fn drive(language: Language, options: &[OsString], args: &[OsString]) -> ExitCode {
    let log = Log::stderr();
    let code = match serve(language, options, args, &log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            log.line(format_args!("the driver stops: {problem}"));
            ExitCode::FAILURE
        }
    };
    log.flush(LAST_LINES);
    code
}

fn serve(language: Language, options: &[OsString], args: &[OsString], log: &Log) -> Result<(), String> {
    // The usual hook writes to stderr itself, and waits for its reader.
    let panics = log.clone();
    std::panic::set_hook(Box::new(move |info| panics.line(format_args!("a fault in the driver: {info}"))));

    let options = Options::read(options)?;
    for unknown in &options.unknown {
        log.line(format_args!("erlport has no option {unknown}, it is ignored"));
    }
    let pipes = if options.stdio { Pipes::stdio() } else { Pipes::three_and_four() };
    let pipes = pipes.map_err(|error| format!("the pipes of the broker cannot be had: {error}"))?;
    let path = search_path(language, args);
    let log_of_engine = log.clone();
    let load_once = move |module: &str, path: &[PathBuf], sink| {
        let file = find_policy(module, path).or_else(|missing| known_policy(module, path).ok_or(missing))?;
        let recorder = Recorder::of_this_process(language.as_str());
        let setup = Setup::new(&file, recorder, sink, log_of_engine.clone());
        let was = last_good::recall_mode(&setup.state, &file);
        Engine::load(setup).map_err(|reason| Refused { reason, was, is_changed: None })
    };
    let load: Load<Engine> = Arc::new(move |module, sink| {
        // As it was before it was read: what is written meanwhile is a change.
        let seen = PolicySeen::of(module, &path);
        load_once(module, &path, sink).map_err(|refused| {
            let watch = Mutex::new(PolicyWatch { known: seen, waiting: None });
            let (module, path) = (module.to_owned(), path.clone());
            let is_changed = move || {
                let mut watch = watch.lock().unwrap_or_else(PoisonError::into_inner);
                watch.is_changed(PolicySeen::of(&module, &path), Instant::now())
            };
            Refused { is_changed: Some(Arc::new(is_changed)), ..refused }
        })
    });
    driver::run(pipes, options.packet, load, log).map_err(|failure| failure.to_string())
}

/// Which file is the policy of a module, and its contents, as far as both can be told without
/// reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PolicySeen {
    file: Option<PathBuf>,
    stamp: Option<Stamp>,
}

impl PolicySeen {
    fn of(module: &str, path: &[PathBuf]) -> Self {
        let file = find_policy(module, path).ok();
        let stamp = file.as_deref().and_then(Stamp::at);
        PolicySeen { file, stamp }
    }
}

/// Looks whether a policy that did not load was mended.
#[derive(Debug)]
struct PolicyWatch {
    /// What did not load.
    known: PolicySeen,
    /// Another than that, and since when.
    waiting: Option<(PolicySeen, Instant)>,
}

impl PolicyWatch {
    /// Whether it is another than before, and has been left alone for a second: half a policy may
    /// be a valid one.
    fn is_changed(&mut self, seen: PolicySeen, now: Instant) -> bool {
        if seen == self.known {
            self.waiting = None;
            return false;
        }
        match &self.waiting {
            Some((waiting, since)) if *waiting == seen => now.saturating_duration_since(*since) >= QUIET,
            Some(_) | None => {
                self.waiting = Some((seen, now));
                false
            }
        }
    }
}

/// Where policies are looked for, in this order.
fn search_path(language: Language, args: &[OsString]) -> Vec<PathBuf> {
    let path = match language {
        Language::Python => std::env::var_os("PYTHONPATH"),
        Language::Java => class_path(args).or_else(|| std::env::var_os("JAVAPATH")),
    };
    std::env::split_paths(&path.unwrap_or_default()).filter(|entry| !entry.as_os_str().is_empty()).collect()
}

fn class_path(args: &[OsString]) -> Option<OsString> {
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "-cp" || arg == "-classpath" || arg == "--class-path" {
            return args.next().cloned();
        }
        if let Some(path) = arg.to_str().and_then(|arg| arg.strip_prefix("--class-path=")) {
            return Some(path.into());
        }
    }
    None
}

/// The first `<module>.yaml` or `<module>.yml` on the path.
pub(crate) fn find_policy(module: &str, path: &[PathBuf]) -> Result<PathBuf, String> {
    if module.is_empty() || module.contains(['/', '\0']) || module.contains("..") {
        return Err(format!("{module:?} is no name of a policy: name the file without its folder and ending"));
    }
    // Where the path names erlport's own jar, that is no folder.
    let folders = path.iter().filter(|entry| entry.is_dir());
    let files =
        folders.clone().flat_map(|folder| ["yaml", "yml"].map(|ending| folder.join(format!("{module}.{ending}"))));
    // What cannot be looked at counts as found: loading it tells why.
    if let Some(file) = files.into_iter().find(|file| file.try_exists().unwrap_or(true)) {
        return Ok(file);
    }
    let looked_in: Vec<_> = folders.map(|folder| folder.display().to_string()).collect();
    Err(if looked_in.is_empty() {
        let path: Vec<_> = path.iter().map(|entry| entry.display().to_string()).collect();
        format!("no {module}.yaml: the search path holds no folder: {}", path.join(", "))
    } else {
        format!("no {module}.yaml or {module}.yml in {}", looked_in.join(", "))
    })
}

/// Where a policy was in force whose file is gone: what was kept of it is there still.
fn known_policy(module: &str, path: &[PathBuf]) -> Option<PathBuf> {
    let files = path.iter().flat_map(|folder| ["yaml", "yml"].map(|ending| folder.join(format!("{module}.{ending}"))));
    files.into_iter().find(|file| last_good::is_known(&Folder::of(file, None), file))
}

/// Becomes the next program of the name.
fn hand_on(called: &Called, args: &[OsString]) -> ExitCode {
    let problem = match next_on_path(&called.name, &std::env::var_os("PATH").unwrap_or_default(), is_this_program) {
        Some(next) => {
            let error = Command::new(&next).args(args).exec();
            format!("{}: {error}", next.display())
        }
        None => format!("there is no other {} on the PATH", called.name.display()),
    };
    let _ = writeln!(std::io::stderr(), "exhook-policy: called as {}: {problem}", called.name.display());
    // What a shell gives back for a command that it does not find.
    ExitCode::from(127)
}

/// The first program of the name that stands behind this one on the path, and is not this one. To look
/// behind this one alone keeps two copies of it from handing on to each other for ever.
fn next_on_path(name: &OsStr, path: &OsStr, is_self: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let programs: Vec<PathBuf> =
        std::env::split_paths(path).map(|folder| folder.join(name)).filter(|file| is_executable(file)).collect();
    let behind = programs.iter().position(|file| is_self(file)).map_or(0, |at| at + 1);
    programs.into_iter().skip(behind).find(|file| !is_self(file))
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn is_this_program(file: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    let this = identity(Path::new("/proc/self/exe"));
    this.is_some() && identity(file) == this
}

#[cfg(test)]
#[path = "launch/tests.rs"]
mod tests;
