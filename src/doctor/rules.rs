//! The rules of an `acl.conf`, as far as the doctor looks at them.

use exhook_policy_tools::convert::{ErlangValue, Term, consult};

/// A rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AclConfRule {
    /// From 1.
    pub(super) line: usize,
    /// Otherwise it denies.
    pub(super) allows: bool,
    pub(super) reach: AclConfReach,
    /// As it is written where it is about everything.
    pub(super) text: String,
}

/// The clients and the topics that a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AclConfReach {
    All,
    /// All, unless the broker was told to be hardened.
    UnlessHardened,
    Some,
}

/// Reads the rules of a file; what is none is left out.
pub(super) fn read_rules(text: &str) -> Result<Vec<AclConfRule>, String> {
    let terms = consult(text).map_err(|problem| format!("line {}: {}", problem.line, problem.message))?;
    Ok(terms.iter().filter_map(rule).collect())
}

fn rule(term: &Term) -> Option<AclConfRule> {
    let ErlangValue::Tuple(members) = &term.value else { return None };
    let (permission, rest) = members.split_first()?;
    let allows = is(permission, "allow");
    if !allows && !is(permission, "deny") {
        return None;
    }
    let word = if allows { "allow" } else { "deny" };
    let (reach, text) = match rest {
        [who] if is(who, "all") => (AclConfReach::All, format!("{{{word}, all}}")),
        [who] if is_legacy(who) => (AclConfReach::UnlessHardened, format!("{{{word}, {{security_profile, legacy}}}}")),
        [who, actions] if is(who, "all") && takes_all(actions) => (AclConfReach::All, format!("{{{word}, all, all}}")),
        [who, actions, topics] if is(who, "all") && takes_all(actions) && has_all_topics(topics) => {
            (AclConfReach::All, format!("{{{word}, all, all, [\"#\"]}}"))
        }
        _ => (AclConfReach::Some, String::new()),
    };
    Some(AclConfRule { line: term.line, allows, reach, text })
}

fn is(term: &Term, name: &str) -> bool {
    matches!(&term.value, ErlangValue::Atom(atom) if atom == name)
}

fn is_legacy(term: &Term) -> bool {
    matches!(&term.value, ErlangValue::Tuple(members)
        if matches!(members.as_slice(), [key, value] if is(key, "security_profile") && is(value, "legacy")))
}

fn takes_all(actions: &Term) -> bool {
    is(actions, "all") || is(actions, "pubsub")
}

fn has_all_topics(topics: &Term) -> bool {
    let is_all = |topic: &Term| matches!(&topic.value, ErlangValue::Text(text) if text == "#");
    is(topics, "all") || matches!(&topics.value, ErlangValue::List(topics) if topics.iter().any(is_all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(usize, bool, AclConfReach)]) {
        let rules = read_rules(text).unwrap();
        let read: Vec<_> = rules.iter().map(|rule| (rule.line, rule.allows, rule.reach)).collect();
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn rules_about_everything_are_known() {
        check("{allow, all}.", &[(1, true, AclConfReach::All)]);
        check("%% a comment\n{deny, all}.", &[(2, false, AclConfReach::All)]);
        check("{allow, {security_profile, legacy}}.", &[(1, true, AclConfReach::UnlessHardened)]);
        check("{allow, all, all, [\"a\", \"#\"]}.", &[(1, true, AclConfReach::All)]);
        check("{allow, all, pubsub, all}.", &[(1, true, AclConfReach::All)]);
        check("{allow, all, all}.", &[(1, true, AclConfReach::All)]);
        for narrow in [
            "{allow, all, subscribe, [\"#\"]}.",
            "{allow, all, all, [\"a/#\"]}.",
            "{allow, all, all, [{eq, \"#\"}]}.",
            "{allow, {ipaddr, \"127.0.0.1\"}, all, [\"#\"]}.",
            "{allow, {username, {re, \"^dashboard$\"}}, subscribe, [\"$SYS/#\"]}.",
            "{allow, {security_profile, hardened}}.",
        ] {
            check(narrow, &[(1, true, AclConfReach::Some)]);
        }
        check("{other, all}. allow.", &[]);
        assert_eq!(read_rules("{allow, all}.").unwrap()[0].text, "{allow, all}");
        assert!(read_rules("{allow,").unwrap_err().starts_with("line 1: "));
    }
}
