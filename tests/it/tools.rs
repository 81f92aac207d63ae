//! The small commands around a policy: its layout, shell completions, the manual.

use crate::support::program::{program, run_with};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn run(arguments: &[&str], stdin: &str) -> Output {
    run_with(program().args(arguments), stdin.as_bytes())
}

#[track_caller]
fn check(arguments: &[&str], stdin: &str, code: i32, stdout: &str, stderr: &str) {
    let output = run(arguments, stdin);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), stderr);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), stdout);
    assert_eq!(output.status.code(), Some(code));
}

#[test]
fn a_policy_is_laid_out_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yaml");
    let name = file.to_str().unwrap();
    fs::write(&file, "version:   1 # first\n").unwrap();
    check(&["fmt", "--check", name], "", 1, "", &format!("{name}: would be changed\n"));
    check(&["fmt", name], "", 0, "", "");
    assert_eq!(fs::read_to_string(&file).unwrap(), "version: 1 # first\n");
    check(&["fmt", "--check", name], "", 0, "", "");
    check(&["fmt", "-"], "version:   1\n", 0, "version: 1\n", "");
    check(&["fmt", "-"], "broker:   [5.10]\n", 0, "broker: [5.10]\n", "");
    let missing = format!("{name}.missing");
    check(&["fmt", name, &missing], "", 2, "", &format!("error: {missing}: No such file or directory (os error 2)\n"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_a_policy_says_stays() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> = vec![root.join("rules/rules.yaml")];
    for folder in ["examples", "tests/policies/good", "tests/policies/warned"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            files.push(if path.is_dir() { path.join("rules.yaml") } else { path });
        }
    }
    files.retain(|file| file.is_file() && file.extension().is_some_and(|ending| ending == "yaml"));
    assert!(files.len() > 15);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let output = run(&["fmt", "-"], &text);
        assert!(output.status.success(), "{}: {output:?}", file.display());
        let formatted = String::from_utf8(output.stdout).unwrap();
        let comments = |text: &str| text.matches('#').count();
        assert_eq!(comments(&formatted), comments(&text), "{}", file.display());
        assert_eq!(run(&["fmt", "-"], &formatted).stdout, formatted.as_bytes(), "{}", file.display());
    }
}

#[test]
fn the_shell_reads_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell], "");
        assert!(output.status.success());
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("exhook-policy") && script.contains("deny-warnings"), "{shell}");
        if shell == "bash" {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), &script).unwrap();
            let offered = format!(
                ". {} && COMP_WORDS=(exhook-policy sch) COMP_CWORD=1 && _exhook__policy exhook-policy sch exhook-policy && echo ${{COMPREPLY[*]}}",
                file.path().display()
            );
            let output = Command::new("bash").args(["-c", &offered]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), "schema\n");
        }
    }
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    check(&["man", pages.to_str().unwrap()], "", 0, "", "");
    let help = String::from_utf8(run(&["--help"], "").stdout).unwrap();
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names: Vec<&str> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"check"), "{help}");
    let main = String::from_utf8(run(&["man"], "").stdout).unwrap();
    assert!(main.contains(".TH exhook-policy 1"), "{main}");
    for name in names {
        assert!(main.contains(&format!("exhook\\-policy\\-{}(1)", name.replace('-', "\\-"))), "{name}\n{main}");
        let page = pages.join(format!("exhook-policy-{name}.1"));
        assert!(page.exists() || name == "help", "{name}");
    }
}
