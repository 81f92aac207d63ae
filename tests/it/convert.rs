//! Rules of other brokers, converted: what the user sees, word for word.

use crate::support::golden::check_golden;
use crate::support::program::program;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/convert").join(name)
}

fn convert(arguments: &[&str]) -> Output {
    program().current_dir(file("")).arg("convert").args(arguments).output().unwrap()
}

/// The policy is the golden file's, loads without an error, and stderr says how much changed.
#[track_caller]
fn check_converted(arguments: &[&str], golden: &str, stderr: &str) {
    let output = convert(arguments);
    let found = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), stderr);
    check_golden(&file(golden), &found);
}

#[track_caller]
fn check_failure(arguments: &[&str], code: i32, stderr: &str) {
    let output = convert(arguments);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), stderr);
    assert_eq!((output.status.code(), output.stdout), (Some(code), Vec::new()));
}

#[test]
fn an_acl_conf_becomes_a_policy_that_says_what_changes() {
    check_converted(
        &["acl-conf", "acl.conf"],
        "acl-conf.yaml",
        "7 rules change their meaning: read the comments above them, then `exhook-policy check`\n",
    );
}

#[test]
fn an_acl_file_and_a_password_file_become_a_policy_that_says_what_changes() {
    check_converted(
        &["mosquitto", "--acl-file", "acl.txt", "--password-file", "passwords.txt"],
        "mosquitto.yaml",
        "6 rules change their meaning: read the comments above them, then `exhook-policy check`\n",
    );
    check_converted(
        &["mosquitto", "--password-file", "passwords.txt"],
        "mosquitto-passwords.yaml",
        "no rule changes its meaning; `exhook-policy check` looks at the result\n",
    );
}

#[test]
fn what_cannot_be_converted_is_told_by_line_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let form = "a rule is {allow | deny, WHO, publish | subscribe | pubsub, [TOPIC]} or {allow | deny, all}";
    let who = "a client is all, {client, ID}, {user, NAME}, {ipaddr, NETWORK}, {'and', [..]} or {'or', [..]}";
    let acl = write(
        "bad.conf",
        "{allow, al}.\n{allow, {user, x}, publish, [\"a\"]}.\n{allow, {ipaddr, \"here\"}, publish, [\"a\"]}.\n\
         {deny, all, pubsub, [\"a/#/b\",\n \"b/%cx\"]}.\n{deny, {client, \"${username}\"}, pubsub, [\"a\"]}.\n",
    );
    check_failure(
        &["acl-conf", &acl],
        1,
        &format!(
            "error: {acl}:1: {form}\n\
             error: {acl}:2: {who}\n\
             error: {acl}:3: \"here\" is no address or network\n\
             error: {acl}:4: the topic \"a/#/b\" cannot be said in a policy: `#` can only be the last level\n\
             error: {acl}:6: \"${{username}}\" cannot be said in a policy: it looks like a placeholder\n"
        ),
    );
    let torn = write("torn.conf", "{allow, all}.\n{deny, {user, \"a\"}");
    check_failure(&["acl-conf", &torn], 1, &format!("error: {torn}:2: the file ends where `,` must stand\n"));
    let acl = write("bad.txt", "user\ntopic\ntopic maybe a/b\ntopics a\npattern read a/b#\n");
    check_failure(
        &["mosquitto", "--acl-file", &acl],
        1,
        &format!(
            "error: {acl}:1: `user` needs a name\n\
             error: {acl}:2: a topic must stand here\n\
             error: {acl}:3: the access is `read`, `write`, `readwrite` or `deny`, not \"maybe\"\n\
             error: {acl}:4: a line begins with `user`, `topic`, `pattern` or `#`, not with \"topics\"\n\
             error: {acl}:5: the topic \"a/b#\" cannot be said in a policy: `+` and `#` stand for whole levels\n"
        ),
    );
    check_failure(
        &["acl-conf", "no/such/acl.conf"],
        2,
        "error: no/such/acl.conf: No such file or directory (os error 2)\n",
    );
}

#[test]
fn a_file_that_is_there_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("rules.yaml");
    let output = output.to_str().unwrap();
    assert_eq!(convert(&["acl-conf", "acl.conf", "--output", output]).status.code(), Some(0));
    assert_eq!(fs::read(output).unwrap(), fs::read(file("acl-conf.yaml")).unwrap());
    let expected = "error: the policy cannot be written: File exists (os error 17)\n";
    check_failure(&["acl-conf", "acl.conf", "--output", output], 2, expected);
}
