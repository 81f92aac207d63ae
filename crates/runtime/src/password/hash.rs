//! Stored password hashes: reading them, and verifying a password against one.
//!
//! What is read is bounded: a hash whose parameters ask for more than about ten seconds of one core or
//! 1 GiB of memory is unreadable, since no login that waits for it could be answered in time.

use std::fmt;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine;
use base64::alphabet::BCRYPT;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{NO_PAD, STANDARD, STANDARD_NO_PAD};
use password_hash::phc::PasswordHash;
use pbkdf2::pbkdf2_hmac;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::unreadable::HashFault;
pub use super::unreadable::UnreadableHash;

/// The most work that one verification may be, in microseconds of an ordinary core.
const MAX_WORK: u64 = 10_000_000;
/// The most memory that one verification may take, in KiB.
const MAX_MEMORY: u64 = 1024 * 1024;
/// bcrypt reads this many bytes of a password, and never what follows.
const BCRYPT_BYTES: usize = 72;
/// One digest in 2^32 ends in more NUL bytes than this.
const STRIPPED: usize = 3;
const BCRYPT_BASE64: GeneralPurpose = GeneralPurpose::new(&BCRYPT, NO_PAD);

/// A password hash as a source holds it.
///
/// Formats: PHC strings of argon2id, argon2i, scrypt, pbkdf2-sha256 and pbkdf2-sha512; bcrypt's `$2a$`,
/// `$2b$` and `$2y$`; `mosquitto_passwd`'s `$6$` and `$7$`.
#[derive(Clone)]
pub struct StoredHash(HashKind);

#[derive(Clone)]
enum HashKind {
    Argon2 { context: Argon2<'static>, salt: Vec<u8>, hash: Vec<u8> },
    Scrypt { params: scrypt::Params, salt: Vec<u8>, hash: Vec<u8> },
    Pbkdf2 { prf: Prf, rounds: u32, salt: Vec<u8>, hash: Vec<u8> },
    Bcrypt { cost: u32, salt: [u8; 16], hash: [u8; 23] },
    Sha512 { salt: Vec<u8>, hash: Vec<u8> },
}

/// The memory in which argon2 works. To have the system give 19 MiB anew takes a tenth of the time of a verification.
#[derive(Default)]
pub(super) struct Memory(Vec<Block>);

/// So much is asked for at least, in KiB, of which only what is used is taken. What is smaller than 32 MiB may be kept by
/// the allocator for ever when it was freed: nobody needs it until the next storm.
const ASKED_FOR: usize = 33 * 1024;

impl Memory {
    /// So many blocks, with whatever is in them; `None` where there is no memory.
    fn blocks(&mut self, count: usize) -> Option<&mut [Block]> {
        if self.0.len() != count {
            self.free();
            self.0.try_reserve_exact(count.max(ASKED_FOR)).ok()?;
            self.0.resize(count, Block::new());
        }
        Some(&mut self.0)
    }

    pub(super) fn is_free(&self) -> bool {
        self.0.capacity() == 0
    }

    /// Gives it back to the system.
    pub(super) fn free(&mut self) {
        self.0 = Vec::new();
    }
}

/// The hash function of HMAC, on which PBKDF2 and scrypt are built.
#[derive(Clone, Copy)]
enum Prf {
    Sha256,
    Sha512,
}

impl Prf {
    fn digest_bytes(self) -> usize {
        match self {
            Prf::Sha256 => 32,
            Prf::Sha512 => 64,
        }
    }

    /// Whether no other password can have the same hash.
    ///
    /// HMAC pads its key with NUL bytes to a block of 64 (SHA-256) or 128 bytes (SHA-512), so NUL
    /// bytes at the end do not count. It replaces a longer key by its digest, so the digest of a
    /// long password would be accepted in its place, also without the NUL bytes that it ends in.
    /// The stored hash does not say which of the two was set. A digest is practically never UTF-8
    /// text (one in 80 million with SHA-256), so only passwords that could be a digest by their
    /// length and that are not text are refused. Long passwords stay right.
    fn is_unambiguous(self, password: &[u8]) -> bool {
        let digest = self.digest_bytes();
        let may_be_digest = (digest - STRIPPED..=digest).contains(&password.len());
        !(password.ends_with(&[0]) || may_be_digest && std::str::from_utf8(password).is_err())
    }
}

impl StoredHash {
    /// Reads a hash. The whole text counts: a blank at its end makes it unreadable.
    ///
    /// # Errors
    /// The text is in none of the formats, its parameters are out of range, or one verification would
    /// cost too much.
    pub fn parse(text: &str) -> Result<Self, UnreadableHash> {
        let read = |text| Self::read(text).map_err(|fault| UnreadableHash::of(text, fault));
        read(text).map_err(|why| {
            let bare = text.trim();
            if bare != text && read(bare).is_ok() { UnreadableHash::BLANK } else { why }
        })
    }

    fn read(text: &str) -> Result<Self, HashFault> {
        let format = text.strip_prefix('$').and_then(|rest| rest.split('$').next());
        let kind = match format {
            Some("argon2id") => argon2(Algorithm::Argon2id, phc(text)?)?,
            Some("argon2i") => argon2(Algorithm::Argon2i, phc(text)?)?,
            Some("scrypt") => scrypt(phc(text)?)?,
            Some("pbkdf2-sha256") => pbkdf2(Prf::Sha256, phc(text)?)?,
            Some("pbkdf2-sha512") => pbkdf2(Prf::Sha512, phc(text)?)?,
            Some("2a" | "2b" | "2y") => bcrypt(text)?,
            Some("6") => mosquitto_sha512(text)?,
            Some("7") => mosquitto_pbkdf2(text)?,
            Some(_) | None => return Err(HashFault::Foreign),
        };
        let hash = StoredHash(kind);
        if hash.work() > MAX_WORK || hash.memory() > MAX_MEMORY { Err(HashFault::Costly) } else { Ok(hash) }
    }

    /// Hashes a password with argon2id, the default parameters and a random salt, as a PHC string.
    ///
    /// # Errors
    /// The system gives no randomness or no memory.
    pub fn argon2id(password: &[u8]) -> Result<String, String> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|e| format!("the system gives no random salt: {e}"))?;
        let params = Params::DEFAULT;
        let mut hash = [0; Params::DEFAULT_OUTPUT_LEN];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
            .hash_password_into(password, &salt, &mut hash)
            .map_err(|e| e.to_string())?;
        Ok(format!(
            "$argon2id$v=19$m={},t={},p={}${}${}",
            params.m_cost(),
            params.t_cost(),
            params.p_cost(),
            STANDARD_NO_PAD.encode(salt),
            STANDARD_NO_PAD.encode(hash)
        ))
    }

    /// A hash of nothing in particular with the parameters that [`StoredHash::argon2id`] uses: verifying
    /// against it costs as much as against a real one.
    pub fn stand_in() -> Self {
        let context = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT);
        StoredHash(HashKind::Argon2 { context, salt: vec![0; 16], hash: vec![0; Params::DEFAULT_OUTPUT_LEN] })
    }

    /// Whether the password is the one that was hashed. Takes as long for a wrong one as for the right one.
    ///
    /// Some formats take several passwords for one, and such a password is never right: to bcrypt what
    /// follows the 72nd byte does not count, and a NUL byte may stand for the end; to scrypt and PBKDF2
    /// NUL bytes at the end do not count, and a long password and its digest are the same.
    pub fn verify(&self, password: &[u8]) -> bool {
        self.verify_in(password, &mut Memory::default())
    }

    /// As [`StoredHash::verify`], in memory that is kept from one verification to the next.
    pub(super) fn verify_in(&self, password: &[u8], memory: &mut Memory) -> bool {
        match &self.0 {
            HashKind::Argon2 { context, salt, hash } => {
                let mut computed = vec![0; hash.len()];
                let Some(blocks) = memory.blocks(context.params().block_count()) else { return false };
                context.hash_password_into_with_memory(password, salt, &mut computed, blocks).is_ok()
                    && same(&computed, hash)
            }
            HashKind::Scrypt { params, salt, hash } => {
                let mut computed = vec![0; hash.len()];
                scrypt::scrypt(password, salt, params, &mut computed).is_ok()
                    && same(&computed, hash)
                    && Prf::Sha256.is_unambiguous(password)
            }
            HashKind::Pbkdf2 { prf, rounds, salt, hash } => {
                let mut computed = vec![0; hash.len()];
                match prf {
                    Prf::Sha256 => pbkdf2_hmac::<Sha256>(password, salt, *rounds, &mut computed),
                    Prf::Sha512 => pbkdf2_hmac::<Sha512>(password, salt, *rounds, &mut computed),
                }
                same(&computed, hash) && prf.is_unambiguous(password)
            }
            HashKind::Bcrypt { cost, salt, hash } => {
                let whole = password.len() <= BCRYPT_BYTES && !password.contains(&0);
                let mut key = Zeroizing::new(Vec::with_capacity(BCRYPT_BYTES + 1));
                key.extend(password.iter().copied().take(BCRYPT_BYTES));
                key.push(0);
                key.truncate(BCRYPT_BYTES);
                let [computed @ .., _] = ::bcrypt::bcrypt(*cost, *salt, &key);
                same(&computed, hash) && whole
            }
            HashKind::Sha512 { salt, hash } => {
                // In its place, as a move would leave a copy of the password behind.
                let mut hasher = Sha512::new();
                hasher.update(password);
                hasher.update(salt);
                same(&hasher.finalize_reset(), hash)
            }
        }
    }

    /// About how long one verification takes at most, in microseconds of an ordinary core: fit for
    /// refusing absurd hashes.
    pub(super) fn work(&self) -> u64 {
        match &self.0 {
            HashKind::Argon2 { context, .. } => {
                u64::from(context.params().m_cost()).saturating_mul(u64::from(context.params().t_cost()))
            }
            HashKind::Scrypt { params, .. } => {
                let blocks = u64::from(params.r()).saturating_mul(u64::from(params.p()));
                params.n().saturating_mul(blocks) / 3
            }
            HashKind::Pbkdf2 { prf, rounds, hash, .. } => {
                u64::from(*rounds).saturating_mul(hash.len().div_ceil(prf.digest_bytes()) as u64)
            }
            HashKind::Bcrypt { cost, .. } => {
                1u64.checked_shl(*cost).map_or(u64::MAX, |rounds| rounds.saturating_mul(50))
            }
            HashKind::Sha512 { .. } => 1,
        }
    }

    /// Whether a verification is not sure to be made within this deadline.
    pub(super) fn is_long(&self, deadline: Duration) -> bool {
        u128::from(self.work()) >= deadline.as_micros()
    }

    /// About how long one verification takes on a fast core. Measured, so that hashes of different
    /// formats can be compared.
    pub(super) fn time(&self) -> Duration {
        let nanos = match &self.0 {
            HashKind::Argon2 { .. } | HashKind::Pbkdf2 { prf: Prf::Sha512, .. } => 400,
            HashKind::Scrypt { .. } => 500,
            HashKind::Pbkdf2 { prf: Prf::Sha256, .. } => 100,
            HashKind::Bcrypt { .. } => 900,
            HashKind::Sha512 { .. } => 1000,
        };
        Duration::from_nanos(self.work().saturating_mul(nanos))
    }

    /// Whether guesses at other users may cost this hash as well, when logins have so much time. A
    /// dearer one would leave the workers to a few guessers.
    pub(super) fn may_pad(&self, deadline: Duration) -> bool {
        !self.is_long(deadline) && self.time() <= longest_pad(deadline)
    }

    /// The memory that one verification takes, in KiB.
    fn memory(&self) -> u64 {
        match &self.0 {
            HashKind::Argon2 { context, .. } => u64::from(context.params().m_cost()),
            HashKind::Scrypt { params, .. } => {
                params.n().saturating_add(u64::from(params.p())).saturating_mul(u64::from(params.r())) / 8
            }
            HashKind::Pbkdf2 { .. } | HashKind::Bcrypt { .. } | HashKind::Sha512 { .. } => 4,
        }
    }
}

impl fmt::Debug for StoredHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredHash(..)")
    }
}

/// How long a hash may take that guesses at other users cost as well, when logins have so much time.
pub(super) fn longest_pad(deadline: Duration) -> Duration {
    deadline / 4
}

fn same(computed: &[u8], stored: &[u8]) -> bool {
    computed.ct_eq(stored).into()
}

/// The fields of a PHC string, with the salt and the hash that it must have here.
struct Phc {
    version: Option<u32>,
    params: Vec<(String, u32)>,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

fn phc(text: &str) -> Result<Phc, HashFault> {
    let read = PasswordHash::new(text).map_err(|_| HashFault::Malformed)?;
    let (Some(salt), Some(hash)) = (read.salt, read.hash) else { return Err(HashFault::Malformed) };
    let mut params: Vec<(String, u32)> = Vec::new();
    for (name, value) in read.params.iter() {
        let value = value.decimal().map_err(|_| HashFault::Parameters)?;
        if params.iter().any(|(other, _)| other == name.as_str()) {
            return Err(HashFault::Parameters);
        }
        params.push((name.as_str().to_owned(), value));
    }
    Ok(Phc { version: read.version, params, salt: salt.to_vec(), hash: hash.as_bytes().to_vec() })
}

impl Phc {
    /// Takes a parameter out.
    fn take(&mut self, name: &str) -> Option<u32> {
        let at = self.params.iter().position(|(known, _)| known == name)?;
        Some(self.params.swap_remove(at).1)
    }

    /// Takes out a parameter that must be there.
    fn need(&mut self, name: &str) -> Result<u32, HashFault> {
        self.take(name).ok_or(HashFault::Parameters)
    }

    /// What is left over is no parameter of the format.
    fn nothing_left(&self) -> Result<(), HashFault> {
        if self.params.is_empty() { Ok(()) } else { Err(HashFault::Parameters) }
    }
}

fn argon2(algorithm: Algorithm, mut read: Phc) -> Result<HashKind, HashFault> {
    let version = match read.version {
        None => Version::V0x10,
        Some(number) => Version::try_from(number).map_err(|_| HashFault::Parameters)?,
    };
    let (memory, passes, lanes) = (read.need("m")?, read.need("t")?, read.need("p")?);
    read.nothing_left()?;
    // The crate multiplies the lanes by eight in 32 bits.
    if lanes > Params::MAX_P_COST {
        return Err(HashFault::Parameters);
    }
    let params = Params::new(memory, passes, lanes, Some(read.hash.len())).map_err(|_| HashFault::Parameters)?;
    Ok(HashKind::Argon2 { context: Argon2::new(algorithm, version, params), salt: read.salt, hash: read.hash })
}

fn scrypt(mut read: Phc) -> Result<HashKind, HashFault> {
    let (log_n, r, p) = (read.need("ln")?, read.need("r")?, read.need("p")?);
    read.nothing_left()?;
    // The crate multiplies r and p in 32 bits.
    if read.version.is_some() || r > 0xFFFF || p > 0xFFFF {
        return Err(HashFault::Parameters);
    }
    let log_n = u8::try_from(log_n).map_err(|_| HashFault::Parameters)?;
    let params = scrypt::Params::new(log_n, r, p).map_err(|_| HashFault::Parameters)?;
    Ok(HashKind::Scrypt { params, salt: read.salt, hash: read.hash })
}

fn pbkdf2(prf: Prf, mut read: Phc) -> Result<HashKind, HashFault> {
    let rounds = read.need("i")?;
    // Some programs write the length of the hash beside the hash.
    let length = read.take("l");
    read.nothing_left()?;
    if read.version.is_some() || rounds == 0 || length.is_some_and(|length| length as usize != read.hash.len()) {
        return Err(HashFault::Parameters);
    }
    Ok(HashKind::Pbkdf2 { prf, rounds, salt: read.salt, hash: read.hash })
}

fn bcrypt(text: &str) -> Result<HashKind, HashFault> {
    let parts: ::bcrypt::HashParts = text.parse().map_err(|_| HashFault::Malformed)?;
    let (cost, salt) = (parts.get_cost(), parts.get_salt_raw());
    if !(4..=31).contains(&cost) {
        return Err(HashFault::Parameters);
    }
    // The crate gives the salt as bytes, but the hash as text only.
    let mut hash = [0; 23];
    let encoded = text.get(29..).ok_or(HashFault::Malformed)?;
    BCRYPT_BASE64.decode_slice(encoded, &mut hash).map_err(|_| HashFault::Malformed)?;
    Ok(HashKind::Bcrypt { cost, salt, hash })
}

/// `$6$salt$hash`: SHA-512 of the password and the salt. The `$6$` of crypt(3) has another alphabet and
/// length, and is refused by them.
fn mosquitto_sha512(text: &str) -> Result<HashKind, HashFault> {
    let ["", _, salt, hash] = fields(text)? else { return Err(HashFault::Malformed) };
    Ok(HashKind::Sha512 { salt: mosquitto_salt(salt)?, hash: sixty_four(hash)? })
}

/// `$7$rounds$salt$hash`: PBKDF2 with HMAC-SHA-512.
fn mosquitto_pbkdf2(text: &str) -> Result<HashKind, HashFault> {
    let ["", _, rounds, salt, hash] = fields(text)? else { return Err(HashFault::Malformed) };
    let rounds = rounds.parse().map_err(|_| HashFault::Parameters)?;
    if rounds == 0 {
        return Err(HashFault::Parameters);
    }
    Ok(HashKind::Pbkdf2 { prf: Prf::Sha512, rounds, salt: mosquitto_salt(salt)?, hash: sixty_four(hash)? })
}

fn fields<const N: usize>(text: &str) -> Result<[&str; N], HashFault> {
    let fields: Vec<&str> = text.splitn(N + 1, '$').collect();
    fields.try_into().map_err(|_| HashFault::Malformed)
}

fn mosquitto_salt(encoded: &str) -> Result<Vec<u8>, HashFault> {
    let salt = STANDARD.decode(encoded).map_err(|_| HashFault::Malformed)?;
    if salt.is_empty() { Err(HashFault::Malformed) } else { Ok(salt) }
}

fn sixty_four(encoded: &str) -> Result<Vec<u8>, HashFault> {
    let hash = STANDARD.decode(encoded).map_err(|_| HashFault::Malformed)?;
    if hash.len() == 64 { Ok(hash) } else { Err(HashFault::Malformed) }
}

#[cfg(test)]
#[path = "hash_tests.rs"]
mod tests;
