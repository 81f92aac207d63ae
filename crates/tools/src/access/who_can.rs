//! Who can log in, publish to a topic or subscribe to a filter.

use super::identities::{RequiredIdentities, RequiredIdentity};
use super::known_client::{KnownClient, PartialMatch};
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
pub enum AccessQuestion<'a> {
    /// To log in.
    Connect,
    /// To publish to a topic name or subscribe to a topic filter.
    Topic(Action, &'a str),
}

/// Who can do what is asked for.
#[derive(Debug)]
pub struct WhoCan<'p> {
    /// The clients that the policy allows it, in the order of the rules. A client of any case that
    /// no exception takes can do it, and no other client.
    pub allowed: Vec<AllowedClients<'p>>,
    /// The clients to which something else happens than to all others: the rules that deny or
    /// ignore where that is not what is said of everyone else, unless an earlier rule decides.
    pub others: Vec<ExceptedClients<'p>>,
    /// What becomes of clients of which no rule says anything, and the rule that says so or one of
    /// the reserved ids; `None` where a rule allows it to whomever the rules before it leave.
    pub otherwise: Option<(Verdict, &'p str)>,
    /// For some clients the answer may be another: those whose clientid or username does not fit
    /// into a topic.
    pub unsettled: bool,
}

/// Some clients that are allowed it.
#[derive(Debug)]
pub struct AllowedClients<'p> {
    /// The rule that allows it, or [`DEFAULT`].
    pub rule: &'p str,
    /// The rule's line in the file, from 1; `None` for the default.
    pub line: Option<usize>,
    /// Who they are.
    pub case: ClientCase<'p>,
    /// The password source by which they must log in.
    pub password: Option<&'p str>,
    /// Who of them are not, because of earlier rules.
    pub except: Vec<ExceptedClients<'p>>,
}

/// Clients that an earlier rule takes out.
#[derive(Debug, Clone)]
pub struct ExceptedClients<'p> {
    /// The rule.
    pub rule: &'p str,
    /// Its line in the file, from 1.
    pub line: usize,
    /// What it says.
    pub verdict: Verdict,
    /// The clients that it takes.
    pub case: ClientCase<'p>,
    /// It takes those that this password source knows: by its password they get in or do not.
    pub password: Option<&'p str>,
}

/// Clients of one kind.
#[derive(Debug, Clone)]
pub struct ClientCase<'p> {
    /// The name of the kind that the rule is about, where it has one.
    pub kind: Option<&'p str>,
    /// The values that the topic asks for.
    pub identity: RequiredIdentity,
    /// What else must hold of them; `None` where nothing does.
    pub rest: Option<Who>,
}

/// What one rule says, and of which clients.
struct RuleCases<'p> {
    rule: &'p str,
    line: usize,
    verdict: Verdict,
    password: Option<&'p str>,
    cases: Vec<ClientCase<'p>>,
}

impl<'p> RuleCases<'p> {
    fn takes(&self, case: &ClientCase<'p>) -> ExceptedClients<'p> {
        let RuleCases { rule, line, verdict, password, .. } = *self;
        ExceptedClients { rule, line, verdict, case: case.clone(), password }
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
    /// Asks the policy who can at this moment, Unix milliseconds. Without the section that decides
    /// it is the broker's matter.
    pub fn ask(policy: &'p Policy, question: AccessQuestion<'_>, at: i64) -> Self {
        let mut rules = RulesInOrder { entries: Vec::new(), takes_everyone: None, unsettled: false };
        let default = match question {
            AccessQuestion::Connect => {
                rules.logins(policy, at);
                policy.auth_default()
            }
            AccessQuestion::Topic(action, topic) => {
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
struct RulesInOrder<'p> {
    entries: Vec<RuleCases<'p>>,
    /// The last entry, where no client comes past it.
    takes_everyone: Option<(Verdict, &'p str)>,
    unsettled: bool,
}

impl<'p> RulesInOrder<'p> {
    fn logins(&mut self, policy: &'p Policy, at: i64) {
        for rule in policy.auth_rules() {
            let password = rule.password.and_then(|id| policy.passwords().get(id.0)).map(|source| source.name.as_str());
            let cases = cases(&rule.who, &RequiredIdentities::always(), at);
            let entry = RuleCases { rule: &rule.id, line: rule.line, verdict: rule.verdict, password, cases };
            if self.add(entry, false) {
                return;
            }
        }
    }

    fn topics(&mut self, policy: &'p Policy, action: Action, request: &Request<'_>, at: i64) {
        for rule in policy.acl_rules().iter().filter(|rule| !rule.patterns(action).is_empty()) {
            let when = RequiredIdentities::of(rule, action, request);
            self.unsettled |= when.unsettled;
            let cases = cases(&rule.who, &when, at);
            // What leaves a part to the broker leaves the whole to later rules, which cannot allow
            // it.
            let part = rule.verdict == Verdict::Ignore && request.is_wildcard();
            let entry = RuleCases { rule: &rule.id, line: rule.line, verdict: rule.verdict, password: None, cases };
            if self.add(entry, part) {
                return;
            }
        }
    }

    /// True where no client comes past the entry.
    fn add(&mut self, entry: RuleCases<'p>, part: bool) -> bool {
        let surely = entry.password.is_none() && !self.unsettled && !part;
        let everyone = surely && entry.cases.iter().any(ClientCase::is_everyone);
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
                allowed.push(AllowedClients { rule, line, case: case.clone(), password, except });
            }
        }
        let mut otherwise = match self.takes_everyone {
            Some((Verdict::Allow, _)) => None,
            Some(taken) => Some(taken),
            None => Some((default, DEFAULT)),
        };
        if otherwise == Some((Verdict::Allow, DEFAULT)) {
            let case = ClientCase::everyone();
            match self.except(&case, self.entries.len()) {
                Some(except) => {
                    allowed.push(AllowedClients { rule: DEFAULT, line: None, case, password: None, except });
                }
                None => otherwise = None,
            }
        }
        let usual = |entry: &RuleCases<'_>| match otherwise {
            // The exceptions have told of them.
            Some((Verdict::Allow, _)) => true,
            Some((verdict, _)) => verdict == entry.verdict,
            None => !allowed.is_empty(),
        };
        let others = self.entries.iter().filter(|entry| entry.verdict != Verdict::Allow && !usual(entry));
        let others = others.flat_map(|entry| entry.cases.iter().map(|case| entry.takes(case))).collect();
        WhoCan { allowed, others, otherwise, unsettled: self.unsettled }
    }

    /// The clients that the entries before this place take out of a case; `None` where that is
    /// everyone.
    fn except(&self, case: &ClientCase<'p>, before: usize) -> Option<Vec<ExceptedClients<'p>>> {
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
fn cases<'p>(who: &'p Who, when: &RequiredIdentities, at: i64) -> Vec<ClientCase<'p>> {
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
    for identity in &when.identities {
        for who in each {
            let rest = match identity.known().match_kind(who) {
                PartialMatch::No => continue,
                PartialMatch::Open(rest) => Some(rest),
                PartialMatch::Yes => None,
            };
            cases.push(ClientCase { kind: kind(who), identity: identity.clone(), rest });
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

impl RequiredIdentity {
    fn known(&self) -> KnownClient<'_> {
        let mut known = KnownClient::default();
        *known.texts.get_mut(TextField::Clientid) = self.clientid.as_deref();
        *known.texts.get_mut(TextField::Username) = self.username.as_deref();
        known
    }
}

impl ClientCase<'_> {
    fn everyone() -> Self {
        ClientCase { kind: None, identity: RequiredIdentity { clientid: None, username: None }, rest: None }
    }

    /// Whether every client is of this case.
    pub fn is_everyone(&self) -> bool {
        self.identity.is_any() && self.rest.is_none()
    }

    /// What every client of the case has.
    fn known(&self) -> KnownClient<'_> {
        self.identity.known().and(self.rest.as_ref())
    }

    /// Whether clients of this case are of the other.
    fn overlap(&self, other: &ClientCase<'_>) -> Overlap {
        let (own, others) = (self.known(), other.known());
        let rest = self.rest.as_ref().unwrap_or(&Who::Everyone);
        if matches!(others.match_kind(rest), PartialMatch::No)
            || differ(own.value(Placeholder::Clientid), others.value(Placeholder::Clientid))
            || differ(own.value(Placeholder::Username), others.value(Placeholder::Username))
        {
            return Overlap::None;
        }
        let same_way = has(own.value(Placeholder::Clientid), other.identity.clientid.as_deref())
            && has(own.value(Placeholder::Username), other.identity.username.as_deref());
        match own.match_kind(other.rest.as_ref().unwrap_or(&Who::Everyone)) {
            PartialMatch::No => Overlap::None,
            PartialMatch::Yes if same_way => Overlap::All,
            PartialMatch::Open(_) | PartialMatch::Yes => Overlap::Some,
        }
    }

    /// Who they are, in words.
    pub fn words(&self, words: Words<'_>) -> String {
        let values = [("clientid", &self.identity.clientid), ("username", &self.identity.username)];
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
