//! Who can log in, publish to a topic or subscribe to a filter.

use super::settle::{Known, Left};
use super::solve::{Way, When};
use exhook_policy_core::decision::{DEFAULT, INVALID_TOPIC, Verdict};
use exhook_policy_core::event::{Action, Shown};
use exhook_policy_core::policy::Policy;
use exhook_policy_core::policy::model::{TextField, Who};
use exhook_policy_core::policy::show::Words;
use exhook_policy_core::policy::who::Holds;
use exhook_policy_core::text::Placeholder;
use exhook_policy_core::topic::Request;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question<'a> {
    /// To log in.
    Connect,
    /// To publish to a topic name or subscribe to a topic filter.
    Topic(Action, &'a str),
}

/// Who can do what is asked for.
#[derive(Debug)]
pub struct WhoCan<'p> {
    /// Whom the policy allows it, in the order of the rules. A client of any case that no exception takes can do it, and
    /// nobody else.
    pub allowed: Vec<Answer<'p>>,
    /// To whom something else happens than to everyone else: the rules that deny or ignore where that is not what is
    /// said of everyone else, unless an earlier rule decides.
    pub others: Vec<Except<'p>>,
    /// What becomes of those of whom no rule says anything, and the rule that says so or one of the reserved ids; `None`
    /// where a rule allows it to whomever the rules before it leave.
    pub otherwise: Option<(Verdict, &'p str)>,
    /// For some clients the answer may be another: those whose clientid or username does not fit into a topic.
    pub unsettled: bool,
}

/// Some clients that are allowed it.
#[derive(Debug)]
pub struct Answer<'p> {
    /// The rule that allows it, or [`DEFAULT`].
    pub rule: &'p str,
    /// The rule's line in the file, from 1; `None` for the default.
    pub line: Option<usize>,
    /// Who they are.
    pub case: Case<'p>,
    /// The password source by which they must log in.
    pub password: Option<&'p str>,
    /// Who of them are not, because of earlier rules.
    pub except: Vec<Except<'p>>,
}

/// Clients that an earlier rule takes out.
#[derive(Debug, Clone)]
pub struct Except<'p> {
    /// The rule.
    pub rule: &'p str,
    /// Its line in the file, from 1.
    pub line: usize,
    /// What it says.
    pub verdict: Verdict,
    /// Whom it takes.
    pub case: Case<'p>,
    /// It takes those whom this password source knows: by its password they get in or do not.
    pub password: Option<&'p str>,
}

/// Clients of one kind.
#[derive(Debug, Clone)]
pub struct Case<'p> {
    /// The name of the kind that the rule is about, where it has one.
    pub kind: Option<&'p str>,
    /// The values that the topic asks for.
    pub way: Way,
    /// What else must hold of them; `None` where nothing does.
    pub rest: Option<Who>,
}

/// What one rule says, of whom.
struct Entry<'p> {
    rule: &'p str,
    line: usize,
    verdict: Verdict,
    password: Option<&'p str>,
    cases: Vec<Case<'p>>,
}

impl<'p> Entry<'p> {
    fn takes(&self, case: &Case<'p>) -> Except<'p> {
        let Entry { rule, line, verdict, password, .. } = *self;
        Except { rule, line, verdict, case: case.clone(), password }
    }
}

/// How the clients of one case lie to those of another.
enum Overlap {
    None,
    Some,
    /// All of the first are of the second.
    All,
}

impl<'p> WhoCan<'p> {
    /// Asks the policy who can at this moment, Unix milliseconds. Without the section that decides it is the broker's matter.
    pub fn ask(policy: &'p Policy, question: Question<'_>, at: i64) -> Self {
        let mut rules = Rules { entries: Vec::new(), takes_everyone: None, unsettled: false };
        let default = match question {
            Question::Connect => {
                rules.logins(policy, at);
                policy.auth_default()
            }
            Question::Topic(action, topic) => {
                let Some(request) = Request::parse(action, topic) else {
                    let otherwise = if policy.acl_default().is_some() { (Verdict::Deny, INVALID_TOPIC) } else { LEFT };
                    return WhoCan {
                        allowed: Vec::new(),
                        others: Vec::new(),
                        otherwise: Some(otherwise),
                        unsettled: false,
                    };
                };
                rules.topics(policy, action, &request, at);
                policy.acl_default()
            }
        };
        let Some(default) = default else {
            return WhoCan { allowed: Vec::new(), others: Vec::new(), otherwise: Some(LEFT), unsettled: false };
        };
        rules.answer(default)
    }
}

const LEFT: (Verdict, &str) = (Verdict::Ignore, DEFAULT);

/// What the rules say, in their order.
struct Rules<'p> {
    entries: Vec<Entry<'p>>,
    /// The last entry, where no client comes past it.
    takes_everyone: Option<(Verdict, &'p str)>,
    unsettled: bool,
}

impl<'p> Rules<'p> {
    fn logins(&mut self, policy: &'p Policy, at: i64) {
        for rule in policy.auth_rules() {
            let password = rule.password.and_then(|id| policy.passwords().get(id.0)).map(|source| source.name.as_str());
            let cases = cases(&rule.who, &When::always(), at);
            let entry = Entry { rule: &rule.id, line: rule.line, verdict: rule.verdict, password, cases };
            if self.add(entry, false) {
                return;
            }
        }
    }

    fn topics(&mut self, policy: &'p Policy, action: Action, request: &Request<'_>, at: i64) {
        for rule in policy.acl_rules().iter().filter(|rule| !rule.patterns(action).is_empty()) {
            let when = When::of(rule, action, request);
            self.unsettled |= when.unsettled;
            let cases = cases(&rule.who, &when, at);
            // What leaves a part to the broker leaves the whole to later rules, which cannot allow it.
            let part = rule.verdict == Verdict::Ignore && request.is_wildcard();
            let entry = Entry { rule: &rule.id, line: rule.line, verdict: rule.verdict, password: None, cases };
            if self.add(entry, part) {
                return;
            }
        }
    }

    /// True where no client comes past the entry.
    fn add(&mut self, entry: Entry<'p>, part: bool) -> bool {
        let surely = entry.password.is_none() && !self.unsettled && !part;
        let everyone = surely && entry.cases.iter().any(Case::is_everyone);
        if everyone {
            self.takes_everyone = Some((entry.verdict, entry.rule));
        }
        self.entries.push(entry);
        everyone
    }

    fn answer(self, default: Verdict) -> WhoCan<'p> {
        let mut allowed = Vec::new();
        for (at, entry) in self.entries.iter().enumerate().filter(|(_, entry)| entry.verdict == Verdict::Allow) {
            for case in &entry.cases {
                let Some(except) = self.except(case, at) else { continue };
                let (rule, line, password) = (entry.rule, Some(entry.line), entry.password);
                allowed.push(Answer { rule, line, case: case.clone(), password, except });
            }
        }
        let mut otherwise = match self.takes_everyone {
            Some((Verdict::Allow, _)) => None,
            Some(taken) => Some(taken),
            None => Some((default, DEFAULT)),
        };
        if otherwise == Some((Verdict::Allow, DEFAULT)) {
            let case = Case::everyone();
            match self.except(&case, self.entries.len()) {
                Some(except) => allowed.push(Answer { rule: DEFAULT, line: None, case, password: None, except }),
                None => otherwise = None,
            }
        }
        let usual = |entry: &Entry<'_>| match otherwise {
            // The exceptions have told of them.
            Some((Verdict::Allow, _)) => true,
            Some((verdict, _)) => verdict == entry.verdict,
            None => !allowed.is_empty(),
        };
        let others = self.entries.iter().filter(|entry| entry.verdict != Verdict::Allow && !usual(entry));
        let others = others.flat_map(|entry| entry.cases.iter().map(|case| entry.takes(case))).collect();
        WhoCan { allowed, others, otherwise, unsettled: self.unsettled }
    }

    /// Whom the entries before this place take out of a case; `None` where that is everyone.
    fn except(&self, case: &Case<'p>, before: usize) -> Option<Vec<Except<'p>>> {
        let mut except = Vec::new();
        for entry in self.entries.iter().take(before) {
            if entry.verdict == Verdict::Allow && entry.password.is_none() {
                continue;
            }
            for taken in &entry.cases {
                match case.overlap(taken) {
                    Overlap::None => continue,
                    Overlap::All if entry.password.is_none() => return None,
                    Overlap::Some | Overlap::All => {}
                }
                except.push(entry.takes(taken));
            }
        }
        Some(except)
    }
}

/// The cases in which a rule about these clients is about them.
fn cases<'p>(who: &'p Who, when: &When, at: i64) -> Vec<Case<'p>> {
    let who = match who {
        Who::During(times, _) if times.holds(Some(at)) == Holds::No => return Vec::new(),
        Who::During(_, who) => who,
        Who::Everyone | Who::Named(_) | Who::Any(_) | Who::All(_) => who,
    };
    let each = match who {
        Who::Any(each) => each.as_slice(),
        Who::Everyone | Who::Named(_) | Who::All(_) | Who::During(..) => std::slice::from_ref(who),
    };
    let mut cases = Vec::new();
    for way in &when.ways {
        for who in each {
            let rest = match way.known().settle(who) {
                Left::No => continue,
                Left::Open(rest) => Some(rest),
                Left::Yes => None,
            };
            cases.push(Case { kind: kind(who), way: way.clone(), rest });
        }
    }
    cases
}

fn kind(who: &Who) -> Option<&str> {
    match who {
        Who::Named(named) => Some(&named.name),
        Who::Everyone | Who::Any(_) | Who::All(_) | Who::During(..) => None,
    }
}

impl Way {
    fn known(&self) -> Known<'_> {
        let mut known = Known::default();
        *known.texts.get_mut(TextField::Clientid) = self.clientid.as_deref();
        *known.texts.get_mut(TextField::Username) = self.username.as_deref();
        known
    }
}

impl Case<'_> {
    fn everyone() -> Self {
        Case { kind: None, way: Way { clientid: None, username: None }, rest: None }
    }

    /// Whether every client is of this case.
    pub fn is_everyone(&self) -> bool {
        self.way.is_any() && self.rest.is_none()
    }

    /// What every client of the case has.
    fn known(&self) -> Known<'_> {
        self.way.known().and(self.rest.as_ref())
    }

    /// Whether clients of this case are of the other.
    fn overlap(&self, other: &Case<'_>) -> Overlap {
        let (own, others) = (self.known(), other.known());
        let rest = self.rest.as_ref().unwrap_or(&Who::Everyone);
        if matches!(others.settle(rest), Left::No)
            || differ(own.value(Placeholder::Clientid), others.value(Placeholder::Clientid))
            || differ(own.value(Placeholder::Username), others.value(Placeholder::Username))
        {
            return Overlap::None;
        }
        let same_way = has(own.value(Placeholder::Clientid), other.way.clientid.as_deref())
            && has(own.value(Placeholder::Username), other.way.username.as_deref());
        match own.settle(other.rest.as_ref().unwrap_or(&Who::Everyone)) {
            Left::No => Overlap::None,
            Left::Yes if same_way => Overlap::All,
            Left::Open(_) | Left::Yes => Overlap::Some,
        }
    }

    /// Who they are, in words.
    pub fn words(&self, words: Words<'_>) -> String {
        let values = [("clientid", &self.way.clientid), ("username", &self.way.username)];
        let values: Vec<String> =
            values.iter().filter_map(|(name, value)| Some(format!("{name} {}", Shown(value.as_ref()?)))).collect();
        let values = values.join(" and ");
        let rest = self.rest.as_ref().filter(|rest| kind(rest).is_none()).map(|rest| words.who(rest));
        let rest = rest.filter(|_| self.kind.is_none() || !values.is_empty());
        match (self.kind, values.as_str(), rest) {
            (None, "", None) => "everyone".to_owned(),
            (None, "", Some(rest)) => format!("clients whose {rest}"),
            (None, values, None) => format!("clients with {values}"),
            (None, values, Some(rest)) => format!("clients with {values} whose {rest}"),
            (Some(kind), "", _) => format!("`{kind}`"),
            (Some(kind), values, None) => format!("`{kind}` with {values}"),
            (Some(kind), values, Some(rest)) => format!("`{kind}` with {values}, where {rest}"),
        }
    }
}

fn differ(one: Option<&str>, other: Option<&str>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one != other)
}

fn has(value: Option<&str>, wanted: Option<&str>) -> bool {
    wanted.is_none() || value == wanted
}
