//! What a policy's lists and password sources hold, for commands that ask it without a broker.

use std::path::PathBuf;

use clap::ValueEnum;

use exhook_policy_core::policy::diag::Report;
use exhook_policy_core::policy::lists::Lists;
use exhook_policy_core::policy::model::PasswordId;
use exhook_policy_core::policy::problem::SourceProblem;
use exhook_policy_core::policy::{Found, Policy};
use exhook_policy_core::suite::Contents;
use exhook_policy_runtime::files::policies;
use exhook_policy_runtime::source;

/// Where lists and passwords come from.
#[derive(Debug, Clone, clap::Args)]
pub struct WorldArgs {
    /// A test file whose `lists` and `passwords` stand in for the policy's; else the policy's lists are read
    #[arg(long, value_name = "FILE")]
    stand_ins: Option<PathBuf>,
    /// What to take a password for that is not known
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Assumed::Right)]
    assume_password: Assumed,
}

/// What a password is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Assumed {
    /// Every source knows the user, and the password is right
    Right,
    /// Every source knows the user, and the password is wrong
    Wrong,
    /// No source knows the user
    Unknown,
}

/// The lists of one policy, and what is taken for its passwords.
#[derive(Debug)]
pub struct World {
    contents: Option<Contents>,
    read: Lists,
    /// What is wrong with the lists that could not be read; decisions that need them deny.
    pub problems: Vec<SourceProblem>,
    assumed: Assumed,
}

impl WorldArgs {
    /// Reads what the policy needs, once.
    ///
    /// # Errors
    /// What is wrong with the file of stand-ins.
    pub fn world(&self, policy: &Policy) -> Result<World, Box<Report>> {
        let contents =
            self.stand_ins.as_deref().map(|file| policies::load_stand_ins(file)?.contents(policy)).transpose()?;
        let (read, problems) = match &contents {
            Some(_) => (Lists::default(), Vec::new()),
            None => source::read(policy.lists()),
        };
        Ok(World { contents, read, problems, assumed: self.assume_password })
    }
}

impl World {
    /// The lists.
    pub fn lists(&self) -> &Lists {
        self.contents.as_ref().map_or(&self.read, Contents::lists)
    }

    /// What a password source says of a login of which is known only whether a password was given. Stand-ins say
    /// which users a source knows.
    pub fn found(&self, source: PasswordId, username: &str, given: bool) -> Found {
        let known = self.contents.as_ref().and_then(|contents| contents.knows_user(source, username));
        match (self.assumed, known) {
            (Assumed::Unknown, _) | (_, Some(false)) => Found::Unknown,
            (Assumed::Right, _) if given => Found::Right,
            (Assumed::Right | Assumed::Wrong, _) => Found::Wrong,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use super::*;
    use exhook_policy_core::policy;
    use exhook_policy_core::policy::model::ListId;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: WorldArgs,
    }

    const POLICY: &str = "version: 1\n\
        lists: { fleet: { file: fleet.txt }, old: [dev-9], gone: { file: gone.txt } }\n\
        passwords: { devices: { file: devices.passwd }, staff: { file: staff.passwd } }\n\
        auth: { rules: [{ deny: { clientid: [{ in: fleet }, { in: old }, { in: gone }] } }] }\n";

    fn world(arguments: &[&str]) -> Result<World, Box<Report>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("fleet.txt"), "dev-1\n").unwrap();
        std::fs::write(
            folder.path().join("in.yaml"),
            "lists: { fleet: [dev-2], unheard-of: [a] }\npasswords: { devices: { dev-2: s3cret } }\n",
        )
        .unwrap();
        std::fs::write(folder.path().join("bad.yaml"), "lists: { fleet: dev-2 }\n").unwrap();
        let policy = Policy::compile(policy::parse(POLICY, "rules.yaml", folder.path()).unwrap().model);
        let arguments = arguments.iter().map(|one| match Path::new(one).extension() {
            Some(_) => folder.path().join(one).display().to_string(),
            None => (*one).to_owned(),
        });
        Cli::parse_from(std::iter::once("test".to_owned()).chain(arguments)).args.world(&policy)
    }

    #[track_caller]
    fn check_lists(world: &World, expected: [Option<&str>; 3], problems: usize) {
        for (id, expected) in expected.into_iter().enumerate() {
            let list = world.lists().get(ListId(id));
            assert_eq!(list.is_some(), expected.is_some(), "{id}");
            assert!(expected.is_none_or(|entry| list.is_some_and(|list| list.contains_text(entry))), "{id}");
        }
        assert_eq!(world.problems.len(), problems);
    }

    #[test]
    fn lists_are_read_or_stood_in_for() {
        check_lists(&world(&[]).unwrap(), [Some("dev-1"), Some("dev-9"), None], 1);
        check_lists(&world(&["--stand-ins", "in.yaml"]).unwrap(), [Some("dev-2"), Some("dev-9"), None], 0);
        assert!(world(&["--stand-ins", "bad.yaml"]).is_err());
    }

    #[track_caller]
    fn check_found(arguments: &[&str], expected: [Found; 3]) {
        let world = world(arguments).unwrap();
        let found = [("dev-2", true), ("dev-2", false), ("dev-3", true)]
            .map(|(username, given)| world.found(PasswordId(0), username, given));
        assert_eq!(found, expected, "{arguments:?}");
        // Nothing stands in for the second source.
        let other =
            if arguments.contains(&"unknown") { Found::Unknown } else { world.found(PasswordId(0), "dev-2", true) };
        assert_eq!(world.found(PasswordId(1), "dev-3", true), other, "{arguments:?}");
    }

    #[test]
    fn passwords_are_taken_for_right_or_as_asked() {
        use Found::{Right, Unknown, Wrong};
        check_found(&[], [Right, Wrong, Right]);
        check_found(&["--assume-password", "wrong"], [Wrong, Wrong, Wrong]);
        check_found(&["--assume-password", "unknown"], [Unknown; 3]);
        check_found(&["--stand-ins", "in.yaml"], [Right, Wrong, Unknown]);
        check_found(&["--stand-ins", "in.yaml", "--assume-password", "wrong"], [Wrong, Wrong, Unknown]);
        check_found(&["--stand-ins", "in.yaml", "--assume-password", "unknown"], [Unknown; 3]);
    }
}
