//! `exhook-policy passwd`: entries of password files.

use std::io::{self, BufReader, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use zeroize::Zeroizing;

use exhook_policy_runtime::password::{self, Edit, StoredHash};

/// The longest password that MQTT can carry, in bytes.
const MAX_BYTES: usize = 65_535;

/// Add, change or remove an entry of a password file.
///
/// The password is asked for on the terminal, or read as one line from the standard input. It is stored as an
/// argon2id hash with a random salt. A running broker uses it at the next login. A new file is readable by you
/// alone: give it to the user that the broker runs as.
#[derive(Debug, clap::Args)]
pub struct PasswdArgs {
    /// The password file; it is made where it is missing
    file: PathBuf,
    /// The username
    user: String,
    /// Read the password from the standard input even where that is a terminal
    #[arg(long)]
    stdin: bool,
    /// Remove the user's entry
    #[arg(long, conflicts_with = "stdin")]
    delete: bool,
}

/// Changes the file and says so on stdout. The code is 1 where there is no entry to remove, and 2 where there is
/// no password to set or the file cannot be changed.
pub fn run(args: &PasswdArgs) -> ExitCode {
    let stdin = io::stdin();
    let password = || {
        if args.stdin || !stdin.is_terminal() {
            one_line(stdin.lock())
        } else {
            twice(|prompt| rpassword::prompt_password(prompt).map(Zeroizing::new), &args.user)
        }
    };
    match change(args, password) {
        Ok((code, message)) => {
            // A reader that closed stdout does not want to know.
            let _ = writeln!(io::stdout(), "{message}");
            ExitCode::from(code)
        }
        Err(message) => {
            let _ = writeln!(io::stderr(), "error: {message}");
            ExitCode::from(2)
        }
    }
}

/// The exit code and what to say.
fn change(
    args: &PasswdArgs,
    password: impl FnOnce() -> Result<Zeroizing<Vec<u8>>, String>,
) -> Result<(u8, String), String> {
    password::check_username(&args.user)?;
    let hash = if args.delete {
        None
    } else {
        let password = password()?;
        if password.is_empty() {
            return Err("the password is empty; a client without a password is never let in by one".to_owned());
        }
        if password.len() > MAX_BYTES {
            return Err("the password is longer than 65,535 bytes, which is more than MQTT can carry".to_owned());
        }
        Some(StoredHash::argon2id(&password)?)
    };
    let (user, file) = (&args.user, args.file.display());
    let done = password::edit(&args.file, user, hash.as_deref()).map_err(|e| format!("{file}: {e}"))?;
    Ok(match done {
        Edit::Added => (0, format!("added `{user}` to {file}")),
        Edit::Changed => (0, format!("changed the password of `{user}` in {file}")),
        Edit::Removed => (0, format!("removed `{user}` from {file}")),
        Edit::Missing => (1, format!("`{user}` is not in {file}")),
    })
}

/// The first line without its end, as bytes: a password need not be text.
fn one_line(input: impl Read) -> Result<Zeroizing<Vec<u8>>, String> {
    // Room for all from the first: a vector that grows leaves copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 3));
    for byte in BufReader::new(input).take(MAX_BYTES as u64 + 2).bytes() {
        match byte {
            Ok(b'\n') => {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                break;
            }
            Ok(byte) => line.push(byte),
            Err(e) => return Err(format!("cannot read the password from the standard input: {e}")),
        }
    }
    Ok(line)
}

/// Asks, and where something was said asks once more.
fn twice(
    mut ask: impl FnMut(String) -> io::Result<Zeroizing<String>>,
    user: &str,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let because = |e: io::Error| format!("cannot ask for the password on the terminal: {e}");
    let first = ask(format!("Password for {user}: ")).map_err(because)?;
    if first.is_empty() {
        return Ok(Zeroizing::default());
    }
    let second = ask("The same again: ".to_owned()).map_err(because)?;
    if *first == *second {
        Ok(Zeroizing::new(first.as_bytes().to_vec()))
    } else {
        Err("the passwords differ".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn line(input: &[u8], password: &[u8]) {
        assert_eq!(*one_line(input).unwrap(), password);
    }

    #[test]
    fn one_line_is_read_without_its_end() {
        line(b"s3cret\n", b"s3cret");
        line(b"s3cret\r\n", b"s3cret");
        line(b"s3cret", b"s3cret");
        line(b" s3 cret \nmore\n", b" s3 cret ");
        line(b"s3cret\r", b"s3cret\r");
        line(b"\xff\0\n", b"\xff\0");
        line(b"\n", b"");
        line(b"", b"");
        let longest = vec![b'x'; MAX_BYTES];
        line(&longest, &longest);
        assert!(one_line(io::repeat(b'x')).unwrap().len() > MAX_BYTES);
    }

    #[track_caller]
    fn asked(answers: &[&str], expected: Result<&str, &str>) {
        let mut prompts = Vec::new();
        let mut given = answers.iter();
        let ask = |prompt: String| {
            prompts.push(prompt);
            given.next().map(|answer| Zeroizing::new((*answer).to_owned())).ok_or(io::ErrorKind::UnexpectedEof.into())
        };
        let result = twice(ask, "ann");
        let result = result.as_ref().map(|bytes| std::str::from_utf8(bytes).unwrap()).map_err(String::as_str);
        assert_eq!(result, expected);
        assert_eq!(prompts, ["Password for ann: ", "The same again: "][..prompts.len()]);
    }

    #[test]
    fn the_terminal_is_asked_twice() {
        asked(&["s3cret", "s3cret"], Ok("s3cret"));
        asked(&["s3cret", "s3cre"], Err("the passwords differ"));
        asked(&["", "s3cret"], Ok(""));
        asked(&["s3cret"], Err("cannot ask for the password on the terminal: unexpected end of file"));
    }
}
