//! Texts and globs that are not what they seem.

use crate::policy::codes::Code;
use crate::policy::decode::{Cx, Text};
use crate::policy::diag::{Diagnostic, nearest, quote};
use crate::policy::raw;
use crate::policy::traps::in_quotes;

/// A text that is compared byte for byte: of a condition or a list.
pub(crate) fn plain(cx: &mut Cx<'_>, text: &Text) {
    blanks(cx, text);
    let value = text.value.as_str();
    let regex = regex_sign(value).or_else(|| value.contains(".*").then_some(".*"));
    let (sign, pattern) = match regex {
        Some(sign) => (sign, format!("{{ regex: {} }}", in_quotes(&as_whole_regex(value)))),
        None if value.contains('*') => ("*", format!("{{ glob: {} }}", in_quotes(value))),
        None => return,
    };
    let message = format!("{} is compared byte for byte, so {} means itself in it", quote(value), quote(sign));
    let help = format!("write {pattern}");
    cx.push(Diagnostic::new(Code::WildcardAsText, text.span, message).help(help));
}

/// A topic filter.
pub(crate) fn filter(cx: &mut Cx<'_>, text: &Text) {
    blanks(cx, text);
    if text.value.contains('*') {
        let message = format!("{} is a topic filter, in which `*` is no wildcard", quote(&text.value));
        let help =
            format!("write `+` for one level, `#` for all at the end, or {{ glob: {} }}", in_quotes(&text.value));
        cx.push(Diagnostic::new(Code::WildcardAsText, text.span, message).help(help));
    }
}

/// A glob over a field of the client or a topic.
pub(crate) fn glob(cx: &mut Cx<'_>, text: &Text) {
    blanks(cx, text);
    if let Some(sign) = regex_sign(&text.value) {
        let message = format!("{} is written like a regex: a glob has no {}", quote(&text.value), quote(sign));
        let help = match sign {
            "^" | "$" => format!("a glob always matches the whole value: take the `{sign}` away"),
            _ => format!("write {{ regex: {} }}", in_quotes(&as_whole_regex(&text.value))),
        };
        cx.push(Diagnostic::new(Code::RegexInGlob, text.span, message).help(help));
    }
}

/// What only a regex has, and hardly any name or topic.
fn regex_sign(text: &str) -> Option<&'static str> {
    const SIGNS: [&str; 6] = ["]+", ".+", ")+", "\\d", "\\w", "\\s"];
    let placed = SIGNS.into_iter().find(|sign| text.contains(sign));
    let anchor = || (text.len() > 1 && text.starts_with('^')).then_some("^");
    let dollar = || (text.len() > 1 && text.ends_with('$')).then_some("$");
    placed.or_else(anchor).or_else(dollar)
}

/// The regex that, matched against the whole value, is what this one is as a search.
fn as_whole_regex(regex: &str) -> String {
    let (from_start, to_end) = (regex.starts_with('^'), regex.ends_with('$'));
    let middle = regex.strip_prefix('^').unwrap_or(regex);
    let middle = middle.strip_suffix('$').unwrap_or(middle);
    match (from_start, to_end) {
        (true, false) if !middle.ends_with(".*") => format!("{middle}.*"),
        (false, true) if !middle.starts_with(".*") => format!(".*{middle}"),
        (true | false, true | false) => middle.to_owned(),
    }
}

/// Blanks at either end, which count. A text in several lines of YAML ends in one.
pub(crate) fn blanks(cx: &mut Cx<'_>, text: &Text) {
    if text.value.trim() != text.value {
        let message = format!("{} begins or ends with a blank, which counts", quote(&text.value));
        let help = format!("write {}", in_quotes(text.value.trim()));
        cx.push(Diagnostic::new(Code::OuterBlanks, text.span, message).help(help));
    }
}

/// The texts that a condition compares with byte for byte.
fn literals(condition: &raw::Condition<Text, raw::TextOperator>, look: &mut impl FnMut(&Text)) {
    match condition {
        raw::Condition::Is(text) => look(text),
        raw::Condition::Any(any) => any.iter().for_each(|one| literals(one, look)),
        raw::Condition::Operator(raw::TextOperator::Not(inner)) => literals(&inner.value, look),
        raw::Condition::Operator(
            raw::TextOperator::Glob(_) | raw::TextOperator::Regex(_) | raw::TextOperator::In(_),
        ) => {}
    }
}

/// A protocol that the broker never gives.
pub(crate) fn protocol(cx: &mut Cx<'_>, condition: &raw::Condition<Text, raw::TextOperator>) {
    const KNOWN: [&str; 5] = ["mqtt", "mqtt-sn", "coap", "lwm2m", "stomp"];
    const TRANSPORTS: [&str; 9] = ["mqtts", "ws", "wss", "tcp", "ssl", "tls", "quic", "http", "https"];
    literals(condition, &mut |text| {
        let value = text.value.as_str();
        if KNOWN.contains(&value) {
            return;
        }
        let message = format!("{} is no protocol of the broker", quote(value));
        let diagnostic = Diagnostic::new(Code::NoSuchValue, text.span, message);
        if TRANSPORTS.contains(&value.to_lowercase().as_str()) {
            let help = "the protocol is `mqtt` over every transport; tell listeners apart by `sockport`";
            cx.push(diagnostic.help(help));
        } else if let Some(near) = nearest(value, KNOWN) {
            cx.push(diagnostic.help(format!("did you mean {}?", quote(near))));
        }
        // Anything else may be a gateway of the operator's own.
    });
}

/// A node name without the `@` that every one has.
pub(crate) fn node(cx: &mut Cx<'_>, condition: &raw::Condition<Text, raw::TextOperator>) {
    literals(condition, &mut |text| {
        if !text.value.contains('@') && !text.value.contains("${") {
            let message = format!("{} is no name of a broker node", quote(&text.value));
            cx.push(Diagnostic::new(Code::NoSuchValue, text.span, message).help(format!(
                "a node is called NAME@HOST, or use {{ glob: {} }}",
                in_quotes(&format!("{}@*", text.value))
            )));
        }
    });
}
