//! What the driver sends: `{r, Id, Result}`, the id's bytes as they came.

use std::sync::LazyLock;

use eetf::{Atom, Binary, FixInteger, List, Term, Tuple};

use exhook_policy_core::decision::{Answer, Mode};
use exhook_policy_core::hook::{Hook, HookSet};

use super::call::{STATE_NAME, STATE_VERSION};
use super::frame::{self, FrameTooLong, Packet};
use super::term::VERSION;

/// How long the reason of a failed `init` may be, in bytes. The broker prints it in one line; the console
/// has it whole.
const REASON_MAX: usize = 16 << 10;

/// The results that never change, encoded once: terms without their version byte.
struct Fixed {
    /// The version byte, and the tuple `{r, ...}` up to the id.
    head: Vec<u8>,
    allow: Vec<u8>,
    deny: Vec<u8>,
    no_opinion: Vec<u8>,
    ok: Vec<u8>,
}

static FIXED: LazyLock<Fixed> = LazyLock::new(|| {
    let decided = |word: &str| encode(&tuple([FixInteger::from(0).into(), atom(word)]));
    // The last element is cut off, and the id and the result of a call take its place.
    let mut head = vec![VERSION];
    let shortest = encode(&List::nil().into());
    let pattern = encode(&tuple([atom("r"), List::nil().into(), List::nil().into()]));
    head.extend(pattern.get(..pattern.len() - 2 * shortest.len()).unwrap_or_default());
    Fixed {
        head,
        allow: decided("true"),
        deny: decided("false"),
        no_opinion: encode(&atom("undefined")),
        ok: encode(&atom("ok")),
    }
});

/// A call's result, encoded.
#[derive(Debug, Clone, Copy)]
pub enum ReplyOutcome<'a> {
    /// The answer to a hook.
    Answer(Answer),
    /// `ok`, to what is no hook.
    Ok,
    /// Another term, from [`hooks`] or [`failure`].
    Term(&'a [u8]),
}

/// Appends the frame of one reply.
///
/// # Errors
/// It is too long for the length field.
pub fn push(out: &mut Vec<u8>, packet: Packet, id: &[u8], outcome: ReplyOutcome<'_>) -> Result<(), FrameTooLong> {
    let fixed = &*FIXED;
    let result = match outcome {
        ReplyOutcome::Answer(Answer::Allow) => &fixed.allow,
        ReplyOutcome::Answer(Answer::Deny) => &fixed.deny,
        ReplyOutcome::Answer(Answer::NoOpinion) => &fixed.no_opinion,
        ReplyOutcome::Ok => &fixed.ok,
        ReplyOutcome::Term(term) => term,
    };
    frame::push(out, packet, &[&fixed.head, id, result])
}

/// The result of `init`: `{0, {[{Hook, Module, Function, Opts}], State}}`.
pub fn hooks(module: &str, hooks: &[Hook], mode: Mode) -> Vec<u8> {
    let rows = hooks.iter().map(|hook| {
        let callback = format!("on_{}", hook.name());
        tuple([string(hook.name()), string(module), string(&callback), options(*hook)])
    });
    let bits = hooks.iter().copied().collect::<HookSet>().bits();
    let state = tuple([
        atom(STATE_NAME),
        FixInteger::from(STATE_VERSION).into(),
        atom(mode.as_str()),
        FixInteger::from(i32::try_from(bits).unwrap_or_default()).into(),
    ]);
    let told = tuple([List::from(rows.collect::<Vec<Term>>()).into(), state]);
    encode(&tuple([FixInteger::from(0).into(), told]))
}

/// The result of an `init` that failed: `{1, Reason}`.
pub fn failure(reason: &str) -> Vec<u8> {
    let mut end = reason.len().min(REASON_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let reason = reason.get(..end).unwrap_or_default();
    encode(&tuple([FixInteger::from(1).into(), Binary::from(reason.as_bytes().to_vec()).into()]))
}

/// Which topics the broker tells of; it asks that of the message hooks alone.
fn options(hook: Hook) -> Term {
    match hook {
        Hook::MessagePublish => {
            let every_topic = List::from(vec![string("#")]);
            List::from(vec![tuple([string("topics"), every_topic.into()])]).into()
        }
        Hook::ClientConnect
        | Hook::ClientConnack
        | Hook::ClientConnected
        | Hook::ClientDisconnected
        | Hook::ClientAuthenticate
        | Hook::ClientCheckAcl
        | Hook::ClientSubscribe
        | Hook::ClientUnsubscribe
        | Hook::SessionCreated
        | Hook::SessionResumed
        | Hook::SessionDiscarded
        | Hook::SessionTakenOver
        | Hook::SessionSubscribed
        | Hook::SessionUnsubscribed
        | Hook::SessionTerminated => List::nil().into(),
    }
}

/// An Erlang string, which is a list of code points. The broker takes no binary for a name.
fn string(text: &str) -> Term {
    let points = text.chars().filter_map(|c| i32::try_from(u32::from(c)).ok());
    List::from(points.map(|point| FixInteger::from(point).into()).collect::<Vec<Term>>()).into()
}

fn atom(text: &str) -> Term {
    Atom::from(text).into()
}

fn tuple<const N: usize>(elements: [Term; N]) -> Term {
    Tuple::from(Vec::from(elements)).into()
}

/// The term without its version byte.
#[expect(clippy::expect_used, reason = "writing to memory fails only for an atom of over 64 KiB, and ours are short")]
fn encode(term: &Term) -> Vec<u8> {
    let mut bytes = Vec::new();
    term.encode(&mut bytes).expect("a term of short atoms");
    bytes.remove(0);
    bytes
}
