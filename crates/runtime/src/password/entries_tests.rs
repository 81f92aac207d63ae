use super::*;

const HASH: &str = "$pbkdf2-sha256$i=7$c29tZXNhbHRzb21lc2FsdA$Z1Zx3Fkf7gIOCLZTmysdH29G31M";
const DEADLINE: Duration = Duration::from_secs(2);

/// The bad entries of a file, with what is proposed.
fn bad(bytes: &[u8], deadline: Duration) -> Vec<(usize, String, String)> {
    let entries = Entries::read(bytes, deadline).unwrap();
    let file = Path::new("rules/users.passwd");
    entries.bad.first.iter().map(|entry| (entry.line, entry.to_string(), entry.help(file))).collect()
}

#[track_caller]
fn check(bytes: &[u8], line: usize, message: &str, help: &str) {
    assert_eq!(
        bad(bytes, DEADLINE),
        [(line, message.to_owned(), help.to_owned())],
        "{}",
        String::from_utf8_lossy(bytes)
    );
}

#[test]
fn every_entry_that_lets_no_one_in_is_told_by_line() {
    let again = "set the password again: exhook-policy passwd rules/users.passwd bob";
    check(
        b"# users\n\nbob:hunter2\n",
        3,
        "user `bob` is denied, since the hash cannot be read: it looks like a password in plain text",
        again,
    );
    check(b"bob:\n", 1, "user `bob` is denied, since the hash cannot be read: it is empty", again);
    check(b"bob:\xff\n", 1, "user `bob` is denied, since the hash cannot be read: it is not UTF-8 text", again);
    check(
        format!("bob:{HASH} \n").as_bytes(),
        1,
        "user `bob` is denied, since the hash cannot be read: there is a blank before or after it",
        again,
    );
    check(b"hunter2\r\n", 1, "there is no `:` between username and hash", "write `USER:HASH`, or remove the line");
    check(
        format!("\u{feff}:{HASH}\n").as_bytes(),
        1,
        "there is no username before the `:`",
        "remove the line: no password lets a client in that gives no username",
    );
    check(
        &[b"b\xe9b:", HASH.as_bytes()].concat(),
        1,
        "the username is not UTF-8 text",
        "remove the line: no client can give this username",
    );
    check(
        format!("bob:{HASH}\nann:{HASH}\nbob:{HASH}\n").as_bytes(),
        3,
        "user `bob` is denied, since line 1 is an entry of this user too",
        "remove one of the two lines",
    );
}

#[test]
fn good_entries_are_not_told() {
    for text in ["", "\n\n", "# bob:hunter2\n", &format!("bob:{HASH}\n"), &format!("\u{feff}bob:{HASH}\r\nann:{HASH}")]
    {
        assert_eq!(bad(text.as_bytes(), DEADLINE), [], "{text}");
    }
}

#[test]
fn a_hash_that_no_machine_verifies_in_time_is_bad() {
    let of = |cost: u32| format!("bob:$2b${cost:02}$i6Jr2TwSFceo7R1xAa5YVu7g5ewnyO.ubSxnSBxcoWOmRHXeXPmy.\n");
    let message = "user `bob` is denied, since no check of this hash ends within the deadline of 2s";
    let again = "set the password again: exhook-policy passwd rules/users.passwd bob";
    check(of(17).as_bytes(), 1, message, again);
    // It takes longer than the deadline on most machines, and is denied there. A faster one can do it.
    assert_eq!(bad(of(16).as_bytes(), DEADLINE), []);
    assert_eq!(bad(of(17).as_bytes(), Duration::from_secs(4)), []);
    assert_eq!(bad(of(12).as_bytes(), Duration::from_millis(80)).len(), 1);
}

#[test]
fn the_proposed_command_can_be_typed() {
    for (file, user, expected) in [
        ("a.passwd", "bob", "exhook-policy passwd a.passwd bob"),
        ("my files/a", "o'neil", "exhook-policy passwd 'my files/a' 'o'\\''neil'"),
        ("a", "$(reboot)", "exhook-policy passwd a '$(reboot)'"),
        ("a", "-rf", "exhook-policy passwd a -- '-rf'"),
        ("-a", "bob", "exhook-policy passwd -- '-a' bob"),
        ("-a", "-rf", "exhook-policy passwd -- '-a' '-rf'"),
    ] {
        let entries = Entries::read(format!("{user}:hunter2\n").as_bytes(), DEADLINE).unwrap();
        assert_eq!(entries.bad.first[0].help(Path::new(file)), format!("set the password again: {expected}"));
    }
    assert_eq!(bad(b"b\tb:hunter2\n", DEADLINE)[0].2, "remove the line");
    let of = |length: usize| bad(format!("{}:hunter2\n", "é".repeat(length)).as_bytes(), DEADLINE)[0].2.clone();
    assert!(of(100).ends_with(&"é".repeat(100)));
    assert_eq!(of(101), "set the password again with `exhook-policy passwd`, or remove the line");
}

#[test]
fn a_username_that_mqtt_forbids_lets_no_one_in() {
    let help = "remove the line: no client can give this username";
    check(
        format!("b\0b:{HASH}\n").as_bytes(),
        1,
        "user `b\\u{0}b` can never log in, since MQTT allows no NUL character in a username",
        help,
    );
    let long = "é".repeat(32_767);
    assert_eq!(bad(format!("{long}x:{HASH}\n").as_bytes(), DEADLINE), [], "65,535 bytes");
    let message =
        format!("user `{}...` can never log in, since a username in MQTT has at most 65,535 bytes", "é".repeat(60));
    check(format!("{long}é:{HASH}\n").as_bytes(), 1, &message, help);
}

/// Entries of users with one hash.
fn lines(count: usize, hash: &str) -> String {
    (0..count).fold(String::new(), |text, n| text + &format!("user-{n}:{hash}\n"))
}

#[test]
fn many_bad_entries_are_counted() {
    let text = lines(5018, "hunter2");
    let entries = Entries::read(text.as_bytes(), DEADLINE).unwrap();
    assert_eq!((entries.bad.first.len(), entries.bad.more), (20, 4998));
    let shown = entries.bad.to_string();
    let ending = "line 3: user `user-2` is denied, since the hash cannot be read: it looks like a password in plain text; \
                  and 5,015 more";
    assert!(shown.ends_with(ending), "{shown}");
    assert!(!shown.contains("hunter2"));
    for (number, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
        assert_eq!(grouped(number), expected);
    }
}

/// With every entry computed, this would take hours.
#[test]
fn hashes_are_read_and_not_computed() {
    let hash = "$2b$15$i6Jr2TwSFceo7R1xAa5YVu7g5ewnyO.ubSxnSBxcoWOmRHXeXPmy.";
    let text = lines(5000, hash);
    let entries = Entries::read(text.as_bytes(), DEADLINE).unwrap();
    assert_eq!((entries.users.len(), entries.bad.is_empty()), (5000, true));
}

#[test]
fn too_many_entries_are_refused() {
    let text = "# none\nann:x\n\nbob:x\nann:x\n";
    assert!(Entries::read_up_to(3, text.as_bytes(), DEADLINE).is_ok());
    let error = Entries::read_up_to(2, text.as_bytes(), DEADLINE).map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "more than 2 entries");
    assert_eq!(grouped(MAX_ENTRIES), "5,000,000");
}

/// What stands in the place of a hash may be a password: no text of it is in what is shown.
#[test]
fn nothing_that_stands_behind_a_username_is_shown() {
    for secret in
        ["hunter2", "$hunter2", "$hunter2$x", "$6$hunter2", "{hunter2}", "$argon2id$hunter2", "hunter2:x", "!hunter2"]
    {
        for (_, message, help) in bad(format!("bob:{secret}\nbob\nhunter2\n").as_bytes(), DEADLINE) {
            assert!(!message.contains("hunter2") && !help.contains("hunter2"), "{secret}: {message}, {help}");
        }
    }
}
