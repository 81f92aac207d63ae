//! `exhook-policy convert`: rules of other brokers as a policy.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use super::out::stdout;
use exhook_policy_core::policy;
use exhook_policy_runtime::files::input;
use exhook_policy_tools::convert::{self, ConversionProblem, PolicyDraft};

/// Convert the rules of another broker.
///
/// The policy goes to the standard output. Where a rule means something else in it, a comment above the rule says how.
#[derive(Debug, clap::Args)]
pub struct ConvertArgs {
    /// Which broker's files
    #[command(subcommand)]
    from: ConvertSource,
    /// Write the policy to this file, which must not exist yet; paths in it are relative to its folder
    #[arg(long, short, global = true, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum ConvertSource {
    /// EMQX's acl.conf, as its 4.x versions read it
    AclConf {
        /// The file, most often etc/acl.conf
        file: PathBuf,
    },
    /// mosquitto's `acl_file` and `password_file`
    #[command(group = clap::ArgGroup::new("files").required(true).multiple(true))]
    Mosquitto {
        /// The `acl_file`
        #[arg(long, value_name = "FILE", group = "files")]
        acl_file: Option<PathBuf>,
        /// The `password_file`, which the policy will name; its hashes are used as they are
        #[arg(long, value_name = "FILE", group = "files")]
        password_file: Option<PathBuf>,
    },
}

/// Writes the policy, and on stderr how many rules changed. The code is 1 where a rule cannot be converted, and 2 where a file
/// cannot be read or written.
pub fn run(args: &ConvertArgs) -> ExitCode {
    let (code, message) = match convert(&args.from) {
        Ok(draft) => match put(&draft, args.output.as_deref()) {
            Ok(()) => (0, summary(&draft)),
            Err(error) => (2, format!("error: the policy cannot be written: {error}\n")),
        },
        Err(failure) => failure,
    };
    // A reader that closed stderr does not want to know.
    let _ = io::stderr().write_all(message.as_bytes());
    ExitCode::from(code)
}

fn convert(from: &ConvertSource) -> Result<PolicyDraft, (u8, String)> {
    let (file, draft) = match from {
        ConvertSource::AclConf { file } => (Some(file), convert::acl_conf(&read(file)?)),
        ConvertSource::Mosquitto { acl_file, password_file } => {
            let acl = acl_file.as_deref().map(read).transpose()?;
            let passwords = password_file.as_deref().map(name).transpose()?;
            (acl_file.as_ref(), convert::mosquitto(acl.as_deref(), passwords))
        }
    };
    let file = file.map(|file| file.display().to_string()).unwrap_or_default();
    let draft = draft.map_err(|problems| (1, told(&file, &problems)))?;
    // What is written must load; that it would not is a fault of the conversion and not of the file.
    match policy::parse(&draft.to_string(), "the converted policy", Path::new("")) {
        Ok(_) => Ok(draft),
        Err(report) => Err((1, report.to_string())),
    }
}

fn read(file: &Path) -> Result<String, (u8, String)> {
    input::read_text(file, input::MOST).map_err(|error| (2, format!("error: {}: {error}\n", file.display())))
}

fn name(file: &Path) -> Result<&str, (u8, String)> {
    file.to_str().ok_or_else(|| (2, format!("error: {}: the path is no UTF-8\n", file.display())))
}

fn told(file: &str, problems: &[ConversionProblem]) -> String {
    let lines = problems.iter().map(|problem| format!("error: {file}:{}: {}", problem.line, problem.message));
    lines.chain([String::new()]).collect::<Vec<_>>().join("\n")
}

fn put(draft: &PolicyDraft, output: Option<&Path>) -> io::Result<()> {
    let text = draft.to_string();
    match output {
        None => {
            let mut out = stdout();
            out.write_all(text.as_bytes())?;
            out.flush()
        }
        Some(file) => OpenOptions::new().write(true).create_new(true).open(file)?.write_all(text.as_bytes()),
    }
}

fn summary(draft: &PolicyDraft) -> String {
    match draft.changes() {
        0 => "no rule changes its meaning; `exhook-policy check` looks at the result\n".to_owned(),
        1 => "1 rule changes its meaning: read the comment above it, then `exhook-policy check`\n".to_owned(),
        many => {
            format!("{many} rules change their meaning: read the comments above them, then `exhook-policy check`\n")
        }
    }
}
