//! The program `exhook-policy`, which is the broker's port driver where it is called `python3` or `java`.

use std::process::ExitCode;

fn main() -> ExitCode {
    exhook_policy::run()
}
