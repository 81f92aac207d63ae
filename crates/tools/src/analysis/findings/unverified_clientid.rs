//! Topics by `${clientid}` for clients whose clientid is not proved.
//!
//! A password proves the username, and a certificate the names in it. Either ties the clientid
//! where each clientid has one such name.

use super::context::{FindingContext, SampleClient, named};
use super::narrowed_clients::{is, is_not, narrowed};
use exhook_policy_core::decision::{Decision, Verdict};
use exhook_policy_core::emqx::Fact;
use exhook_policy_core::event::Shown;
use exhook_policy_core::policy::codes::Code;
use exhook_policy_core::policy::diag::{Diagnostic, quote};
use exhook_policy_core::policy::lists::Lists;
use exhook_policy_core::policy::model::{AuthRule, Condition, PasswordId, TextCondition, TextField, Who};
use exhook_policy_core::policy::places::PatternPlace;
use exhook_policy_core::policy::who::Holds;
use exhook_policy_core::policy::{Found, TopicRule};
use exhook_policy_core::text::Identity;

/// What it costs to look at a pair of rules, in steps.
const LOOK: usize = 20;

pub(super) fn find(cx: &mut FindingContext<'_>) {
    for (rule, places) in cx.rules().iter().zip(&cx.places.acl.rules) {
        let own = places.patterns.iter().find(|pattern| pattern.clientid);
        if let Some(pattern) = own.filter(|_| rule.verdict == Verdict::Allow) {
            let found = look(cx, rule, pattern);
            cx.found.extend(found);
        }
    }
}

/// A rule that knows who its clients are.
#[derive(Clone, Copy)]
struct LoginProof<'r> {
    who: &'r Who,
    /// The login rule; `None` of a rule about topics.
    login: Option<&'r AuthRule>,
    username: bool,
    cn: bool,
    dn: bool,
}

impl<'r> LoginProof<'r> {
    /// Without a password, each kind of client may prove something else.
    fn of_login(login: &'r AuthRule, nothing: &Lists) -> Vec<Self> {
        let kinds = match (login.verdict, login.password) {
            (Verdict::Allow, Some(_)) => vec![&login.who],
            (Verdict::Allow, None) => alternatives(&login.who),
            (Verdict::Deny | Verdict::Ignore, _) => Vec::new(),
        };
        let proving = kinds.into_iter().filter_map(|who| LoginProof::of(who, login.password.is_some(), nothing));
        proving.map(|proving| LoginProof { login: Some(login), ..proving }).collect()
    }

    /// Of a rule about topics; `None` where some of its clients prove nothing.
    fn of_topics(rule: &'r TopicRule, nothing: &Lists) -> Option<Vec<Self>> {
        alternatives(&rule.who).into_iter().map(|who| LoginProof::of(who, false, nothing)).collect()
    }

    /// Behind one certificate there may be many users, unless it names each.
    fn of(who: &'r Who, password: bool, nothing: &Lists) -> Option<Self> {
        let proves = |field| if password { names(who, field) } else { demands(who, field, nothing) };
        let (cn, dn) = (proves(TextField::Cn), proves(TextField::Dn));
        (password || cn || dn).then_some(LoginProof { who, login: None, username: password, cn, dn })
    }

    /// What is proved of somebody: names, and the subject of the certificate.
    fn proved<'c>(self, someone: &'c SampleClient) -> (Vec<&'c str>, Option<&'c str>) {
        let client = someone.client();
        let name = |proved: bool, name: Option<&'c str>| name.filter(|name| proved && !name.is_empty());
        let names = name(self.username, Some(client.username)).into_iter().chain(name(self.cn, client.extra.cn));
        (names.collect(), name(self.dn, client.extra.dn))
    }

    /// Whether somebody gets in by it with what it proves.
    fn lets_in(self, cx: &FindingContext<'_>, someone: &SampleClient) -> bool {
        let Some(login) = self.login else { return true };
        let found = |source: PasswordId| if Some(source) == login.password { Found::Right } else { Found::Unknown };
        let decision = cx.policy.login(&someone.client(), &someone.lists, found);
        decision == Decision { verdict: Verdict::Allow, rule: &login.id }
    }
}

/// The kinds of client of which any may be one of these.
fn alternatives(who: &Who) -> Vec<&Who> {
    match who {
        Who::Everyone | Who::All(_) | Who::During(..) => vec![who],
        Who::Named(named) => alternatives(&named.who),
        Who::Any(each) => each.iter().flat_map(alternatives).collect(),
    }
}

/// Whether no client without this name in a certificate is one of these.
fn demands(who: &Who, field: TextField, nothing: &Lists) -> bool {
    let nobody = Identity { clientid: "", username: "" };
    each_has(who, field, &|condition| condition.holds("", nobody, nothing) == Holds::No)
}

/// Whether the name in the certificate is the client's own.
fn names(who: &Who, field: TextField) -> bool {
    each_has(who, field, &is_own)
}

fn is_own(condition: &TextCondition) -> bool {
    match condition {
        TextCondition::Equals(template) => template.as_literal().is_none(),
        TextCondition::Any(each) => each.iter().all(is_own),
        TextCondition::Matches(_) | TextCondition::In(_) | TextCondition::Not(_) => false,
    }
}

fn each_has(who: &Who, field: TextField, has: &impl Fn(&TextCondition) -> bool) -> bool {
    match who {
        Who::Everyone => false,
        Who::Named(named) => each_has(&named.who, field, has),
        Who::Any(each) => each.iter().all(|who| each_has(who, field, has)),
        Who::During(_, who) => each_has(who, field, has),
        Who::All(conditions) => conditions.iter().any(|condition| match condition {
            Condition::Text(of, condition) => *of == field && has(condition),
            Condition::Host(..) | Condition::Port(..) | Condition::Flag(..) => false,
        }),
    }
}

/// How a rule that knows who its clients are stands to the clients of a rule about topics.
enum ClientidTie {
    /// It is about none of them.
    None,
    /// Each clientid of these has one user.
    Tied,
    /// These two users can have the same clientid, or are one certificate with two clientids, which
    /// many may share.
    Loose([String; 2]),
    Unknown,
}

fn look(cx: &mut FindingContext<'_>, rule: &TopicRule, pattern: &PatternPlace) -> Option<Diagnostic> {
    let nothing = cx.no_entries();
    if let Some(own) = LoginProof::of_topics(rule, &nothing)
        && own.iter().all(|kind| matches!(tie(cx, *kind, &own, rule), ClientidTie::Tied))
    {
        return None;
    }
    let logins: Vec<LoginProof<'_>> =
        cx.auth_rules().iter().flat_map(|login| LoginProof::of_login(login, &nothing)).collect();
    let (mut tied, mut known, mut loose) = (false, true, None);
    for proving in &logins {
        match tie(cx, *proving, &logins, rule) {
            ClientidTie::None => {}
            ClientidTie::Tied => tied = true,
            ClientidTie::Loose(users) => loose = loose.or(proving.login.map(|login| (login, users))),
            ClientidTie::Unknown => known = false,
        }
    }
    if !known {
        cx.unsettled.insert(rule.line);
    }
    if let (true, Some((login, [one, other]))) = (tied, loose) {
        let message = format!("by {} one user can take the clientid of another", named(&login.id, login.line));
        let tie = match login.password {
            Some(_) => "username in {}: { clientid: \"${username}\" }",
            None => "certificate in {}: { cn: \"${clientid}\" }",
        };
        let diagnostic = Diagnostic::new(Code::UnverifiedClientid, pattern.span, message)
            .note(format!("both can log in: {one}; {other}"))
            .help(format!("tie the clientid to the {}", tie.replacen("{}", &quote(&login.id), 1)));
        return Some(diagnostic);
    }
    (!tied && known).then(|| {
        let message = "no login rule ties the clientid to a verified username, so any client can take any clientid";
        let help = "add a login rule with a password for { clientid: \"${username}\" }";
        let diagnostic = Diagnostic::new(Code::UnverifiedClientid, pattern.span, message).help(help);
        let brokers = cx.brokers;
        if brokers.versions().is_empty() || !brokers.all_have(Fact::TellsCertificate) {
            return diagnostic;
        }
        diagnostic.help("or, where the broker verifies client certificates, one for { cn: \"${clientid}\" }")
    })
}

/// `others` are all rules by which somebody else may take the clientid.
fn tie(
    cx: &mut FindingContext<'_>,
    proving: LoginProof<'_>,
    others: &[LoginProof<'_>],
    rule: &TopicRule,
) -> ClientidTie {
    if !cx.spend(LOOK, rule.line) {
        return ClientidTie::Unknown;
    }
    let clients = cx.clients(proving.who, &[&rule.who], &[]);
    let is_proved = |one: &SampleClient| proving.proved(one) != (Vec::new(), None);
    let users = clients.each.iter().filter(|one| one.is(proving.who) && one.is(&rule.who) && is_proved(one));
    let mut any = false;
    let mut known = clients.complete;
    for one in users {
        any = true;
        if !proving.lets_in(cx, one) {
            continue;
        }
        for other in others {
            match twin(cx, one, proving, *other, rule) {
                Ok(Some(twin)) => return ClientidTie::Loose([told(one), twin]),
                Ok(None) => {}
                Err(()) => known = false,
            }
        }
        match shared(cx, one, proving, rule) {
            Ok(Some(other)) => return ClientidTie::Loose([told(one), other]),
            Ok(None) => {}
            Err(()) => known = false,
        }
    }
    match (known, any) {
        (false, _) => ClientidTie::Unknown,
        (true, true) => ClientidTie::Tied,
        (true, false) => ClientidTie::None,
    }
}

/// The certificate that proves who this is, with another clientid; an error where that is not
/// known.
fn shared(
    cx: &mut FindingContext<'_>,
    one: &SampleClient,
    proving: LoginProof<'_>,
    rule: &TopicRule,
) -> Result<Option<String>, ()> {
    if proving.username {
        return Ok(None);
    }
    let client = one.client();
    let mut kind = narrowed(proving.who, is_not(TextField::Clientid, &[client.clientid]).ok_or(())?);
    for (field, proves) in [(TextField::Cn, proving.cn), (TextField::Dn, proving.dn)] {
        if proves {
            kind = narrowed(&kind, is(field, field.of(&client).unwrap_or_default()).ok_or(())?);
        }
    }
    let others = cx.clients(&kind, &[&rule.who], &[]);
    let lets_in = |other: &&SampleClient| other.is(&kind) && other.is(&rule.who) && proving.lets_in(cx, other);
    match others.each.iter().find(lets_in) {
        None if !others.complete => Err(()),
        other => Ok(other.map(told)),
    }
}

/// Another user with the same clientid that this other rule lets in; an error where that is not
/// known. Names are compared with names, and subjects with subjects.
fn twin(
    cx: &mut FindingContext<'_>,
    one: &SampleClient,
    proving: LoginProof<'_>,
    other: LoginProof<'_>,
    rule: &TopicRule,
) -> Result<Option<String>, ()> {
    let (names, subject) = proving.proved(one);
    let mut differs = Vec::new();
    if !names.is_empty() {
        let none = [names.as_slice(), &[""]].concat();
        differs.extend(other.username.then(|| is_not(TextField::Username, &none)));
        differs.extend(other.cn.then(|| is_not(TextField::Cn, &none)));
    }
    if let Some(subject) = subject.filter(|_| other.dn) {
        differs.push(is_not(TextField::Dn, &[subject, ""]));
    }
    if differs.is_empty() {
        return Ok(None);
    }
    let same = is(TextField::Clientid, one.client().clientid).ok_or(())?;
    let mut kind = narrowed(other.who, same);
    for condition in differs {
        kind = narrowed(&kind, condition.ok_or(())?);
    }
    let twins = cx.clients(&kind, &[&rule.who], &[]);
    let twin = twins.each.iter().find(|twin| twin.is(&kind) && twin.is(&rule.who) && other.lets_in(cx, twin));
    match twin {
        None if !twins.complete => Err(()),
        twin => Ok(twin.map(told)),
    }
}

/// The client in words, with its clientid even where no rule asks about it.
fn told(someone: &SampleClient) -> String {
    let told = someone.sample.to_string();
    if told.starts_with("clientid ") || told.starts_with("no clientid") {
        return told;
    }
    format!("clientid {}, {told}", Shown(someone.client().clientid))
}
