//! From a test file's types to its cases: names resolved, tables unfolded.

use super::raw::{self, GivenFields, WhichClient};
use super::secret::Secret;
use super::{Case, Expected, Question, Test};
use crate::decision::{RESERVED, Verdict};
use crate::event::owned::OwnedClient;
use crate::event::{Action, Extra, Peerhost};
use crate::policy::Policy;
use crate::policy::codes::Code;
use crate::policy::decode::{At, Cx, Named, OneOrMany, Placed, Text, listed};
use crate::policy::diag::{Diagnostic, quote};
use crate::policy::model::TextField;
use crate::policy::span::{Lines, Span};
use crate::policy::when::moment::{self, Edge};

/// The most cases of one file, every client and topic counted.
const MOST_CASES: usize = 100_000;

/// The tests of a file. They mean nothing where `cx` has errors afterwards.
pub(super) fn resolve(
    clients: Option<At<Named<raw::Client>>>,
    tests: Option<At<Vec<raw::Test>>>,
    at: Option<&At<Text>>,
    policy: &Policy,
    cx: &mut Cx<'_>,
) -> Vec<Test> {
    let clients = clients.map(|clients| clients.value.0).unwrap_or_default();
    let tests = tests.map(|tests| tests.value).unwrap_or_default();
    let at = at.and_then(|at| moment_of(at, cx));
    let mut resolver = Resolver {
        at,
        lines: Lines::new(cx.text),
        clients: &clients,
        usual: policy.usual_extra(),
        auth: policy.auth_rules().iter().map(|rule| rule.id.as_str()).collect(),
        acl: policy.acl_rules().iter().map(|rule| rule.id.as_str()).collect(),
        tried_auth: policy.tried_logins().map(|rule| rule.id.as_str()).collect(),
        tried_acl: policy.tried_topics().map(|rule| rule.id.as_str()).collect(),
        cases: 0,
        sound: !cx.found.has_errors(),
        cx,
    };
    tests.iter().map(|test| resolver.test(test)).collect()
}

struct Resolver<'r, 'c, 't> {
    cx: &'c mut Cx<'t>,
    lines: Lines,
    clients: &'r [(Text, Option<raw::Client>)],
    /// What a client has of which a test does not say it.
    usual: Extra<'static>,
    /// When a client asks of which a test does not say it.
    at: Option<i64>,
    /// The ids of the policy's rules.
    auth: Vec<&'r str>,
    acl: Vec<&'r str>,
    /// And of those in audit mode.
    tried_auth: Vec<&'r str>,
    tried_acl: Vec<&'r str>,
    /// Cases so far.
    cases: usize,
    /// Every value could be read, so that what is missing is missing in the file.
    sound: bool,
}

/// A client of a test, with the name by which it is called.
#[derive(Clone, Copy)]
struct TestClient<'r> {
    called: Option<&'r str>,
    fields: GivenFields<'r>,
}

impl<'r> Resolver<'r, '_, '_> {
    fn test(&mut self, test: &'r raw::Test) -> Test {
        let askers = self.askers(test.client.as_ref());
        let lines = test.expect.iter().flat_map(|expect| &expect.value.0);
        let mut cases = Vec::new();
        for line in lines {
            let own = line.client.as_ref().map(|client| self.askers(Some(client)));
            self.line(line, own.as_deref().unwrap_or(&askers), &mut cases);
        }
        let name = test.name.as_ref().map(|name| name.value.value.clone()).unwrap_or_default();
        Test { name, line: self.lines.line(test.span().start), cases }
    }

    /// The clients that are named or described; one of whom nothing is said where there are none.
    fn askers(&mut self, client: Option<&'r At<OneOrMany<WhichClient>>>) -> Vec<TestClient<'r>> {
        let Some(client) = client else { return vec![TestClient { called: None, fields: GivenFields::default() }] };
        let mut askers = Vec::new();
        for which in &client.value.0 {
            match which {
                WhichClient::Client(client) => {
                    askers.push(TestClient { called: None, fields: GivenFields::of_client(client) });
                }
                WhichClient::Name(name) => askers.extend(self.named(name)),
            }
        }
        askers
    }

    fn named(&mut self, name: &Text) -> Option<TestClient<'r>> {
        let Some((called, client)) = self.clients.iter().find(|(called, _)| called.value == name.value) else {
            let message = format!("there is no client {}", quote(&name.value));
            let names: Vec<&str> = self.clients.iter().map(|(name, _)| name.value.as_str()).collect();
            let otherwise = || match names.as_slice() {
                [] => Some("declare it under `clients`, or write { clientid: ... }".to_owned()),
                names => Some(format!("`clients` has {}", listed(names, "and"))),
            };
            let diagnostic = Diagnostic::new(Code::UnknownName, name.span, message);
            self.cx.push_near(diagnostic, &name.value, names.iter().copied(), otherwise);
            return None;
        };
        Some(TestClient { called: Some(&called.value), fields: GivenFields::of_client(client.as_ref()?) })
    }

    fn line(&mut self, line: &'r raw::Expectation, askers: &[TestClient<'r>], cases: &mut Vec<Case>) {
        let questions = questions(line);
        if questions.is_empty() {
            return;
        }
        let Some(expected) = self.expected(line) else { return };
        let would = line.would.as_ref().map(|would| self.would(line, &would.value));
        let answers = [Some((expected, false)), would.map(|would| (would, true))];
        let asked = questions.len().saturating_mul(answers.iter().flatten().count());
        self.cases = self.cases.saturating_add(asked.saturating_mul(askers.len()));
        if self.cases > MOST_CASES {
            let message = format!("with this line the file has more than {MOST_CASES} cases");
            self.cx.push(Diagnostic::new(Code::TooLarge, line.span(), message).help("write several files"));
            return;
        }
        for asker in askers {
            let Some(client) = self.client(GivenFields::of_line(line).or(asker.fields), line.span()) else { return };
            for (question, (expected, would)) in
                questions.iter().flat_map(|one| answers.iter().flatten().map(move |it| (one, it)))
            {
                cases.push(Case {
                    line: self.lines.line(line.span().start),
                    called: asker.called.map(str::to_owned),
                    client: client.clone(),
                    question: question.to_question(),
                    expected: expected.clone(),
                    would: *would,
                });
            }
        }
    }

    fn client(&mut self, fields: GivenFields<'r>, line: Span) -> Option<OwnedClient> {
        let Some(clientid) = fields.texts.get(TextField::Clientid) else {
            if self.sound {
                let diagnostic = Diagnostic::new(Code::MissingKey, line, "whoever asks this needs a `clientid`");
                self.cx.push(diagnostic.help("give the test a client: `client: { clientid: dev-0001 }`"));
            }
            return None;
        };
        let mut client = OwnedClient { extra: self.usual.into(), ..OwnedClient::named(&clientid.value.value) };
        for (field, given) in fields.texts.into_each() {
            match given {
                Some(at) => field.set(&mut client, &at.value.value),
                None if field.told_by().is_none() => field.set(&mut client, field.traits().usual),
                None => {}
            }
        }
        for (field, given) in fields.hosts.into_each() {
            if given.is_some() || field.told_by().is_none() {
                field.set(&mut client, self.host(given, field.traits().usual)?);
            }
        }
        for (field, given) in fields.ports.into_each() {
            match given {
                Some(at) => field.set(&mut client, at.value.0),
                None if field.told_by().is_none() => field.set(&mut client, field.traits().usual),
                None => {}
            }
        }
        for (field, given) in fields.flags.into_each() {
            if let Some(at) = given {
                field.set(&mut client, at.value);
            }
        }
        client.extra.at = match fields.at {
            Some(at) => Some(moment_of(at, self.cx)?),
            None => self.at,
        };
        Some(client)
    }

    fn host(&mut self, field: Option<&'r At<Text>>, usual: &'static str) -> Option<Peerhost<'r>> {
        let text = field.map_or(usual, |at| at.value.value.as_str());
        match Peerhost::parse(text) {
            host @ Peerhost::Addr(_) => Some(host),
            Peerhost::Other(_) => {
                let message = format!("{} is no IP address", quote(text));
                let span = field.map(|at| at.span).unwrap_or_default();
                self.cx.push(
                    Diagnostic::new(Code::BadAddress, span, message)
                        .help("a client connects from one address, like 10.0.0.7 or 2001:db8::7"),
                );
                None
            }
        }
    }

    fn expected(&mut self, line: &'r raw::Expectation) -> Option<Expected> {
        let verdicts = [(Verdict::Allow, &line.allow), (Verdict::Deny, &line.deny), (Verdict::Ignore, &line.ignore)];
        let (verdict, rule) = verdicts.into_iter().find_map(|(verdict, rule)| Some((verdict, rule.as_ref()?)))?;
        let is_login = line.authenticate.is_some();
        let tried = if is_login { &self.tried_auth } else { &self.tried_acl };
        if tried.contains(&rule.value.value.as_str()) {
            let message = format!("rule {} is in audit mode, and decides nothing", quote(&rule.value.value));
            let help =
                format!("what it would decide stands under `would: {{ {}: {} }}`", verdict.as_str(), rule.value.value);
            self.cx.push(Diagnostic::new(Code::UnknownRule, rule.span, message).help(help));
            return None;
        }
        Some(self.by(verdict, rule, is_login, &[]))
    }

    /// What would be answered with the rules in audit mode carried out.
    fn would(&mut self, line: &'r raw::Expectation, would: &'r raw::Would) -> Expected {
        let (verdict, rule) = match would {
            raw::Would::Allow(rule) => (Verdict::Allow, rule),
            raw::Would::Deny(rule) => (Verdict::Deny, rule),
            raw::Would::Ignore(rule) => (Verdict::Ignore, rule),
        };
        let is_login = line.authenticate.is_some();
        let tried = if is_login { self.tried_auth.clone() } else { self.tried_acl.clone() };
        self.by(verdict, rule, is_login, &tried)
    }

    /// The verdict by a rule of the section, or by one of these.
    fn by(&mut self, verdict: Verdict, rule: &'r At<Text>, is_login: bool, tried: &[&'r str]) -> Expected {
        let (own, others) = if is_login { (&self.auth, &self.acl) } else { (&self.acl, &self.auth) };
        let ids: Vec<&str> = own.iter().chain(tried).copied().collect();
        let id = rule.value.value.as_str();
        if !ids.contains(&id) && !RESERVED.contains(&id) {
            let (section, other) = if is_login { ("auth", "acl") } else { ("acl", "auth") };
            let message = format!("`{section}` of the policy has no rule {}", quote(id));
            let diagnostic = Diagnostic::new(Code::UnknownRule, rule.span, message);
            if others.contains(&id) {
                let decides = if is_login { "logins" } else { "topics" };
                let help = format!("{} is a rule of `{other}`, and `{section}` decides on {decides}", quote(id));
                self.cx.push(diagnostic.help(help));
            } else {
                let known: Vec<&str> = ids.iter().copied().chain(RESERVED).collect();
                let otherwise = || (known.len() <= 12).then(|| format!("it has {}", listed(&known, "and")));
                self.cx.push_near(diagnostic, id, known.iter().copied(), otherwise);
            }
        }
        Expected { verdict, rule: id.to_owned() }
    }
}

/// When a client asks, Unix milliseconds.
fn moment_of(at: &At<Text>, cx: &mut Cx<'_>) -> Option<i64> {
    let text = &at.value;
    let wrong = match moment::parse(&text.value, None, Edge::Begin) {
        Ok(moment) => return Some(moment),
        Err(wrong) => wrong,
    };
    let message = format!("{} {}", quote(&text.value), wrong.message());
    cx.push(Diagnostic::new(Code::BadTime, text.span, message).help(wrong.help()));
    None
}

/// What a line asks, not yet by whom.
enum AskedLine<'r> {
    Authenticate(&'r Secret),
    Acl(Action, &'r Text),
}

impl AskedLine<'_> {
    fn to_question(&self) -> Question {
        match self {
            AskedLine::Authenticate(password) => Question::Authenticate((*password).clone()),
            AskedLine::Acl(action, topic) => Question::Acl(*action, topic.value.clone()),
        }
    }
}

fn questions(line: &raw::Expectation) -> Vec<AskedLine<'_>> {
    let passwords = line.authenticate.iter().flat_map(|passwords| &passwords.value.0).map(AskedLine::Authenticate);
    passwords
        .chain(topics(Action::Publish, line.publish.as_ref()))
        .chain(topics(Action::Subscribe, line.subscribe.as_ref()))
        .collect()
}

fn topics(action: Action, topics: Option<&At<OneOrMany<Text>>>) -> impl Iterator<Item = AskedLine<'_>> {
    topics.into_iter().flat_map(|topics| &topics.value.0).map(move |topic| AskedLine::Acl(action, topic))
}
