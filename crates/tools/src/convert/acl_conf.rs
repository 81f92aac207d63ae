//! EMQX's `acl.conf`, as the broker's 4.x versions read it.

use ipnet::IpNet;

use super::ConversionProblem;
use super::draft::{
    self, DraftCondition, DraftItem, DraftRule, DraftSection, DraftTopics, DraftWho, Field, PolicyDraft,
};
use super::erlang::{ErlangValue, Term, consult};
use exhook_policy_core::decision::Verdict;
use exhook_policy_core::policy::lists::parse_network;
use exhook_policy_core::topic::Pattern;

/// Alternatives that `'and'` of `'or'` may spread to.
const MAX_KINDS: usize = 1_000;

/// Converts `acl.conf`.
///
/// # Errors
/// Every rule that the broker itself would refuse, or that cannot be said in a policy.
pub fn acl_conf(source: &str) -> Result<PolicyDraft, Vec<ConversionProblem>> {
    let terms = consult(source).map_err(|problem| vec![problem])?;
    let mut section = DraftSection { notes: Vec::new(), default: Verdict::Deny, items: Vec::new() };
    let mut problems = Vec::new();
    let mut end = None;
    for term in &terms {
        match rule(term) {
            Ok(AclConfTerm::All(verdict)) => {
                end = end.or(Some((verdict, term.line)));
            }
            Ok(AclConfTerm::Items(items)) if end.is_none() => section.items.extend(items),
            Ok(AclConfTerm::Items(_)) => {}
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    match end {
        Some((verdict, line)) => {
            section.default = verdict;
            if terms.last().is_some_and(|last| last.line > line) {
                section
                    .notes
                    .push(format!("Line {line} of acl.conf decides everything; the rules behind it are left out."));
            }
        }
        None => section.notes.push(
            "acl.conf does not end in {allow, all} or {deny, all}: the broker would ask its setting `acl_nomatch`, \
             which is `allow` unless it was changed. This policy denies."
                .to_owned(),
        ),
    }
    let about = [
        "Made from EMQX's acl.conf. It says nothing of logins: there is no section `auth`, so they stay with the broker.",
        "The broker compares a subscription with its rules as if the filter were a topic. Here it is the set of topics \
         that it asks for: it is allowed only where a rule allows them all, and denied where a rule denies one of them.",
        "A clientid or username that holds `+`, `#` or `/` gives no access through a placeholder.",
    ];
    let mut about = about.map(str::to_owned).to_vec();
    if source.contains("%u") {
        about.push(
            "EMQX up to 4.3.15 and 4.4.4 leaves a level `%u` as it is for clients without a username. What a rule denies them by that is \
             denied here, too; what it allows them is not allowed."
                .to_owned(),
        );
    }
    Ok(PolicyDraft { about, passwords: None, auth: None, acl: Some(section) })
}

enum AclConfTerm {
    /// `{allow, all}` or `{deny, all}`, behind which no rule is asked.
    All(Verdict),
    Items(Vec<DraftItem>),
}

fn rule(term: &Term) -> Result<AclConfTerm, ConversionProblem> {
    const FORM: &str = "a rule is {allow | deny, WHO, publish | subscribe | pubsub, [TOPIC]} or {allow | deny, all}";
    let wrong = || ConversionProblem::new(term.line, FORM);
    let ErlangValue::Tuple(members) = &term.value else { return Err(wrong()) };
    match members.as_slice() {
        [effect, who] if is_atom(who, "all") => Ok(AclConfTerm::All(verdict(effect).ok_or_else(wrong)?)),
        [effect, subject, access, topics] => {
            let verdict = verdict(effect).ok_or_else(wrong)?;
            let access = AclConfAccess::of(access).ok_or_else(wrong)?;
            let topics = match &topics.value {
                ErlangValue::List(topics) => topics.as_slice(),
                ErlangValue::Text(_) => std::slice::from_ref(topics),
                ErlangValue::Atom(_) | ErlangValue::Integer(_) | ErlangValue::Tuple(_) => return Err(wrong()),
            };
            make(term.line, verdict, &who(subject)?, access, topics).map(AclConfTerm::Items)
        }
        _ => Err(wrong()),
    }
}

fn make(
    line: usize,
    verdict: Verdict,
    who: &AclConfClients,
    access: AclConfAccess,
    topics: &[Term],
) -> Result<Vec<DraftItem>, ConversionProblem> {
    let mut notes = Vec::new();
    let mut patterns = Vec::new();
    let mut nameless = Vec::new();
    for topic in topics {
        patterns.extend(pattern(topic, verdict, access, &mut notes)?);
        if verdict == Verdict::Deny {
            nameless.extend(without_username(topic));
        }
    }
    let left = |why: &str| vec![DraftItem::Left(vec![format!("Line {line} of acl.conf is left out: {why}.")])];
    if who.0.is_empty() {
        return Ok(left("no client can be all that it asks for"));
    }
    if patterns.is_empty() {
        return Ok(if notes.is_empty() { left("it names no topic") } else { vec![DraftItem::Left(notes)] });
    }
    let rule = |notes, id, who: &AclConfClients, patterns| {
        DraftItem::Rule(DraftRule {
            notes,
            id,
            verdict,
            who: who.written(),
            password: false,
            topics: access.of_these(patterns),
        })
    };
    let mut items = vec![rule(notes, format!("line-{line}"), who, patterns)];
    let they = AclConfClients(vec![vec![ClientTest::Text(Field::Username, String::new())]]);
    if let Some(they) = who.and(&they).filter(|they| !they.0.is_empty() && !nameless.is_empty()) {
        items.push(rule(Vec::new(), format!("line-{line}-without-username"), &they, nameless));
    }
    Ok(items)
}

fn is_atom(term: &Term, name: &str) -> bool {
    matches!(&term.value, ErlangValue::Atom(atom) if atom == name)
}

fn verdict(term: &Term) -> Option<Verdict> {
    [("allow", Verdict::Allow), ("deny", Verdict::Deny)]
        .into_iter()
        .find(|(name, _)| is_atom(term, name))
        .map(|(_, verdict)| verdict)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AclConfAccess {
    Publish,
    Subscribe,
    Both,
}

impl AclConfAccess {
    fn of(term: &Term) -> Option<Self> {
        [("publish", AclConfAccess::Publish), ("subscribe", AclConfAccess::Subscribe), ("pubsub", AclConfAccess::Both)]
            .into_iter()
            .find(|(name, _)| is_atom(term, name))
            .map(|(_, access)| access)
    }

    fn of_these(self, patterns: Vec<draft::DraftPattern>) -> DraftTopics {
        match self {
            AclConfAccess::Publish => DraftTopics { publish: patterns, ..DraftTopics::default() },
            AclConfAccess::Subscribe => DraftTopics { subscribe: patterns, ..DraftTopics::default() },
            AclConfAccess::Both => DraftTopics { both: patterns, ..DraftTopics::default() },
        }
    }

    fn subscribes(self) -> bool {
        match self {
            AclConfAccess::Publish => false,
            AclConfAccess::Subscribe | AclConfAccess::Both => true,
        }
    }
}

/// The patterns of the policy for a topic of a rule; none where the topic never matches.
fn pattern(
    term: &Term,
    verdict: Verdict,
    access: AclConfAccess,
    notes: &mut Vec<String>,
) -> Result<Vec<draft::DraftPattern>, ConversionProblem> {
    let wrong = || ConversionProblem::new(term.line, "a topic is a string or {eq, a string}");
    let (topic, literally) = match &term.value {
        ErlangValue::Text(topic) => (topic, false),
        ErlangValue::Tuple(members) => match members.as_slice() {
            [Term { value: ErlangValue::Atom(eq), .. }, Term { value: ErlangValue::Text(topic), .. }] if eq == "eq" => {
                (topic, true)
            }
            _ => return Err(wrong()),
        },
        ErlangValue::Atom(_) | ErlangValue::Integer(_) | ErlangValue::List(_) => return Err(wrong()),
    };
    let wildcard = topic.split('/').any(|level| level == "+" || level == "#");
    if literally && wildcard && (verdict == Verdict::Deny || !access.subscribes()) {
        notes.push(if access.subscribes() {
            format!(
                "OPENS: {{eq, \"{topic}\"}} refuses the filter `{topic}` itself and nothing else; other filters ask for the same \
                 topics. That cannot be said here: name the topics that nobody may get."
            )
        } else {
            format!("{{eq, \"{topic}\"}} is left out: nobody can publish to a filter.")
        });
        return Ok(Vec::new());
    }
    let levels: Vec<&str> = topic.split('/').map(|level| if literally { level } else { placeholder(level) }).collect();
    let filter = levels.join("/");
    if let Err(error) = Pattern::filter(&filter) {
        return Err(ConversionProblem::new(
            term.line,
            format!("the topic \"{topic}\" cannot be said in a policy: {}", error.message),
        ));
    }
    if access.subscribes() {
        notes.extend(change(topic, &filter, literally, verdict));
    }
    let mut patterns = vec![draft::DraftPattern::Filter(filter)];
    if !literally && let Some(regex) = below_dollar(&levels) {
        match verdict {
            Verdict::Deny => patterns.push(draft::DraftPattern::Regex(regex)),
            Verdict::Allow | Verdict::Ignore => notes.push(format!(
                "Stricter: the broker's `{topic}` reaches topics that begin with `$`, too; here it does not."
            )),
        }
    }
    Ok(patterns)
}

/// What a topic of a rule is about for clients without a username, where it has `%u`: the broker
/// leaves the level as it is. No filter of a policy may have it.
fn without_username(term: &Term) -> Vec<draft::DraftPattern> {
    let ErlangValue::Text(topic) = &term.value else { return Vec::new() };
    if !topic.split('/').any(|level| level == "%u") {
        return Vec::new();
    }
    let named = |level| if level == "%u" { level } else { placeholder(level) };
    let levels: Vec<&str> = topic.split('/').map(named).collect();
    let Some((first, rest)) = levels.split_first() else { return Vec::new() };
    let first = match *first {
        "+" => "[^/]*".to_owned(),
        level => literal(level),
    };
    let all = std::iter::once(below(first, rest)).chain(below_dollar(&levels));
    all.map(draft::DraftPattern::Regex).collect()
}

/// The topics of a filter that begin with `$`, as a regex: a wildcard in the first level does not
/// reach them here, and does in the broker's rules.
fn below_dollar(levels: &[&str]) -> Option<String> {
    let (first, rest) = levels.split_first()?;
    let first = match *first {
        "+" => r"\$[^/]*",
        "#" => r"\$.*",
        _ => return None,
    };
    Some(below(first.to_owned(), rest))
}

/// A regex for the first level, and these levels behind it.
fn below(first: String, rest: &[&str]) -> String {
    rest.iter().fold(first, |regex, level| match *level {
        "+" => regex + "/[^/]*",
        "#" => regex + "(/.*)?",
        level => regex + "/" + &literal(level),
    })
}

/// A level without wildcards, as a regex.
fn literal(level: &str) -> String {
    match level {
        "${clientid}" | "${username}" => level.to_owned(),
        // The bare letters are refused in a policy, since they are hardly ever meant.
        "%u" => "[%]u".to_owned(),
        level => regex_syntax::escape(level),
    }
}

/// `%c` and `%u` are placeholders where they are a whole level.
fn placeholder(level: &str) -> &str {
    match level {
        "%c" => "${clientid}",
        "%u" => "${username}",
        level => level,
    }
}

/// How the meaning for subscriptions changes.
fn change(topic: &str, filter: &str, literally: bool, verdict: Verdict) -> Option<String> {
    let all_below_dollar = topic.starts_with('$') && topic.split_once('/').is_some_and(|(_, rest)| rest == "#");
    match verdict {
        Verdict::Deny if topic == "#" || all_below_dollar => None,
        Verdict::Deny => Some(format!(
            "Stricter: the broker lets wider filters past a rule on `{topic}`, `#` and `+` among them; here a subscription \
             that would receive one of these topics is denied."
        )),
        Verdict::Allow | Verdict::Ignore if literally && filter.contains(['+', '#']) => Some(format!(
            "Wider: {{eq, \"{topic}\"}} allows the filter `{topic}` alone; here filters for a part of its topics are allowed too."
        )),
        Verdict::Allow | Verdict::Ignore if filter == "+" || filter.ends_with("/+") => {
            let wider = format!("{}#", filter.strip_suffix('+').unwrap_or(filter));
            Some(format!(
                "Stricter: the broker takes `#` for a level, so that `{topic}` also allows `{wider}`; here it does not."
            ))
        }
        Verdict::Allow | Verdict::Ignore => None,
    }
}

/// Any of these, of each of which all must hold; without alternatives nobody, an empty one is
/// everyone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AclConfClients(Vec<Vec<ClientTest>>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum ClientTest {
    Text(Field, String),
    Inside(IpNet),
}

fn who(term: &Term) -> Result<AclConfClients, ConversionProblem> {
    const FORM: &str = "a client is all, {client, ID}, {user, NAME}, {ipaddr, NETWORK}, {'and', [..]} or {'or', [..]}";
    let wrong = || ConversionProblem::new(term.line, FORM);
    let everyone = AclConfClients(vec![Vec::new()]);
    let ErlangValue::Tuple(members) = &term.value else {
        return if is_atom(term, "all") { Ok(everyone) } else { Err(wrong()) };
    };
    let [Term { value: ErlangValue::Atom(kind), .. }, of] = members.as_slice() else { return Err(wrong()) };
    let field = match kind.as_str() {
        "client" => Field::Clientid,
        "user" => Field::Username,
        "ipaddr" => Field::Peerhost,
        "and" | "or" => {
            let ErlangValue::List(inner) = &of.value else { return Err(wrong()) };
            let inner = inner.iter().map(who).collect::<Result<Vec<_>, _>>()?;
            let joined = if kind == "and" {
                inner.iter().try_fold(everyone, |all, one| all.and(one))
            } else {
                Some(AclConfClients(inner.into_iter().flat_map(|one| one.0).collect()))
            };
            let joined = joined.filter(|joined| joined.0.len() <= MAX_KINDS);
            return joined.ok_or_else(|| ConversionProblem::new(term.line, "the rule has too many alternatives"));
        }
        _ => return Err(wrong()),
    };
    let test = match (field, &of.value) {
        (Field::Clientid | Field::Username, ErlangValue::Atom(all)) if all == "all" => return Ok(everyone),
        (Field::Peerhost, ErlangValue::Text(network)) => match parse_network(network) {
            Some(network) => ClientTest::Inside(network.trunc()),
            None => return Err(ConversionProblem::new(of.line, format!("\"{network}\" is no address or network"))),
        },
        (Field::Clientid | Field::Username, ErlangValue::Text(text)) => {
            if text.contains("${") || text.contains("%c") || text.contains("%u") {
                let message = format!("\"{text}\" cannot be said in a policy: it looks like a placeholder");
                return Err(ConversionProblem::new(of.line, message));
            }
            ClientTest::Text(field, text.clone())
        }
        (Field::Clientid | Field::Username | Field::Peerhost, _) => return Err(wrong()),
    };
    Ok(AclConfClients(vec![vec![test]]))
}

impl AclConfClients {
    /// Both; `None` where that has too many alternatives.
    fn and(&self, other: &AclConfClients) -> Option<AclConfClients> {
        if self.0.len().saturating_mul(other.0.len()) > MAX_KINDS {
            return None;
        }
        let pairs = self.0.iter().flat_map(|one| other.0.iter().map(move |other| (one, other)));
        Some(AclConfClients(pairs.filter_map(|(one, other)| both(one, other)).collect()))
    }

    fn written(&self) -> DraftWho {
        if self.0.iter().any(Vec::is_empty) {
            return DraftWho::Everyone;
        }
        let condition = |test: &ClientTest| match test {
            ClientTest::Text(field, value) => DraftCondition { field: *field, value: value.clone() },
            ClientTest::Inside(network) => DraftCondition {
                field: Field::Peerhost,
                value: if network.prefix_len() == network.max_prefix_len() {
                    network.addr().to_string()
                } else {
                    network.to_string()
                },
            },
        };
        DraftWho::Any(self.0.iter().map(|kind| kind.iter().map(condition).collect()).collect())
    }
}

/// All tests of both, one a field; `None` where no client passes them.
fn both(one: &[ClientTest], other: &[ClientTest]) -> Option<Vec<ClientTest>> {
    let mut all = one.to_vec();
    for test in other {
        match all.iter_mut().find(|own| own.field() == test.field()) {
            None => all.push(test.clone()),
            Some(own) => match (&*own, test) {
                (ClientTest::Inside(inner), ClientTest::Inside(outer)) if outer.contains(inner) => {}
                (ClientTest::Inside(outer), ClientTest::Inside(inner)) if outer.contains(inner) => *own = test.clone(),
                (own, test) if own == test => {}
                _ => return None,
            },
        }
    }
    Some(all)
}

impl ClientTest {
    fn field(&self) -> Field {
        match self {
            ClientTest::Text(field, _) => *field,
            ClientTest::Inside(_) => Field::Peerhost,
        }
    }
}
