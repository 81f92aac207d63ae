//! What `install` prints for brokers that call a gRPC service: their settings.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use super::{BrokerQuestions, boot, write_closing};
use crate::doctor::{AnsweredShare, Decides, Url, call_timeout};
use exhook_policy_core::decision::Mode;
use exhook_policy_core::emqx::{Fact, Has, Package, Version};

/// How long the broker waits before it tries again to load a provider that it did not reach.
const AUTO_RECONNECT: &str = "5s";
/// Connections to the provider, each of which carries many calls.
const POOL_SIZE: u32 = 8;
/// What the broker's settings call the provider.
const NAME: &str = "policy";

const PROVIDER: BrokerQuestions = BrokerQuestions { who: "provider", away: "Until the provider is loaded" };
const OPEN_PROVIDER: BrokerQuestions =
    BrokerQuestions { who: "provider", away: "While the provider is not loaded, fails or is late" };

/// What is to be set up.
pub(super) struct ServerPlan<'a> {
    pub(super) version: Version,
    pub(super) package: Package,
    pub(super) url: &'a Url,
    /// The systemd unit of the broker.
    pub(super) service: &'a str,
    pub(super) policy: Option<(&'a Decides, &'a Path)>,
}

impl ServerPlan<'_> {
    fn logins(&self) -> AnsweredShare {
        self.policy.map_or(AnsweredShare::All, |(decides, _)| decides.logins)
    }

    fn topics(&self) -> AnsweredShare {
        self.policy.map_or(AnsweredShare::All, |(decides, _)| decides.topics)
    }

    fn is_audit(&self) -> bool {
        self.policy.is_some_and(|(decides, _)| decides.mode == Mode::Audit)
    }

    /// Whether the broker reads one file of `key = value`, and loads a plugin.
    fn has_plugin(&self) -> bool {
        self.package == Package::V1
    }

    /// What the broker does where the provider fails: in audit mode, what it did without.
    fn failed_action(&self) -> &'static str {
        if self.is_audit() { "ignore" } else { "deny" }
    }

    /// The first version after this that has something.
    fn first_with(&self, fact: Fact) -> String {
        self.version.first_with(fact).map_or_else(|| "a later version".to_owned(), |version| version.to_string())
    }

    /// Whether the broker lets clients in at boot that the policy would refuse.
    fn is_open_at_boot(&self) -> bool {
        self.version.has(Fact::ListensLast) != Has::Yes && !self.is_audit()
    }

    fn timeout(&self) -> u64 {
        call_timeout(self.policy.map_or(Duration::ZERO, |(decides, _)| decides.deadline)).as_secs()
    }
}

pub(super) fn instructions(plan: &ServerPlan<'_>) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(&mut text, plan);
    text
}

fn write_all(text: &mut String, plan: &ServerPlan<'_>) -> fmt::Result {
    write_provider(text, plan)?;
    if plan.has_plugin() { write_plugin(text, plan) } else { write_server(text, plan) }?;
    write_failed_calls(text, plan)?;
    write_loading(text, plan)?;
    if (plan.logins(), plan.topics()) == (AnsweredShare::None, AnsweredShare::None) {
        return writeln!(text, "\nThis policy decides nothing, so the broker's own settings stay as they are.");
    }
    if plan.has_plugin() {
        let asked = if plan.version.has(Fact::FailsClosed) == Has::No { &OPEN_PROVIDER } else { &PROVIDER };
        return write_closing(text, plan.policy.map(|(decides, _)| *decides), asked);
    }
    write_rest(text, plan)
}

fn write_provider(text: &mut String, plan: &ServerPlan<'_>) -> fmt::Result {
    let policy = plan.policy.map_or("/etc/exhook-policy/rules.yaml".to_owned(), |(_, path)| path.display().to_string());
    let listen = if plan.url.is_local() { "127.0.0.1" } else { "0.0.0.0" };
    let tls = if plan.url.tls {
        "\n     --tls-cert /etc/exhook-policy/tls/server.pem --tls-key /etc/exhook-policy/tls/server.key \\
     --client-ca /etc/exhook-policy/tls/brokers-ca.pem"
    } else {
        ""
    };
    let port = plan.url.port;
    let more = if tls.is_empty() { "" } else { " \\" };
    writeln!(
        text,
        "EMQX {} calls {}.HookProvider.

1. Run the provider, as a user of its own, and before the broker starts.

   exhook-policy serve --policy {policy} --listen {listen}:{port}{more}{tls}

   Its user must be able to read the policy and the files that it names, password files too, and to write to
   the folder of the history database.",
        plan.version,
        plan.package.name(),
    )?;
    if !plan.url.tls && !plan.url.is_local() {
        writeln!(
            text,
            "
   WARNING: passwords go to {} in the clear, and whoever can reach that port can ask the policy. Use https, or
   see to it that nobody else is on the way.",
            plan.url.host
        )?;
    }
    Ok(())
}

fn write_plugin(text: &mut String, plan: &ServerPlan<'_>) -> fmt::Result {
    let (url, timeout) = (plan.url, plan.timeout());
    writeln!(
        text,
        "
2. Tell the broker where it is. etc/plugins/emqx_exhook.conf:

exhook.server.default.url = {url}"
    )?;
    if url.tls {
        writeln!(
            text,
            "exhook.server.default.ssl.cacertfile = /etc/emqx/certs/exhook-policy-ca.pem
exhook.server.default.ssl.certfile = /etc/emqx/certs/broker.pem
exhook.server.default.ssl.keyfile = /etc/emqx/certs/broker.key"
        )?;
    }
    let closes = plan.version.has(Fact::FailsClosed);
    if closes != Has::No {
        writeln!(
            text,
            "exhook.request_failed_action = {}
exhook.request_timeout = {timeout}s
exhook.auto_reconnect = {AUTO_RECONNECT}",
            plan.failed_action()
        )?;
    }
    if plan.version.has(Fact::PoolSize) == Has::Yes {
        writeln!(text, "exhook.pool_size = {POOL_SIZE}")?;
    }
    writeln!(text, "\n   emqx_ctl plugins load emqx_exhook\n   emqx_ctl exhook server list")?;
    if plan.is_audit() && closes != Has::No {
        writeln!(text, "\n   With `mode: enforce`, write exhook.request_failed_action = deny.")?;
    }
    match closes {
        Has::Yes => {}
        Has::From(from) => writeln!(
            text,
            "
   Before {from}, the broker does not start with the last three settings. Without them it takes an error and a
   time-out for no opinion, and never asks a provider that was not there when it started: use {from} or later."
        )?,
        Has::No => writeln!(
            text,
            "
   WARNING: EMQX {} takes an error and a time-out for no opinion, and never asks a provider that was not there
   when it started. {} was the first to have settings against that.",
            plan.version,
            plan.first_with(Fact::FailsClosed)
        )?,
    }
    if url.tls { write_tls(text, plan) } else { Ok(()) }
}

fn write_server(text: &mut String, plan: &ServerPlan<'_>) -> fmt::Result {
    let (url, timeout, service, failed_action) = (plan.url, plan.timeout(), plan.service, plan.failed_action());
    let ssl = if url.tls {
        "
      ssl {
        enable = true
        verify = verify_peer
        cacertfile = \"/etc/emqx/certs/exhook-policy-ca.pem\"
        certfile = \"/etc/emqx/certs/broker.pem\"
        keyfile = \"/etc/emqx/certs/broker.key\"
      }"
    } else {
        ""
    };
    writeln!(
        text,
        "
2. Tell the broker where it is. etc/emqx.conf:

exhook {{
  servers = [
    {{
      name = {NAME}
      enable = true
      url = \"{url}\"
      request_timeout = {timeout}s
      failed_action = {failed_action}
      auto_reconnect = {AUTO_RECONNECT}
      pool_size = {POOL_SIZE}{ssl}
    }}
  ]
}}

   It counts from the next start: systemctl restart {service}"
    )?;
    if plan.is_audit() {
        writeln!(text, "   With `mode: enforce`, write failed_action = deny.")?;
    }
    match plan.version.has(Fact::ClusterHocon) {
        Has::Yes => writeln!(
            text,
            "   What is changed in the dashboard counts until then: emqx.conf comes before data/configs/cluster.hocon.
   Where data/configs/cluster-override.conf exists, from an older release, that comes before emqx.conf."
        ),
        Has::From(_) | Has::No => writeln!(
            text,
            "   What is changed in the dashboard comes before it: look into data/configs/cluster-override.conf and
   local-override.conf for `exhook`, `authorization` and `authentication`."
        ),
    }?;
    if url.tls { write_tls(text, plan) } else { Ok(()) }
}

fn write_tls(text: &mut String, plan: &ServerPlan<'_>) -> fmt::Result {
    writeln!(
        text,
        "
   cacertfile has signed the provider's certificate. certfile and keyfile are the broker's own, and signed by
   what the provider's --client-ca names."
    )?;
    let without = "takes no notice of `verify`, and may not look at the provider's certificate at all";
    match plan.version.has(Fact::VerifiesProvider) {
        Has::Yes => Ok(()),
        Has::From(from) => writeln!(text, "   Before {from}, the broker {without}."),
        Has::No if plan.has_plugin() => {
            writeln!(text, "   EMQX {} has no `verify`, and may not look at the provider's certificate.", plan.version)
        }
        Has::No => writeln!(text, "   EMQX {} {without}.", plan.version),
    }
}

/// What the broker's log has of a call that fails.
fn write_failed_calls(text: &mut String, plan: &ServerPlan<'_>) -> fmt::Result {
    let password = match plan.package {
        Package::V1 | Package::V2 => "with the password in clear\n   (measured on 4.4.19 and 5.8.8)",
        Package::V3 => "with the password hidden\n   only in part (measured on 5.10.3)",
    };
    writeln!(
        text,
        "
   If a call fails or times out, the broker logs the whole of it, at level error, {password}.
   So let only administrators read the broker's log, wherever it is sent."
    )
}

/// When the broker asks the provider what it wants to be asked.
fn write_loading(text: &mut String, plan: &ServerPlan<'_>) -> fmt::Result {
    writeln!(
        text,
        "
   The broker asks nothing until it has loaded the provider, which it tries at its start and every {AUTO_RECONNECT}."
    )?;
    match plan.version.has(Fact::LoadsAgain) {
        Has::Yes => writeln!(
            text,
            "   It loads the provider again by itself if that was away for more than about 10 s, and not after a quick restart."
        )?,
        Has::No | Has::From(_) => writeln!(text, "   It does so once, and not again after a restart of the provider.")?,
    }
    let again = if plan.has_plugin() {
        "emqx_ctl exhook server disable default && emqx_ctl exhook server enable default"
    } else {
        "disable and enable it on the dashboard's page of ExHook, or by PUT /api/v5/exhooks/policy (`enable` false, then true)"
    };
    writeln!(
        text,
        "   When the policy gained or lost a section (`auth`, `acl`, `history`), or changed its `mode`, load the provider again:
   {again}
   `exhook-policy status` names the brokers that need it."
    )
}

/// What the broker does before it asks, and where it does not ask.
fn write_rest(text: &mut String, plan: &ServerPlan<'_>) -> fmt::Result {
    writeln!(
        text,
        "
3. Let nothing of the broker decide before the policy, and refuse while there is none. etc/emqx.conf too.
   Where the file has these sections already, these take their place."
    )?;
    match plan.policy.map(|(decides, _)| decides.mode) {
        Some(Mode::Enforce) => writeln!(text, "   Apply this together with step 2."),
        Some(Mode::Audit) => writeln!(
            text,
            "   This is for audit mode, in which the provider has no opinion and the broker's own settings decide."
        ),
        None => writeln!(
            text,
            "   Apply what belongs to the sections that the policy has (`auth`: logins, `acl`: topics), and only when it
   is in enforce mode."
        ),
    }?;
    if plan.topics() != AnsweredShare::None {
        write_topics(text, plan)?;
    }
    if plan.logins() != AnsweredShare::None {
        write_logins(text, plan)?;
        if plan.is_open_at_boot() {
            boot::write(text, plan.version)?;
        }
    }
    Ok(())
}

fn write_topics(text: &mut String, plan: &ServerPlan<'_>) -> fmt::Result {
    let (no_match, sources) = if plan.is_audit() { ("allow", "") } else { ("deny", "\n  sources = []") };
    writeln!(
        text,
        "
authorization {{
  no_match = {no_match}
  deny_action = ignore{sources}
  cache {{
    enable = true
    ttl = 1m
  }}
}}

   A rule of the broker's own sources that matches comes before the policy, and acl.conf, as it is delivered,
   matches everything: with it, the policy is asked about no topic."
    )?;
    if plan.is_audit() {
        writeln!(
            text,
            "   So take the last line out of etc/acl.conf; `no_match` answers as it did:

{{allow, all}}.

   The delivered file has another line that decides before the policy, for clients on the broker's own machine. Without
   it the file refuses them `#` and `$SYS/#`, as it refuses them to all others:

{{allow, {{ipaddr, \"127.0.0.1\"}}, all, [\"$SYS/#\", \"#\"]}}.

   With `mode: enforce`, write no_match = deny and sources = []."
        )?;
    } else {
        writeln!(text, "   Hence no sources.")?;
    }
    writeln!(
        text,
        "   An answer is kept for a client's topic for as long as `ttl` says: a rule that changed counts that much later.
   So is a refusal because the provider was away: once it is back, a client may be refused for as long again (seen
   on 5.8.8)."
    )?;
    if plan.topics() == AnsweredShare::Some && !plan.is_audit() {
        writeln!(text, "   This policy leaves some topics to the broker (`ignore`): they are answered with no_match.")?;
    }
    match plan.version.has(Fact::AsksAfterSources) {
        Has::Yes => Ok(()),
        Has::From(from) => {
            writeln!(text, "   Before {from}, the broker asks no provider about topics: `acl` is without effect there.")
        }
        Has::No => writeln!(
            text,
            "   WARNING: EMQX {} asks no provider about topics, and the policy's `acl` is without effect: no_match
   answers all of them. {} was the first to ask.",
            plan.version,
            plan.first_with(Fact::AsksAfterSources)
        ),
    }
}

fn write_logins(text: &mut String, plan: &ServerPlan<'_>) -> fmt::Result {
    let lets_in = plan.version.has(Fact::IgnoreLetsIn) == Has::Yes;
    if plan.is_audit() {
        writeln!(
            text,
            "
   Logins: an authenticator of the broker comes before the policy. The policy is not asked about the clients that the
   authenticator knows. Without any, everyone gets in while the policy is in audit mode. Run this command again for
   `mode: enforce`."
        )?;
        if lets_in {
            return Ok(());
        }
        return writeln!(
            text,
            "   EMQX {} does not ask the policy about logins in audit mode, since it would take \"no opinion\" for a refusal: no
   login is recorded as denied. With `mode: enforce`, load the provider again.",
            plan.version
        );
    }
    let after = plan.version.has(Fact::AsksAfterAuthenticators);
    if after == Has::No {
        return writeln!(
            text,
            "
   Logins: have no `authentication`, neither in general nor of a listener. EMQX {} asks no provider about a login
   once an authenticator is configured. So everyone gets in until the provider is loaded; {} was the first
   that can be closed.",
            plan.version,
            plan.first_with(Fact::AsksAfterAuthenticators)
        );
    }
    writeln!(
        text,
        "
authentication = [
  {{
    enable = true
    mechanism = scram
    backend = built_in_database
  }}
]

   An authenticator that knows a client comes before the policy, which is then not asked; without any, everyone
   gets in while the provider is not loaded. This one knows nobody, since its database has no users and only MQTT 5
   clients that choose SCRAM ask it. What none knows is refused, unless the policy lets it in.
   A listener must have neither `authentication` of its own nor `enable_authn = false`."
    )?;
    if let Has::From(from) = after {
        writeln!(text, "   Before {from} it shuts everyone out: no provider is asked once there is an authenticator.")?;
    }
    if plan.version.has(Fact::SecurityProfile) != Has::No {
        writeln!(
            text,
            "   From 6.2.1 on, EMQX_SECURITY_PROFILE=hardened in the broker's environment refuses them too."
        )?;
    }
    if plan.logins() == AnsweredShare::Some {
        let but = if lets_in { "; without any authenticator they get in" } else { "" };
        writeln!(text, "   This policy leaves some logins to the broker (`ignore`): they are refused{but}.")?;
    }
    Ok(())
}
