//! What the policy says of a login or a topic, and the answer that follows from it.

/// The effect of the rule that decided, or of the section's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Let the client through.
    Allow,
    /// Refuse.
    Deny,
    /// Leave it to the broker's next plugin.
    Ignore,
}

impl Verdict {
    /// `allow`, `deny` or `ignore`, as the policy spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Allow => "allow",
            Verdict::Deny => "deny",
            Verdict::Ignore => "ignore",
        }
    }
}

/// A verdict with the rule that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'p> {
    /// The verdict, before the policy's mode is applied.
    pub verdict: Verdict,
    /// The id of the rule that decided, or one of [`DEFAULT`], [`INVALID_TOPIC`], [`ERROR`], [`LOCKOUT`] and [`FLAPPING`].
    pub rule: &'p str,
}

/// No rule matched.
pub const DEFAULT: &str = "default";
/// The topic is no valid topic name or filter.
pub const INVALID_TOPIC: &str = "invalid-topic";
/// A source could not be read, the deadline passed, or something went wrong inside.
pub const ERROR: &str = "error";
/// Too many logins of the client failed. No rule of `auth` may have this id where the policy has `lockout`.
pub const LOCKOUT: &str = "lockout";
/// The client logged in too often. No rule of `auth` may have this id where the policy has `flapping`.
pub const FLAPPING: &str = "flapping";
/// The ids that no rule may have.
pub const RESERVED: [&str; 3] = [DEFAULT, INVALID_TOPIC, ERROR];

impl Decision<'static> {
    /// Deny, because it cannot be told.
    pub const ERROR: Decision<'static> = Decision { verdict: Verdict::Deny, rule: ERROR };
    /// Deny, because the topic is not valid.
    pub const INVALID_TOPIC: Decision<'static> = Decision { verdict: Verdict::Deny, rule: INVALID_TOPIC };
}

/// What a password source says of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Found {
    /// It knows the user, and the password is right.
    Right,
    /// It knows the user, and the password is wrong or empty, or what it holds for the user is no hash.
    Wrong,
    /// It does not know the user.
    Unknown,
    /// It cannot be read.
    Unreadable,
}

impl Found {
    /// Everything that a source may say.
    pub const ALL: [Found; 4] = [Found::Right, Found::Wrong, Found::Unknown, Found::Unreadable];

    /// `right`, `wrong`, `unknown` or `unreadable`.
    pub fn as_str(self) -> &'static str {
        match self {
            Found::Right => "right",
            Found::Wrong => "wrong",
            Found::Unknown => "unknown",
            Found::Unreadable => "unreadable",
        }
    }
}

/// Why something was denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DenialReason {
    /// A rule denies it.
    Rule,
    /// No rule matches, and the section's default denies.
    Default,
    /// The topic is no valid topic name or filter.
    InvalidTopic,
    /// The password is wrong.
    WrongPassword,
    /// A password is asked for, and the client gave none.
    NoPassword,
    /// No source that was asked knows the user, and no rule for others allows.
    UnknownUser,
    /// The client gave no username, and the source has an entry without one.
    NoUsername,
    /// What the source holds for the user cannot be read.
    UnreadableHash,
    /// The password source cannot be read.
    SourceUnreadable,
    /// A list cannot be read.
    ListUnreadable,
    /// The broker does not tell a field that a rule asks about.
    FieldNotTold,
    /// To match the names took more work than a question may.
    PatternTooDear,
    /// The password was not checked within the deadline.
    Deadline,
    /// Too many logins waited.
    TooMany,
    /// Too many logins of the client failed.
    Lockout,
    /// The client logged in too often.
    Flapping,
    /// The program was about to end.
    Stopping,
    /// A fault in the program.
    Internal,
}

impl DenialReason {
    /// All of them.
    pub const ALL: [DenialReason; 18] = [
        DenialReason::Rule,
        DenialReason::Default,
        DenialReason::InvalidTopic,
        DenialReason::WrongPassword,
        DenialReason::NoPassword,
        DenialReason::UnknownUser,
        DenialReason::NoUsername,
        DenialReason::UnreadableHash,
        DenialReason::SourceUnreadable,
        DenialReason::ListUnreadable,
        DenialReason::FieldNotTold,
        DenialReason::PatternTooDear,
        DenialReason::Deadline,
        DenialReason::TooMany,
        DenialReason::Lockout,
        DenialReason::Flapping,
        DenialReason::Stopping,
        DenialReason::Internal,
    ];

    /// The word in records: `wrong-password`.
    pub fn as_str(self) -> &'static str {
        match self {
            DenialReason::Rule => "rule",
            DenialReason::Default => DEFAULT,
            DenialReason::InvalidTopic => INVALID_TOPIC,
            DenialReason::WrongPassword => "wrong-password",
            DenialReason::NoPassword => "no-password",
            DenialReason::UnknownUser => "unknown-user",
            DenialReason::NoUsername => "no-username",
            DenialReason::UnreadableHash => "unreadable-hash",
            DenialReason::SourceUnreadable => "source-unreadable",
            DenialReason::ListUnreadable => "list-unreadable",
            DenialReason::FieldNotTold => "field-not-told",
            DenialReason::PatternTooDear => "pattern-too-dear",
            DenialReason::Deadline => "deadline",
            DenialReason::TooMany => "too-many",
            DenialReason::Lockout => LOCKOUT,
            DenialReason::Flapping => FLAPPING,
            DenialReason::Stopping => "stopping",
            DenialReason::Internal => "internal",
        }
    }

    /// The one of this word.
    pub fn of_name(name: &str) -> Option<Self> {
        DenialReason::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// For people, behind `refused:`.
    pub fn in_words(self) -> &'static str {
        match self {
            DenialReason::Rule => "a rule denies it",
            DenialReason::Default => "no rule allows it",
            DenialReason::InvalidTopic => "the topic is not valid",
            DenialReason::WrongPassword => "wrong password",
            DenialReason::NoPassword => "no password given",
            DenialReason::UnknownUser => "unknown user",
            DenialReason::NoUsername => "no username given",
            DenialReason::UnreadableHash => "the user's stored hash cannot be read",
            DenialReason::SourceUnreadable => "the password source cannot be read",
            DenialReason::ListUnreadable => "a list cannot be read",
            DenialReason::FieldNotTold => "the broker does not tell a field that a rule needs",
            DenialReason::PatternTooDear => "to match the names takes too much work",
            DenialReason::Deadline => "the password was not checked in time",
            DenialReason::TooMany => "too many logins waited",
            DenialReason::Lockout => "locked out after failed logins",
            DenialReason::Flapping => "banned for a while: too many logins",
            DenialReason::Stopping => "the program was about to stop",
            DenialReason::Internal => "a fault in the program",
        }
    }
}

/// Whether decisions are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Decisions are answered.
    #[default]
    Enforce,
    /// Decisions are recorded, and every answer is "no opinion".
    Audit,
}

/// What the transport tells the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Let the client through, and ask nobody else.
    Allow,
    /// Refuse, and ask nobody else.
    Deny,
    /// Leave the broker's own result. Also the answer to hooks that only tell.
    NoOpinion,
}

impl Answer {
    /// `allowed`, `denied` or `left to the broker`, for a log.
    pub fn in_words(self) -> &'static str {
        match self {
            Answer::Allow => "allowed",
            Answer::Deny => "denied",
            Answer::NoOpinion => "left to the broker",
        }
    }
}

impl Mode {
    /// The answer that carries this verdict out in this mode.
    pub fn answer(self, verdict: Verdict) -> Answer {
        match (self, verdict) {
            (Mode::Enforce, Verdict::Allow) => Answer::Allow,
            (Mode::Enforce, Verdict::Deny) => Answer::Deny,
            (Mode::Enforce, Verdict::Ignore) | (Mode::Audit, _) => Answer::NoOpinion,
        }
    }

    /// `enforce` or `audit`, as the policy spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Audit => "audit",
        }
    }
}

/// How long deciding can take, told before it begins. It may tell too much, and never too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Less than a millisecond.
    Light,
    /// Milliseconds, for texts of a usual length.
    Usual,
    /// Milliseconds, for a text that no usual client has.
    Long,
}
