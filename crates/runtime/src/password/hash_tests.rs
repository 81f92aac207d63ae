use super::*;

/// Made with other programs than this one: Python's hashlib, bcrypt 5.0 and argon2-cffi, and
/// `mosquitto_passwd` 2.0. The password is `pässword` throughout.
const RIGHT: &[&str] = &[
    "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$5sHZ8kzpN+Y+tTsbxxBO/khZeYve0V1/mKeqU8ZGB7A",
    "$argon2i$v=19$m=64,t=3,p=2$c29tZXNhbHRzb21lc2FsdA$t7ZUqIwCbN/DHzQDyo+RMhECJ7kAsRjnukNtCrJBLuk",
    "$argon2id$v=16$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$DQ1A/HjUIHMMviUtdz+fp1EWTtRQ8F8E",
    "$argon2id$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$DQ1A/HjUIHMMviUtdz+fp1EWTtRQ8F8E",
    "$scrypt$ln=4,r=8,p=2$c29tZXNhbHRzb21lc2FsdA$VZYxHT65bvLBlC5ugblYybiv7JztWhAq4N8EJ+/PYsM",
    "$pbkdf2-sha256$i=1000,l=32$c29tZXNhbHRzb21lc2FsdA$YM38eqQi1B3do2g0C8on9pJpcHlpPm7njbB0xiWc6cI",
    "$pbkdf2-sha256$i=7$c29tZXNhbHRzb21lc2FsdA$Z1Zx3Fkf7gIOCLZTmysdH29G31M",
    "$pbkdf2-sha512$i=1000,l=64$c29tZXNhbHRzb21lc2FsdA$eaW+vVe6nW7bpC3u9RGCm9LPw/ggddn044K8Ea4XVrXtQe/OF5mBqtl2tF/7PZdl8AZK2mnxgTsrKuZuXqWKZg",
    "$pbkdf2-sha512$i=7$c29tZXNhbHRzb21lc2FsdA$1bK1zQIAmp3CuyTQ7gCBDSOthhI",
    "$2a$04$oqPNANwtLzkpdejdJzd/su5rwBI4SwX73moexGIvJ7s2cNu3gBTKq",
    "$2b$04$i6Jr2TwSFceo7R1xAa5YVu7g5ewnyO.ubSxnSBxcoWOmRHXeXPmy.",
    "$2y$04$i6Jr2TwSFceo7R1xAa5YVu7g5ewnyO.ubSxnSBxcoWOmRHXeXPmy.",
    "$6$IZfChNlPs8dMRGPK$5V/nWCcWWputTlwkIHEEB8109ByhcAmUNPyhln+vVDMvUsPKIX27CBASy6pDwFEswm0VNHHbGu+z7XdkSQvW+Q==",
    "$7$101$UVrzpwxunYblsK2F$1TrCBYifcUQf/l+Rvt3qigTAP7UeWflxnZaZXHMDKAUn4ZAXXr1WXDhjaVOCaS1wC3HGvn9DjXD6WavlbF9cjg==",
];

#[test]
fn every_format_takes_its_password_and_no_other() {
    for text in RIGHT {
        let hash = StoredHash::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert!(hash.verify("pässword".as_bytes()), "{text}");
        for wrong in ["", "passwort", "pässword ", "pässword\0", "Pässword", "p\u{e4}sswor"] {
            assert!(!hash.verify(wrong.as_bytes()), "{text} took {wrong:?}");
        }
    }
}

#[test]
fn what_is_left_in_the_memory_does_not_count() {
    let mut memory = Memory::default();
    // Twice over, so that every format meets the memory of every other and its own.
    for text in RIGHT.iter().chain(RIGHT) {
        let hash = StoredHash::parse(text).unwrap();
        assert!(!hash.verify_in(b"another", &mut memory), "{text}");
        assert!(hash.verify_in("pässword".as_bytes(), &mut memory), "{text}");
    }
    assert_eq!(memory.0.len(), 64);
    memory.free();
    assert!(memory.is_free());
}

#[test]
fn a_changed_hash_takes_nothing() {
    for text in RIGHT {
        // The tenth character from the end is in the hash of every format, and counts in full.
        let mut changed = text.as_bytes().to_vec();
        let at = text.len() - 10;
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(!StoredHash::parse(&changed).unwrap().verify("pässword".as_bytes()), "{changed}");
    }
}

#[test]
fn bcrypt_takes_no_password_that_it_reads_in_part() {
    let long = StoredHash::parse("$2b$04$3UGIcR3LP1MPk1qudPHsAerS.R67oBFUbJonhUzAy3LQ4zJErfZpu").unwrap();
    assert!(long.verify(&[b'x'; 72]));
    assert!(!long.verify(&[b'x'; 71]));
    assert!(!long.verify(&[b'x'; 73]));
    assert!(!long.verify(&vec![b'x'; 70_000]));
    // To bcrypt, which repeats a short key with a NUL between, "a" and "a\0a" are one password.
    let hash = ::bcrypt::hash_with_salt("a", 4, [7; 16]).unwrap().format_for_version(::bcrypt::Version::TwoB);
    let hash = StoredHash::parse(&hash).unwrap();
    assert!(hash.verify(b"a"));
    assert!(!hash.verify(b"a\0a"));
}

/// The four formats that are built on HMAC, with a password of these bytes, and the digest that
/// HMAC puts in the place of a long one.
fn of_hmac(password: &[u8]) -> [(StoredHash, Vec<u8>); 4] {
    let (salt, mut short, mut long) = (b"somesalt".to_vec(), [0; 32], [0; 64]);
    let (sha256, sha512) = (Sha256::digest(password).to_vec(), Sha512::digest(password).to_vec());
    pbkdf2_hmac::<Sha256>(password, &salt, 3, &mut short);
    let pbkdf2_sha256 = HashKind::Pbkdf2 { prf: Prf::Sha256, rounds: 3, salt: salt.clone(), hash: short.to_vec() };
    pbkdf2_hmac::<Sha512>(password, &salt, 3, &mut long);
    let pbkdf2_sha512 = HashKind::Pbkdf2 { prf: Prf::Sha512, rounds: 3, salt: salt.clone(), hash: long.to_vec() };
    let mosquitto = format!("$7$3${}${}", STANDARD.encode(&salt), STANDARD.encode(long));
    let params = scrypt::Params::new(1, 1, 1).unwrap();
    scrypt::scrypt(password, &salt, &params, &mut short).unwrap();
    let scrypt = HashKind::Scrypt { params, salt, hash: short.to_vec() };
    [
        (StoredHash(pbkdf2_sha256), sha256.clone()),
        (StoredHash(scrypt), sha256),
        (StoredHash(pbkdf2_sha512), sha512.clone()),
        (StoredHash::parse(&mosquitto).unwrap(), sha512),
    ]
}

#[test]
fn a_long_password_is_right_and_its_digest_is_not() {
    // The block of HMAC has 64 bytes with SHA-256, and 128 with SHA-512.
    for length in [129, 130, 1000, 65_535] {
        let password = vec![b'p'; length];
        for (n, (hash, digest)) in of_hmac(&password).into_iter().enumerate() {
            assert!(hash.verify(&password), "{length} bytes, format {n}");
            assert!(!hash.verify(&digest), "the digest of {length} bytes, format {n}");
            assert!(!hash.verify(&vec![b'p'; length - 1]), "{length} bytes, format {n}");
        }
    }
}

#[test]
fn a_digest_that_ends_in_nul_bytes_is_not_right_without_them() {
    let ends_in_nul = |digest: &[u8]| digest.ends_with(&[0]);
    let mut met = [false; 2];
    for n in 0.. {
        let password = format!("{n:0200}").into_bytes();
        let found = [ends_in_nul(&Sha256::digest(&password)), ends_in_nul(&Sha512::digest(&password))];
        if found == [false; 2] {
            continue;
        }
        for (hash, digest) in of_hmac(&password) {
            let bare = digest.len() - digest.iter().rev().take_while(|byte| **byte == 0).count();
            assert!(hash.verify(&password) && !hash.verify(&digest[..bare]) && !hash.verify(&digest), "{n}");
        }
        met = [met[0] || found[0], met[1] || found[1]];
        if met == [true; 2] {
            break;
        }
    }
}

#[test]
fn passwords_as_long_as_a_digest_are_right_if_they_are_text() {
    let lengths = [29, 31, 32, 61, 63, 64, 65, 128, 129];
    for password in lengths.map(|length| format!("ä{}", "x".repeat(length - 2)).into_bytes()) {
        for (n, (hash, _)) in of_hmac(&password).into_iter().enumerate() {
            assert!(hash.verify(&password), "{} bytes, format {n}", password.len());
        }
    }
    // Other bytes are right if they are too short or too long for a digest.
    for (length, right) in [
        (28, [true; 4]),
        (29, [false, false, true, true]),
        (32, [false, false, true, true]),
        (33, [true; 4]),
        (60, [true; 4]),
        (61, [true, true, false, false]),
        (64, [true, true, false, false]),
        (65, [true; 4]),
    ] {
        let password = vec![0xff; length];
        assert_eq!(of_hmac(&password).map(|(hash, _)| hash.verify(&password)), right, "{length} bytes");
    }
}

#[test]
fn formats_are_compared_by_the_time_they_take() {
    // From the quickest to the slowest, as measured.
    let tail = "c29tZXNhbHRzb21lc2FsdA$5sHZ8kzpN+Y+tTsbxxBO/khZeYve0V1/mKeqU8ZGB7A";
    let of = |text: &str| StoredHash::parse(text).unwrap().time();
    let times = [
        of(RIGHT[12]),
        of(RIGHT[13]),
        of(&format!("$pbkdf2-sha256$i=100000${tail}")),
        of(&format!("$argon2id$v=19$m=19456,t=2,p=1${tail}")),
        of(&format!("$scrypt$ln=14,r=8,p=1${tail}")),
        of("$2b$10$i6Jr2TwSFceo7R1xAa5YVu7g5ewnyO.ubSxnSBxcoWOmRHXeXPmy."),
        of("$2b$12$i6Jr2TwSFceo7R1xAa5YVu7g5ewnyO.ubSxnSBxcoWOmRHXeXPmy."),
    ];
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn what_this_program_writes_it_reads() {
    let text = StoredHash::argon2id(b"s3cret").unwrap();
    assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
    assert_ne!(text, StoredHash::argon2id(b"s3cret").unwrap(), "the salt is random");
    let hash = StoredHash::parse(&text).unwrap();
    assert!(hash.verify(b"s3cret"));
    assert!(!hash.verify(b"s3cre"));
    assert_eq!(hash.time(), StoredHash::stand_in().time());
}

#[track_caller]
fn refused(text: &str, why: HashFault) {
    assert_eq!(StoredHash::read(text).map(|_| ()), Err(why), "{text}");
    assert!(StoredHash::parse(text).is_err(), "{text}");
}

#[test]
fn what_is_no_known_format_is_unreadable() {
    for text in [
        "",
        "s3cret",
        "$",
        "$$",
        "$1$abcdefgh$zQ4j2Y2l9O7o7y9lUyqlZ0",
        "$5$abcdefgh$2gS.Yh3rWJSMQZ4cVrKo0yOzJ0TmwCVgZfVjSt2tE4A",
        "$2$04$i6Jr2TwSFceo7R1xAa5YVu7g5ewnyO.ubSxnSBxcoWOmRHXeXPmy.",
        "$2x$04$i6Jr2TwSFceo7R1xAa5YVu7g5ewnyO.ubSxnSBxcoWOmRHXeXPmy.",
        "$argon2d$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$cFJcEgGs9GhBRCGv52AirBE6ydI3sbzxpKPFfIeHfG0",
        "{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
        " $6$IZfChNlPs8dMRGPK$5V/nWCcW",
    ] {
        refused(text, HashFault::Foreign);
    }
}

#[test]
fn malformed_hashes_are_unreadable() {
    for text in [
        "$argon2id$",
        "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHRzb21lc2FsdA",
        "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$",
        "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$5sHZ8g",
        "$argon2id$v=19$m=64,t=2,p=1$$5sHZ8kzpN+Y+tTsbxxBO/khZeYve0V1/mKeqU8ZGB7A",
        "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$5sHZ8kzpN+Y+tTsbxxBO/khZeYve0V1/mKeqU8ZGB7A ",
        "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$5sHZ8kzpN+Y+tTsbxxBO/khZeYve0V1/mKeqU8ZGB7A$x",
        "$2b$04$i6Jr2TwSFceo7R1xAa5YVu7g5ewnyO.ubSxnSBxcoWOmRHXeXPmy",
        "$2b$0x$i6Jr2TwSFceo7R1xAa5YVu7g5ewnyO.ubSxnSBxcoWOmRHXeXPmy.",
        "$2b$04$ä6Jr2TwSFceo7R1xAa5YVu7g5ewnyO.ubSxnSBxcoWOmRHXeXPmy.",
        "$6$IZfChNlPs8dMRGPK$",
        "$6$IZfChNlPs8dMRGPK",
        "$6$$5V/nWCcWWputTlwkIHEEB8109ByhcAmUNPyhln+vVDMvUsPKIX27CBASy6pDwFEswm0VNHHbGu+z7XdkSQvW+Q==",
        // The same prefix as crypt(3) writes it: `openssl passwd -6`.
        "$6$abcdefgh$iiBW30h6MQUpgkXT9F87NVy6FIbloKXQmfPH87w2UkYa6T8cikoVXkyDCmOccwyrz69xvCZIs4Q.UiGV4ZRkv.",
        "$7$101$UVrzpwxunYblsK2F$1TrCBYifcUQf",
        "$7$101$UVrzpwxunYblsK2F",
        "$7$101$UVrzpwxunYblsK2F$1TrCBYifcUQf/l+Rvt3qigTAP7UeWflxnZaZXHMDKAUn4ZAXXr1WXDhjaVOCaS1wC3HGvn9DjXD6WavlbF9cjg==$",
    ] {
        refused(text, HashFault::Malformed);
    }
}

#[test]
fn parameters_are_checked() {
    for params in [
        "$v=19$m=64,t=2",
        "$v=19$m=64,p=1",
        "$v=19$t=2,p=1",
        "$v=19$m=64,t=0,p=1",
        "$v=19$m=64,t=2,p=0",
        "$v=19$m=7,t=2,p=1",
        "$v=19$m=64,t=2,p=9",
        "$v=19$m=64,t=2,p=4294967295",
        "$v=19$m=64,t=2,p=1,m=64",
        "$v=19$m=64,t=2,p=1,x=1",
        "$v=19$m=64,t=2,p=1,keyid=aaaa",
        "$v=17$m=64,t=2,p=1",
    ] {
        refused(&format!("$argon2id{params}$c29tZXNhbHRzb21lc2FsdA$5sHZ8kzpN+Y+tTsbxxBO/g"), HashFault::Parameters);
    }
    for params in [
        "ln=4,r=8",
        "ln=64,r=8,p=1",
        "ln=256,r=8,p=1",
        "ln=4,r=0,p=1",
        "ln=4,r=8,p=0",
        "ln=4,r=65536,p=65536",
        "n=16,r=8,p=1",
    ] {
        refused(&format!("$scrypt${params}$c29tZXNhbHRzb21lc2FsdA$5sHZ8kzpN+Y+tTsbxxBO/g"), HashFault::Parameters);
    }
    for params in ["l=16", "i=0", "i=1,l=17", "i=1,i=1", "i=-1", "i=01", "i=4294967296"] {
        refused(
            &format!("$pbkdf2-sha256${params}$c29tZXNhbHRzb21lc2FsdA$5sHZ8kzpN+Y+tTsbxxBO/g"),
            HashFault::Parameters,
        );
    }
    for cost in ["00", "03", "32", "99"] {
        refused(&format!("$2b${cost}$i6Jr2TwSFceo7R1xAa5YVu7g5ewnyO.ubSxnSBxcoWOmRHXeXPmy."), HashFault::Parameters);
    }
    let tail =
        "UVrzpwxunYblsK2F$1TrCBYifcUQf/l+Rvt3qigTAP7UeWflxnZaZXHMDKAUn4ZAXXr1WXDhjaVOCaS1wC3HGvn9DjXD6WavlbF9cjg==";
    for rounds in ["", "0", "-1", "x", "4294967296"] {
        refused(&format!("$7${rounds}${tail}"), HashFault::Parameters);
    }
}

#[test]
fn hashes_that_no_login_could_wait_for_are_unreadable() {
    let tail = "c29tZXNhbHRzb21lc2FsdA$5sHZ8kzpN+Y+tTsbxxBO/g";
    for costly in [
        format!("$argon2id$v=19$m=1048577,t=1,p=1${tail}"),
        format!("$argon2id$v=19$m=4294967295,t=4294967295,p=1${tail}"),
        format!("$argon2i$v=19$m=65536,t=200,p=1${tail}"),
        format!("$scrypt$ln=21,r=8,p=1${tail}"),
        format!("$scrypt$ln=40,r=8,p=1${tail}"),
        format!("$scrypt$ln=10,r=8,p=65535${tail}"),
        format!("$pbkdf2-sha256$i=10000001${tail}"),
        format!("$pbkdf2-sha512$i=4294967295${tail}"),
        "$2b$18$i6Jr2TwSFceo7R1xAa5YVu7g5ewnyO.ubSxnSBxcoWOmRHXeXPmy.".to_owned(),
        "$2b$31$i6Jr2TwSFceo7R1xAa5YVu7g5ewnyO.ubSxnSBxcoWOmRHXeXPmy.".to_owned(),
    ] {
        refused(&costly, HashFault::Costly);
    }
    for fine in [
        format!("$argon2id$v=19$m=1048576,t=4,p=4${tail}"),
        format!("$argon2id$v=19$m=65536,t=3,p=4${tail}"),
        format!("$scrypt$ln=17,r=8,p=1${tail}"),
        format!("$pbkdf2-sha256$i=600000${tail}"),
        "$2b$14$i6Jr2TwSFceo7R1xAa5YVu7g5ewnyO.ubSxnSBxcoWOmRHXeXPmy.".to_owned(),
    ] {
        assert!(StoredHash::parse(&fine).is_ok(), "{fine}");
    }
}

#[test]
fn nothing_shows_what_is_stored() {
    let text = RIGHT[0];
    assert_eq!(format!("{:?}", StoredHash::parse(text).unwrap()), "StoredHash(..)");
    let error = StoredHash::parse("hunter2").unwrap_err();
    assert!(!error.to_string().contains("hunter2"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_fail(text in "\\$(argon2id|argon2i|scrypt|pbkdf2-sha256|2b|6|7)\\$[ -~]{0,20}(\\$[a-z0-9=,]{0,40}){0,5}") {
        let _ = StoredHash::parse(&text);
    }
}
