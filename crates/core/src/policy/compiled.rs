//! A policy in force: the rules that decide, the same with those in audit mode, and the settings of the program.

use std::time::Duration;

use super::brokers::Brokers;
use super::decide::{Login, PolicyRules, TopicRule};
use super::lists::Lists;
use super::model::{
    AuthRule, CaptureDef, HistoryDef, IfInvalid, Interest, LimitDefs, ListDef, LogLines, MetricsDef, Model,
    PasswordDef, PasswordId,
};
use super::trace::Trace;
use super::when::Zone;
use crate::decision::{Decision, Found, Mode, Verdict, Weight};
use crate::event::{Action, Client, Event};
use crate::hook::Hook;
use crate::text::Doubt;

/// A policy, ready to decide. What it says of a question is what its [`rules`](Policy::rules) say.
#[derive(Debug)]
pub struct Policy {
    rules: PolicyRules,
    /// The same with the rules in audit mode carried out, where there are any.
    trial: Option<Box<PolicyRules>>,
    settings: PolicySettings,
}

/// What a policy says beside its rules. None of it has a say in what they decide.
#[derive(Debug, Clone)]
pub struct PolicySettings {
    /// Whether decisions are carried out.
    pub mode: Mode,
    /// Which brokers it is for.
    pub brokers: Brokers,
    /// Every call is answered within it.
    pub deadline: Duration,
    /// What is in force at a start where the policy file does not load.
    pub if_invalid: IfInvalid,
    /// Which lines go to stderr.
    pub log: LogLines,
    /// What is remembered.
    pub history: Option<HistoryDef>,
    /// Where events are written to be replayed.
    pub capture: Option<CaptureDef>,
    /// Where counters and times are to be had.
    pub metrics: Option<MetricsDef>,
}

impl Policy {
    /// Makes a validated policy ready. Rules in audit mode stand in its [`trial`](Policy::trial) alone.
    pub fn compile(model: Model) -> Self {
        let (rules, settings) = model.split();
        let trial = rules.tries().then(|| Box::new(PolicyRules::of(rules.clone())));
        Policy { rules: PolicyRules::of(rules.enforced()), trial, settings }
    }

    /// The rules that are carried out.
    pub fn rules(&self) -> &PolicyRules {
        &self.rules
    }

    /// What the rules would be with those in audit mode carried out; `None` where there are none of these. What they
    /// decide otherwise than [`rules`](Policy::rules) is what these rules would change.
    pub fn trial(&self) -> Option<&PolicyRules> {
        self.trial.as_deref()
    }

    /// What it says beside its rules.
    pub fn settings(&self) -> &PolicySettings {
        &self.settings
    }

    /// The rules about logins that are in audit mode.
    pub fn tried_logins(&self) -> impl Iterator<Item = &AuthRule> {
        self.trial().into_iter().flat_map(PolicyRules::auth_rules).filter(|rule| rule.mode == Mode::Audit)
    }

    /// The rules about topics that are in audit mode.
    pub fn tried_topics(&self) -> impl Iterator<Item = &TopicRule> {
        self.trial().into_iter().flat_map(PolicyRules::acl_rules).filter(|rule| rule.mode == Mode::Audit)
    }

    /// What the trial says of a login, where these password sources have been asked about it;
    /// `None` where there is no trial, or where it came to need another source. It needs none,
    /// since rules in audit mode ask for no password. With it comes why a condition could not be
    /// told, if one could not.
    pub fn would_login(
        &self,
        client: &Client<'_>,
        lists: &Lists,
        said: &[(PasswordId, Found)],
    ) -> Option<(Decision<'_>, Option<Doubt>)> {
        let mut known = true;
        let found = |source| {
            let found = said.iter().find(|(asked, _)| *asked == source);
            known &= found.is_some();
            found.map_or(Found::Unreadable, |(_, found)| *found)
        };
        let decision = self.trial()?.login_seen(client, lists, found, |_, _| {});
        known.then_some(decision)
    }

    /// How long deciding the event can take.
    pub fn weight(&self, event: &Event<'_>) -> Weight {
        let trial = self.trial().map(|trial| trial.weight(event));
        self.rules.weight(event).max(trial.unwrap_or(Weight::Light))
    }

    /// Whether some rule says when it matches, be it in audit mode. Then each question must tell when it is asked.
    pub fn asks_time(&self) -> bool {
        self.zone().is_some()
    }

    /// The zone in which moments are told to people: that of the first rule that says when it matches.
    pub fn zone(&self) -> Option<&Zone> {
        self.rules.zone().or_else(|| self.trial()?.zone())
    }

    /// The hooks that the policy needs and no more, each once.
    pub fn hooks(&self) -> Vec<Hook> {
        let PolicySettings { log, history, .. } = &self.settings;
        let record = history.as_ref().map(|history| history.record);
        let (auth, acl) = (self.auth_default().is_some(), self.acl_default().is_some());
        let interest = Interest { auth, acl, log: *log, record };
        Hook::ALL.iter().copied().filter(|hook| interest.needs(*hook)).collect()
    }

    /// [`PolicyRules::authenticate`]
    pub fn authenticate(&self, client: &Client<'_>, lists: &Lists) -> Login<'_> {
        self.rules.authenticate(client, lists)
    }

    /// [`PolicyRules::login_after`]
    pub fn login_after(&self, rule: usize, client: &Client<'_>, lists: &Lists) -> Login<'_> {
        self.rules.login_after(rule, client, lists)
    }

    /// [`PolicyRules::authenticate_doubted`]
    pub fn authenticate_doubted(&self, client: &Client<'_>, lists: &Lists) -> (Login<'_>, Option<Doubt>) {
        self.rules.authenticate_doubted(client, lists)
    }

    /// [`PolicyRules::login_after_doubted`]
    pub fn login_after_doubted(&self, rule: usize, client: &Client<'_>, lists: &Lists) -> (Login<'_>, Option<Doubt>) {
        self.rules.login_after_doubted(rule, client, lists)
    }

    /// [`PolicyRules::check_acl_doubted`]
    pub fn check_acl_doubted(
        &self,
        client: &Client<'_>,
        action: Action,
        topic: &str,
        lists: &Lists,
    ) -> (Decision<'_>, Option<Doubt>) {
        self.rules.check_acl_doubted(client, action, topic, lists)
    }

    /// [`PolicyRules::password_checked`]
    pub fn password_checked(&self, rule: usize, right: bool) -> Decision<'_> {
        self.rules.password_checked(rule, right)
    }

    /// [`PolicyRules::login`]
    pub fn login(&self, client: &Client<'_>, lists: &Lists, found: impl FnMut(PasswordId) -> Found) -> Decision<'_> {
        self.rules.login(client, lists, found)
    }

    /// [`PolicyRules::check_acl`]
    pub fn check_acl(&self, client: &Client<'_>, action: Action, topic: &str, lists: &Lists) -> Decision<'_> {
        self.rules.check_acl(client, action, topic, lists)
    }

    /// [`PolicyRules::trace_login`]
    pub fn trace_login(&self, client: &Client<'_>, lists: &Lists, found: impl FnMut(PasswordId) -> Found) -> Trace<'_> {
        self.rules.trace_login(client, lists, found)
    }

    /// [`PolicyRules::trace_acl`]
    pub fn trace_acl(&self, client: &Client<'_>, action: Action, topic: &str, lists: &Lists) -> Trace<'_> {
        self.rules.trace_acl(client, action, topic, lists)
    }

    /// [`PolicyRules::auth_rules`]
    pub fn auth_rules(&self) -> &[AuthRule] {
        self.rules.auth_rules()
    }

    /// [`PolicyRules::auth_default`]
    pub fn auth_default(&self) -> Option<Verdict> {
        self.rules.auth_default()
    }

    /// [`PolicyRules::acl_rules`]
    pub fn acl_rules(&self) -> &[TopicRule] {
        self.rules.acl_rules()
    }

    /// [`PolicyRules::acl_default`]
    pub fn acl_default(&self) -> Option<Verdict> {
        self.rules.acl_default()
    }

    /// [`PolicyRules::limits`]
    pub fn limits(&self) -> &LimitDefs {
        self.rules.limits()
    }

    /// [`PolicyRules::lists`]
    pub fn lists(&self) -> &[ListDef] {
        self.rules.lists()
    }

    /// [`PolicyRules::passwords`]
    pub fn passwords(&self) -> &[PasswordDef] {
        self.rules.passwords()
    }

    /// [`PolicySettings::brokers`]
    pub fn brokers(&self) -> &Brokers {
        &self.settings.brokers
    }

    /// [`PolicySettings::mode`]
    pub fn mode(&self) -> Mode {
        self.settings.mode
    }

    /// [`PolicySettings::deadline`]
    pub fn deadline(&self) -> Duration {
        self.settings.deadline
    }

    /// [`PolicySettings::if_invalid`]
    pub fn if_invalid(&self) -> IfInvalid {
        self.settings.if_invalid
    }

    /// [`PolicySettings::log`]
    pub fn log(&self) -> LogLines {
        self.settings.log
    }

    /// [`PolicySettings::history`]
    pub fn history(&self) -> Option<&HistoryDef> {
        self.settings.history.as_ref()
    }

    /// [`PolicySettings::capture`]
    pub fn capture(&self) -> Option<&CaptureDef> {
        self.settings.capture.as_ref()
    }

    /// [`PolicySettings::metrics`]
    pub fn metrics(&self) -> Option<&MetricsDef> {
        self.settings.metrics.as_ref()
    }
}

impl AsRef<PolicyRules> for Policy {
    fn as_ref(&self) -> &PolicyRules {
        &self.rules
    }
}

impl AsRef<PolicyRules> for PolicyRules {
    fn as_ref(&self) -> &PolicyRules {
        self
    }
}
