//! `exhook-policy completions` and `exhook-policy man`: what shells and manuals want to know of the commands.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use super::out::stdout;

/// Print a shell's completions.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Print the manual page, or write the pages of all commands into a folder.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Write one page a command here, as `exhook-policy-check.1`; the folder is made if it is missing
    folder: Option<PathBuf>,
}

/// Prints the script to stdout. The code is 2 where that cannot be written to.
pub fn run(args: &CompletionsArgs) -> ExitCode {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    code(stdout().write_all(&script))
}

/// Prints the page, or writes the pages. The code is 2 where they cannot be written.
pub fn run_man(args: &ManArgs) -> ExitCode {
    let command = Cli::command();
    code(if let Some(folder) = &args.folder {
        std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder))
    } else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).and_then(|()| stdout().write_all(&page))
    })
}

fn code(written: io::Result<()>) -> ExitCode {
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A reader that closed stderr does not want to know.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(2)
        }
    }
}
