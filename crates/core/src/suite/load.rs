//! Reading a test file and its policy.

use std::path::{Path, PathBuf};

use super::Suite;
use super::raw;
use super::resolve::resolve;
use super::secret::SecretPlaces;
use super::stand_ins::StandIns;
use crate::policy::codes::Code;
use crate::policy::decode::{At, Cx, Text};
use crate::policy::diag::{Diagnostic, Diagnostics, Report, quote};
use crate::policy::load::{Loaded, not_utf8, schema_of};
use crate::policy::yaml::{self, Node};
use crate::policy::{Policy, traps};

/// What to do about a mistake whose words would show a password.
const HELP: &str = "a password is a text: write it in quotes";

/// The endings by which a test file is known.
const ENDINGS: [&str; 2] = [".test.yaml", ".test.yml"];

/// A file that was read, with what is wrong with it so far.
struct ReadSuite<'t> {
    suite: Option<raw::Suite>,
    cx: Cx<'t>,
    places: SecretPlaces,
}

impl ReadSuite<'_> {
    /// What is wrong with the file, passwords covered.
    fn report(self, name: &str) -> Report {
        let ReadSuite { cx, places, .. } = self;
        let Cx { text, mut found } = cx;
        found.withhold(|span| places.touch(span), HELP);
        Report::new(name, &places.cover(text), found)
    }
}

/// What reading a test file needs of a file system.
#[derive(Clone, Copy)]
pub struct SuiteFiles<'f> {
    /// Whether a file stands there.
    pub is_file: &'f dyn Fn(&Path) -> bool,
    /// Reads and validates a policy.
    pub load_policy: &'f dyn Fn(&Path) -> Result<Loaded, Box<Report>>,
}

/// Reads a test file from bytes, which must be UTF-8, and the policy that it names or that stands beside the path.
///
/// # Errors
/// Everything that is wrong with the test file, and with the policy.
pub fn parse(bytes: &[u8], path: &Path, files: SuiteFiles<'_>) -> Result<Suite, Vec<Report>> {
    let name = path.display().to_string();
    let text = text(bytes, &name).map_err(|report| vec![*report])?;
    let mut file = decode(text);
    let Some(suite) = file.suite.take() else { return Err(vec![file.report(&name)]) };
    let loaded = match policy_of(path, suite.policy.as_ref(), files.is_file, &mut file.cx) {
        None => return Err(vec![file.report(&name)]),
        Some(policy_file) => (files.load_policy)(&policy_file).map(|loaded| (policy_file, loaded)),
    };
    let (policy_file, loaded) = match loaded {
        Ok(loaded) => loaded,
        Err(report) if report.is_unreadable() && suite.policy.is_some() => {
            let span = suite.policy.map(|policy| policy.span).unwrap_or_default();
            let why = report.diagnostics().first().map_or("", Diagnostic::message);
            let message = format!("{}: {why}", report.name());
            file.cx.push(Diagnostic::new(Code::UnreadableFile, span, message));
            return Err(vec![file.report(&name)]);
        }
        Err(report) if file.cx.found.has_errors() => return Err(vec![*report, file.report(&name)]),
        Err(report) => return Err(vec![*report]),
    };
    let policy = Policy::compile(loaded.model);
    let shown = file.places.cover(text);
    let stand_ins = StandIns::new(&name, &shown, suite.lists, suite.passwords);
    stand_ins.check_names(&policy, &mut file.cx);
    let contents = stand_ins.resolve(&policy, &mut file.cx);
    let tests = resolve(suite.clients, suite.tests, suite.at.as_ref(), &policy, &mut file.cx);
    if file.cx.found.has_errors() {
        return Err(vec![file.report(&name)]);
    }
    Ok(Suite { file: path.to_owned(), policy_file, policy, contents, tests })
}

impl StandIns {
    /// Reads the `lists` and `passwords` of a test file from bytes, which must be UTF-8. The name stands in reports; the
    /// policy that it names is not looked at.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn parse(bytes: &[u8], name: &str) -> Result<Self, Box<Report>> {
        let text = text(bytes, name)?;
        let mut file = decode(text);
        match file.suite.take() {
            Some(suite) if !file.cx.found.has_errors() => {
                Ok(StandIns::new(name, &file.places.cover(text), suite.lists, suite.passwords))
            }
            Some(_) | None => Err(Box::new(file.report(name))),
        }
    }
}

fn text<'b>(bytes: &'b [u8], name: &str) -> Result<&'b str, Box<Report>> {
    std::str::from_utf8(bytes).map_err(|error| {
        let lossy = String::from_utf8_lossy(bytes);
        let mut found = Diagnostics::default();
        found.push(not_utf8(error));
        Box::new(Report::new(name, &SecretPlaces::of_text(&lossy).cover(&lossy), found))
    })
}

fn decode(text: &str) -> ReadSuite<'_> {
    let mut cx = Cx::new(text);
    match yaml::read(text) {
        Err(diagnostic) => {
            cx.push(diagnostic);
            ReadSuite { suite: None, cx, places: SecretPlaces::of_text(text) }
        }
        Ok(tree) if tree.node == Node::Null => {
            cx.push(traps::empty_file("the test file", "tests:"));
            ReadSuite { suite: None, cx, places: SecretPlaces::default() }
        }
        Ok(tree) => {
            let suite = cx.value(&tree, None);
            ReadSuite { suite, cx, places: SecretPlaces::of_tree(text, &tree) }
        }
    }
}

/// The policy that the file is about.
fn policy_of(
    path: &Path,
    named: Option<&At<Text>>,
    is_file: &dyn Fn(&Path) -> bool,
    cx: &mut Cx<'_>,
) -> Option<PathBuf> {
    if let Some(named) = named {
        if named.value.value.is_empty() || named.value.value.contains('\0') {
            cx.push(Diagnostic::new(Code::BadPath, named.span, "this is no path"));
            return None;
        }
        return Some(path.parent().unwrap_or(Path::new("")).join(&named.value.value));
    }
    let beside = policy_beside(path, is_file);
    if beside.is_none() {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let message = format!("no policy that {} is about stands beside it", quote(&file));
        cx.push(Diagnostic::unplaced(Code::MissingKey, message).help("name it by `policy: rules.yaml`"));
    }
    beside
}

/// The policy beside a test file: `rules.yaml` or `rules.yml` for `rules.test.yaml`.
fn policy_beside(path: &Path, is_file: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    let stem = stem(path)?;
    let beside = ["yaml", "yml"].map(|ending| path.with_file_name(format!("{stem}.{ending}")));
    beside.into_iter().find(|policy| is_file(policy))
}

/// Whether a file has the name of a test file.
pub fn is_test_file(path: &Path) -> bool {
    stem(path).is_some()
}

/// Where the tests of a policy may stand: `rules.test.yaml` or `rules.test.yml` for `rules.yaml`.
pub fn tests_beside(policy: &Path) -> [PathBuf; 2] {
    let stem = policy.file_stem().unwrap_or_default().to_string_lossy();
    ENDINGS.map(|ending| policy.with_file_name(format!("{stem}{ending}")))
}

/// The name of a test file without its ending; `None` where it does not have the name of one.
fn stem(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).filter(|stem| !stem.is_empty())
}

/// The JSON Schema (draft 7) of test files, with a line end.
pub fn schema() -> String {
    schema_of::<raw::Suite>()
}
