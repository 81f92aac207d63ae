//! Patterns that a long text makes costly.

use crate::policy::codes::Code;
use crate::policy::decode::{Cx, Text};
use crate::policy::diag::{Diagnostic, quote};
use crate::text::Work;
use crate::text::machine::Cost;
use crate::topic::TOPIC_MAX;

use super::regex::Subject;

/// Steps in a millisecond, about.
const MILLISECOND: usize = 80_000;

/// Topics and names of this length are no longer usual: a pattern is costly if it cannot decide one alone.
const LONG: usize = 16_384;

/// A glob or a regex whose automaton has so many states.
pub(crate) fn pattern(cx: &mut Cx<'_>, text: &Text, (cost, states): (Cost, usize), subject: Subject) {
    let most = cost.of(TOPIC_MAX);
    if cost.of(LONG) <= Work::QUESTION {
        return;
    }
    let what = match subject {
        Subject::Topic => "topic",
        Subject::Name | Subject::Address => "value",
    };
    let message = format!(
        "{} can be costly: its automaton has {states} states, and a {what} of {TOPIC_MAX} bytes takes up to {most} steps",
        quote(&text.value)
    );
    let note = format!(
        "a question may take {} steps, some {} ms, and is denied beyond them: here, a {what} of more than {} bytes can be",
        Work::QUESTION,
        Work::QUESTION / MILLISECOND,
        cost.longest(Work::QUESTION)
    );
    let help = "begin it with fixed text, and repeat less behind `.*` or `*`";
    cx.push(Diagnostic::new(Code::CostlyPattern, text.span, message).note(note).help(help));
}
