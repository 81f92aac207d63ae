use std::os::unix::fs::PermissionsExt;

use super::*;

const ENFORCES: Decides = Decides {
    mode: Mode::Enforce,
    deadline: Duration::from_secs(2),
    logins: AnsweredShare::All,
    topics: AnsweredShare::All,
};

fn text(decides: Option<&Decides>, slot: Slot, copy: bool) -> String {
    instructions(&DriverPlan {
        dir: Path::new("/opt/exhook"),
        slot,
        program: Path::new("/usr/bin/exhook-policy"),
        copy,
        service: "emqx",
        on_own_path: false,
        policy: decides.map(|decides| (decides, Path::new("/etc/emqx/policy/rules.yaml"))),
    })
}

#[test]
fn a_policy_that_decides_everything() {
    assert_eq!(
        text(Some(&ENFORCES), Slot::Python3, false),
        "/opt/exhook/python3 and /opt/exhook/java are links to /usr/bin/exhook-policy.
It must stay there; an upgrade in its place takes effect when the broker next starts the driver.

1. Let the broker's service, and nothing else, find it as python3.
   /etc/systemd/system/emqx.service.d/exhook-policy.conf:

[Service]
Environment=PATH=/opt/exhook:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

   systemctl daemon-reload && systemctl restart emqx

   A start through `su - emqx`, as by the SysV script of the Debian packages, resets PATH, and the broker does not
   find the driver then. `tr '\\0' '\\n' < /proc/PID/environ`, with the PID of beam.smp, shows the PATH that it has.

2. Tell the plugin where the policy is. etc/plugins/emqx_extension_hook.conf:

exhook.drivers = python3
exhook.drivers.python3.path = /etc/emqx/policy
exhook.drivers.python3.init_module = rules
exhook.drivers.python3.call_timeout = 5s

   emqx_ctl plugins load emqx_extension_hook

   The broker's user must be able to read the policy and the files that it names, password files too, and to
   write to the folder of the history database.

   The broker logs the whole call, at level error, with the password in clear, if the driver ends or does not answer
   within call_timeout (measured on 4.2.14). So let only administrators read the broker's log, wherever it is sent.

3. Make the broker itself fail closed. While the driver is not loaded, starting or late, the broker lets
   everyone in and everything through, unless it is told otherwise.
   Apply this once step 2 has worked and the right clients get in.

   Logins, in etc/emqx.conf:

allow_anonymous = false

   Topics, in etc/emqx.conf:

acl_nomatch = deny

   and in etc/acl.conf take the last line out, and what stands above it and is not wanted:

{allow, all}.

   The broker reads these files when it starts: restart it.
"
    );
}

#[test]
fn the_other_name_and_a_copy() {
    let text = text(None, Slot::Java, true);
    assert!(
        text.starts_with("/opt/exhook/python3 and /opt/exhook/java are copies of /usr/bin/exhook-policy.\n"),
        "{text}"
    );
    assert!(text.contains("\nexhook.drivers = java\nexhook.drivers.java.path = /etc/exhook-policy\n"), "{text}");
    assert!(text.contains("during an audit roll-out"), "{text}");
    assert!(text.contains("allow_anonymous = false") && text.contains("acl_nomatch = deny"), "{text}");
}

#[test]
fn only_what_the_policy_decides_is_closed_and_only_in_enforce_mode() {
    let check = |decides: Decides, present: &[&str], absent: &[&str]| {
        let text = text(Some(&decides), Slot::Python3, false);
        for words in present {
            assert!(text.contains(words), "{words:?} is not in {text}");
        }
        for words in absent {
            assert!(!text.contains(words), "{words:?} is in {text}");
        }
    };
    check(
        Decides { topics: AnsweredShare::None, ..ENFORCES },
        &["allow_anonymous"],
        &["acl_nomatch", "NOT YET", "`ignore`"],
    );
    check(Decides { logins: AnsweredShare::None, ..ENFORCES }, &["acl_nomatch"], &["allow_anonymous"]);
    check(
        Decides { logins: AnsweredShare::None, topics: AnsweredShare::None, ..ENFORCES },
        &["decides nothing"],
        &["allow_anonymous", "acl_nomatch"],
    );
    check(Decides { mode: Mode::Audit, ..ENFORCES }, &["NOT YET", "allow_anonymous"], &["Apply this once"]);
    check(Decides { logins: AnsweredShare::Some, ..ENFORCES }, &["`ignore`"], &[]);
    check(Decides { deadline: Duration::from_secs(4), ..ENFORCES }, &["call_timeout = 7s"], &[]);
}

#[test]
fn a_launcher_is_made_and_made_again_but_never_in_the_place_of_another_program() {
    let dir = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let launcher = dir.path().join("python3");
    for copy in [false, true, true, false, false] {
        put(&program, &launcher, copy).unwrap();
        assert_eq!(launcher.symlink_metadata().unwrap().is_symlink(), !copy);
        assert_eq!(launcher.metadata().unwrap().permissions().mode() & 0o111, 0o111);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
    // A link to a version that is gone.
    fs::remove_file(&launcher).unwrap();
    symlink("/nonexistent/exhook-policy", &launcher).unwrap();
    put(&program, &launcher, false).unwrap();

    for other in ["/bin/sh", "/usr/bin"] {
        fs::remove_file(&launcher).unwrap();
        symlink(other, &launcher).unwrap();
        let failure = put(&program, &launcher, false).unwrap_err();
        assert_eq!(failure.code, 2);
        assert!(failure.message.contains("is another program, and stays as it is"), "{}", failure.message);
        assert_eq!(fs::read_link(&launcher).unwrap(), Path::new(other));
    }
}
