//! Passwords as a file has them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A hash as `mosquitto_passwd` makes it, with few rounds so that many logins take no time.
pub(crate) fn mosquitto_hash(password: &[u8]) -> String {
    let salt = b"twelve bytes";
    let mut hash = [0; 64];
    pbkdf2::pbkdf2_hmac::<sha2::Sha512>(password, salt, 101, &mut hash);
    format!("$7$101${}${}", STANDARD.encode(salt), STANDARD.encode(hash))
}

/// The lines of a password file, in which all of these users have one password.
pub(crate) fn password_file<'a>(users: impl IntoIterator<Item = &'a str>, password: &[u8]) -> String {
    let hash = mosquitto_hash(password);
    users.into_iter().fold(String::new(), |file, user| file + user + ":" + &hash + "\n")
}
