//! What a text that is no readable hash looks like.
//!
//! The text may be a password, so nothing here shows any of it.

use std::fmt;

/// Why a text is no hash that can be verified against. It shows nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadableHash(UnreadableReason);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UnreadableReason {
    /// The format is known, the rest is not as it must be.
    Known(&'static str, HashFault),
    /// The format is another program's.
    LooksLike(&'static str),
    /// A format of the form `$format$` that is not known.
    Unknown,
    Plain,
    Empty,
    Blank,
    NotText,
}

/// What is wrong with a hash, as its reader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HashFault {
    /// The format is not one of those that can be verified.
    Foreign,
    Malformed,
    Parameters,
    Costly,
}

/// The formats that can be verified, by what stands between the first two `$`.
const KNOWN: &[(&str, &str)] = &[
    ("argon2id", "argon2id"),
    ("argon2i", "argon2i"),
    ("scrypt", "scrypt"),
    ("pbkdf2-sha256", "pbkdf2-sha256"),
    ("pbkdf2-sha512", "pbkdf2-sha512"),
    ("2a", "bcrypt"),
    ("2b", "bcrypt"),
    ("2y", "bcrypt"),
    ("6", "mosquitto_passwd's $6$"),
    ("7", "mosquitto_passwd's $7$"),
];

/// What other programs write, by how it begins.
const FOREIGN: &[(&str, &str)] = &[
    ("$apr1$", "an MD5 hash of Apache's htpasswd ($apr1$)"),
    ("$1$", "an MD5 hash of crypt(3) ($1$)"),
    ("$md5", "an MD5 hash of crypt(3) ($md5)"),
    ("$sha1$", "a SHA-1 hash of crypt(3) ($sha1$)"),
    ("$5$", "a SHA-256 hash of crypt(3) ($5$)"),
    ("$6$rounds=", CRYPT_SHA512),
    ("$3$", "an NT hash of crypt(3) ($3$)"),
    ("$y$", "a yescrypt hash of crypt(3) ($y$)"),
    ("$gy$", "a yescrypt hash of crypt(3) ($gy$)"),
    ("$2$", "a hash of an old bcrypt ($2$)"),
    ("$2x$", "a hash of a faulty bcrypt ($2x$)"),
    ("$argon2d$", "an argon2d hash"),
    ("$pbkdf2$", "a PBKDF2 hash with SHA-1"),
    ("$pbkdf2-sha1$", "a PBKDF2 hash with SHA-1"),
    ("$bcrypt-sha256$", "a bcrypt-sha256 hash of passlib"),
    ("$P$", "a hash of phpass ($P$)"),
    ("$H$", "a hash of phpass ($H$)"),
    ("$S$", "a hash of Drupal ($S$)"),
    ("PBKDF2$", "a PBKDF2 hash of mosquitto-go-auth"),
    ("pbkdf2_", "a PBKDF2 hash of Django"),
    ("pbkdf2:", "a PBKDF2 hash of Werkzeug"),
    ("scrypt:", "a scrypt hash of Werkzeug"),
];
const CRYPT_SHA512: &str = "a SHA-512 hash of crypt(3) ($6$)";

/// Digests without salt, by their length in hexadecimal.
const DIGESTS: &[(usize, &str)] = &[
    (32, "an MD5 digest"),
    (40, "a SHA-1 digest"),
    (56, "a SHA-224 digest"),
    (64, "a SHA-256 digest"),
    (96, "a SHA-384 digest"),
    (128, "a SHA-512 digest"),
];

impl UnreadableHash {
    /// It is readable without the blanks around it.
    pub(super) const BLANK: Self = UnreadableHash(UnreadableReason::Blank);
    pub(super) const NOT_TEXT: Self = UnreadableHash(UnreadableReason::NotText);

    /// What a text in which the reader found this fault looks like.
    pub(super) fn of(text: &str, fault: HashFault) -> Self {
        let format = KNOWN.iter().find(|(name, _)| format(text) == Some(name)).map(|&(_, shown)| shown);
        UnreadableHash(match (fault, foreign(text), format) {
            (HashFault::Malformed | HashFault::Foreign, Some(what), _) => UnreadableReason::LooksLike(what),
            (_, _, Some(format)) => UnreadableReason::Known(format, fault),
            (_, _, None) if text.is_empty() => UnreadableReason::Empty,
            (_, _, None) if format_of_two_dollars(text) => UnreadableReason::Unknown,
            (_, _, None) => UnreadableReason::Plain,
        })
    }
}

fn format(text: &str) -> Option<&str> {
    text.strip_prefix('$').and_then(|rest| rest.split('$').next())
}

/// Whether it begins like a hash: `$`, a name, `$`.
fn format_of_two_dollars(text: &str) -> bool {
    let name = text.strip_prefix('$').and_then(|rest| rest.split_once('$')).map(|(name, _)| name);
    name.is_some_and(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
}

fn foreign(text: &str) -> Option<&'static str> {
    if let Some((_, what)) = FOREIGN.iter().find(|(start, _)| text.starts_with(start)) {
        return Some(what);
    }
    // mosquitto's hash of the same name has 88 characters, the last two `=`.
    let last = text.rsplit('$').next().unwrap_or_default();
    let of_crypt = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/';
    if text.starts_with("$6$") && last.len() == 86 && last.bytes().all(of_crypt) {
        return Some(CRYPT_SHA512);
    }
    // `{SSHA}...`
    let scheme = text.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(scheme, _)| scheme);
    if scheme.is_some_and(|scheme| !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_graphic())) {
        return Some("a hash in an LDAP scheme");
    }
    // `!` and `*` begin the entries of locked users in /etc/shadow.
    if matches!(text, "!" | "!!" | "*" | "*LK*") || text.starts_with("!$") || text.starts_with("*$") {
        return Some("a locked entry of /etc/shadow");
    }
    let hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    DIGESTS.iter().find(|(length, _)| hexadecimal && *length == text.len()).map(|&(_, what)| what)
}

impl fmt::Display for UnreadableHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            UnreadableReason::Known(format, fault) => write!(f, "its format is {format}, but {fault}"),
            UnreadableReason::LooksLike(what) => write!(f, "it looks like {what}, which is not supported"),
            UnreadableReason::Unknown => f.write_str(
                "its format is unknown; known are argon2id, argon2i, scrypt, pbkdf2-sha256, pbkdf2-sha512, bcrypt and \
                 mosquitto_passwd's $6$ and $7$",
            ),
            UnreadableReason::Plain => f.write_str("it looks like a password in plain text"),
            UnreadableReason::Empty => f.write_str("it is empty"),
            UnreadableReason::Blank => f.write_str("there is a blank before or after it"),
            UnreadableReason::NotText => f.write_str("it is not UTF-8 text"),
        }
    }
}

impl fmt::Display for HashFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HashFault::Foreign => "it is not supported",
            HashFault::Malformed => "it is cut short or malformed",
            HashFault::Parameters => "its parameters are missing, unknown or out of range",
            HashFault::Costly => "its parameters ask for more than 10 seconds or 1 GiB for every verification",
        })
    }
}

impl std::error::Error for UnreadableHash {}

#[cfg(test)]
#[path = "unreadable_tests.rs"]
mod tests;
