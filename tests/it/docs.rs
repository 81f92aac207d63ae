//! Commands that the documentation tells people to type are commands that the program takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::files::files_below;
use crate::support::program::PROGRAM;
use clap::Parser;
use exhook_policy::cli::Cli;

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let below = ["docs", "examples"].iter().flat_map(|folder| files_below(&root.join(folder)));
    let is_page = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "md" || ending == "yaml");
    [root.join("README.md")].into_iter().chain(below.filter(is_page)).collect()
}

/// The lines of shell code: those fenced in Markdown, those behind `run:` and `entry:` in YAML.
fn shell(document: &Path) -> Vec<String> {
    let text = fs::read_to_string(document).unwrap();
    if document.extension().is_some_and(|ending| ending == "yaml") {
        let line = |line: &str| {
            let line = line.trim().trim_start_matches("- ");
            let entry = line.strip_prefix("entry: ").map(|command| format!("{command} rules.yaml"));
            entry.unwrap_or_else(|| line.strip_prefix("run: ").unwrap_or(line).to_owned())
        };
        return text.lines().map(line).collect();
    }
    let mut lines = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```sh";
        } else if inside {
            lines.push(line.trim().to_owned());
        }
    }
    lines
}

/// The words of the first command of a line, as a shell splits them.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (c, quote) {
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            ('|' | '>' | '<' | ';' | '&' | '#', None) if word.is_none() => break,
            (' ', None) => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    // A variable stands for a file or a number.
    words.into_iter().map(|word| if word.starts_with('$') { "1".to_owned() } else { word }).collect()
}

#[test]
fn commands_in_the_documentation_are_taken() {
    let mut found = 0;
    for document in documents() {
        let lines = shell(&document);
        for line in lines.iter().filter(|line| line.starts_with("exhook-policy ")) {
            found += 1;
            let parsed = Cli::try_parse_from(words(line));
            let help = parsed.as_ref().err().is_some_and(|error| !error.use_stderr());
            assert!(parsed.is_ok() || help, "{}: {line}\n{}", document.display(), parsed.unwrap_err());
        }
    }
    assert!(found > 15, "{found} commands");
}

#[test]
fn the_chapter_on_ci_works_in_an_empty_folder() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let chapter = readme.split("\n## Policies in CI\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let blocks = chapter.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    let script: String = blocks.collect();
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(PROGRAM).parent().unwrap();
    let path = std::env::join_paths([program, Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{out}{err}");
    assert_eq!(err, "");
    for expected in ["rules.yaml: fine", "someone may do more than before"] {
        assert!(out.contains(expected), "{expected}: {out}");
    }
}
