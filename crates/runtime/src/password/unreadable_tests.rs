use super::super::hash::StoredHash;
use super::*;

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(StoredHash::parse(text).unwrap_err().to_string(), expected, "{text:?}");
}

#[test]
fn hashes_of_other_programs_are_named() {
    for (text, what) in [
        ("$apr1$abcdefgh$0123456789abcdefghijkl", "an MD5 hash of Apache's htpasswd ($apr1$)"),
        ("$1$abcdefgh$zQ4j2Y2l9O7o7y9lUyqlZ0", "an MD5 hash of crypt(3) ($1$)"),
        ("$5$abcdefgh$2gS.Yh3rWJSMQZ4cVrKo0yOzJ0TmwCVgZfVjSt2tE4A", "a SHA-256 hash of crypt(3) ($5$)"),
        ("$5$rounds=5000$abcdefgh$2gS.Yh3rWJSMQZ4cVrKo0yOzJ0TmwCVgZfVjSt2tE4A", "a SHA-256 hash of crypt(3) ($5$)"),
        (
            "$6$abcdefgh$iiBW30h6MQUpgkXT9F87NVy6FIbloKXQmfPH87w2UkYa6T8cikoVXkyDCmOccwyrz69xvCZIs4Q.UiGV4ZRkv.",
            "a SHA-512 hash of crypt(3) ($6$)",
        ),
        ("$6$rounds=5000$abcdefgh$iiBW", "a SHA-512 hash of crypt(3) ($6$)"),
        (
            "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7",
            "a yescrypt hash of crypt(3) ($y$)",
        ),
        ("$2$04$i6Jr2TwSFceo7R1xAa5YVu7g5ewnyO.ubSxnSBxcoWOmRHXeXPmy.", "a hash of an old bcrypt ($2$)"),
        ("$2x$04$i6Jr2TwSFceo7R1xAa5YVu7g5ewnyO.ubSxnSBxcoWOmRHXeXPmy.", "a hash of a faulty bcrypt ($2x$)"),
        ("$argon2d$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$cFJcEgGs9GhBRCGv52AirA", "an argon2d hash"),
        ("{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "a hash in an LDAP scheme"),
        (
            "PBKDF2$sha512$100000$os24lcPr9cJt2QDVWssblQ==$BK1BQ2wbwU1zNxv3Ml3wLuu5",
            "a PBKDF2 hash of mosquitto-go-auth",
        ),
        ("5f4dcc3b5aa765d61d8327deb882cf99", "an MD5 digest"),
        ("5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8", "a SHA-1 digest"),
        ("5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8", "a SHA-256 digest"),
        (&"0f".repeat(64), "a SHA-512 digest"),
        ("!", "a locked entry of /etc/shadow"),
        ("!$6$abcdefgh$iiBW", "a locked entry of /etc/shadow"),
    ] {
        check(text, &format!("it looks like {what}, which is not supported"));
    }
}

#[test]
fn what_is_like_no_hash_looks_like_plain_text() {
    let long_text = "0f".repeat(65);
    for text in [
        "s3cret",
        "in-the-clear",
        " s3cret ",
        "$ecret",
        "$",
        "$$",
        "$a b$c",
        "a$6$b",
        "{}",
        "5f4dcc3b",
        "x",
        &long_text,
    ] {
        check(text, "it looks like a password in plain text");
    }
    check("", "it is empty");
    let unknown = "its format is unknown; known are argon2id, argon2i, scrypt, pbkdf2-sha256, pbkdf2-sha512, bcrypt and \
                   mosquitto_passwd's $6$ and $7$";
    check("$9$nothing", unknown);
    check("$argon3-id$x", unknown);
}

#[test]
fn what_is_wrong_with_a_known_format_is_named() {
    for (start, format) in [
        ("$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHRzb21lc2FsdA", "argon2id"),
        ("$argon2i$v=19", "argon2i"),
        ("$scrypt$ln=4", "scrypt"),
        ("$pbkdf2-sha256$", "pbkdf2-sha256"),
        ("$pbkdf2-sha512$", "pbkdf2-sha512"),
        ("$2b$12$i6Jr2TwSFceo7R1xAa5YVu7g5ewnyO.ubSxnSBx", "bcrypt"),
        ("$2y$", "bcrypt"),
        ("$6$IZfChNlPs8dMRGPK$5V/nWCcW", "mosquitto_passwd's $6$"),
        ("$7$101$UVrzpwxunYblsK2F$1TrCBYifcUQf", "mosquitto_passwd's $7$"),
    ] {
        check(start, &format!("its format is {format}, but it is cut short or malformed"));
    }
    let tail = "c29tZXNhbHRzb21lc2FsdA$5sHZ8kzpN+Y+tTsbxxBO/g";
    check(
        &format!("$argon2id$v=19$m=64,t=2${tail}"),
        "its format is argon2id, but its parameters are missing, unknown or out of range",
    );
    check(
        &format!("$argon2id$v=19$m=1048577,t=1,p=1${tail}"),
        "its format is argon2id, but its parameters ask for more than 10 seconds or 1 GiB for every verification",
    );
}

#[test]
fn a_blank_around_a_hash_is_named() {
    let hash = "$pbkdf2-sha256$i=7$c29tZXNhbHRzb21lc2FsdA$Z1Zx3Fkf7gIOCLZTmysdH29G31M";
    assert!(StoredHash::parse(hash).is_ok());
    for text in [format!("{hash} "), format!(" {hash}"), format!("{hash}\t"), format!("{hash}\r")] {
        check(&text, "there is a blank before or after it");
    }
}

/// A reason is a constant: no part of the text can be in it.
#[test]
fn every_known_format_is_read() {
    for (name, _) in KNOWN {
        assert_ne!(
            UnreadableHash(UnreadableReason::Unknown),
            StoredHash::parse(&format!("${name}$x")).unwrap_err(),
            "{name}"
        );
        let reason = StoredHash::parse(&format!("${name}$hunter2")).unwrap_err();
        assert!(
            matches!(reason.0, UnreadableReason::Known(_, HashFault::Malformed | HashFault::Parameters)),
            "{name}: {reason}"
        );
        assert!(!reason.to_string().contains("hunter2"));
    }
}
