//! One login that the policy refuses, at the broker itself.

use std::time::Duration;

use super::Finding;
use crate::mqtt::{LoginResult, MqttConnection, MqttLogin, MqttRefusal, MqttVersion, resolve};
use exhook_policy_core::decision::{Mode, Verdict};
use exhook_policy_core::event::{Client, Extra, Peerhost};
use exhook_policy_core::policy::lists::Lists;
use exhook_policy_core::policy::{Found, Policy};
use exhook_policy_runtime::clock::now_ms;

/// Logs in under a made-up name, with a wrong password, which the broker must refuse.
pub fn probe(broker: &str, patience: Duration, policy: Option<(&Policy, &Lists)>) -> Finding {
    let about = format!("a login at {broker}");
    let name = match nobody() {
        Ok(name) => name,
        Err(error) => return Finding::unseen(about, format!("no name could be made up: {error}")),
    };
    if let Some((policy, lists)) = policy {
        if policy.mode() == Mode::Audit {
            return Finding::fine(about, "not tried: the policy is in audit mode and refuses nobody");
        }
        if !refuses(policy, lists, &name) {
            return Finding::fine(about, "not tried: the policy does not refuse a stranger");
        }
    }
    let login = MqttLogin { clientid: &name, username: &name, password: &name };
    let answer =
        resolve(broker).and_then(|addresses| MqttConnection::login(&addresses, MqttVersion::V3, login, patience));
    match answer {
        Ok(LoginResult::In(connection)) => {
            connection.disconnect();
            let message = format!(
                "a client of an unknown name, {name}, gets in with a password that nobody gave it: the policy is not enforced"
            );
            Finding::problem(about, message)
                .fix("emqx_ctl plugins list          # are emqx_extension_hook or emqx_exhook active?")
                .fix("from EMQX 5 on, the dashboard's page of ExHook says whether the provider is connected")
                .fix("the broker's log says why a plugin or a driver did not start")
        }
        Ok(LoginResult::Refused(refusal @ MqttRefusal::NotAuthorized(_))) => {
            Finding::fine(about, format!("a client of an unknown name is refused: {refusal}"))
        }
        Ok(LoginResult::Refused(refusal @ (MqttRefusal::Other(_) | MqttRefusal::Closed))) => {
            Finding::unseen(about, format!("it was refused, but not for its name: {refusal}"))
        }
        Err(error) => Finding::unseen(about, error.to_string()),
    }
}

/// A name that no client has.
fn nobody() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    Ok(format!("exhook-policy-doctor-{:016x}", u64::from_ne_bytes(bytes)))
}

fn refuses(policy: &Policy, lists: &Lists, name: &str) -> bool {
    let client = Client {
        clientid: name,
        username: name,
        peerhost: Peerhost::parse("127.0.0.1"),
        sockport: 1883,
        protocol: "mqtt",
        mountpoint: "",
        node: "",
        is_superuser: false,
        anonymous: false,
        extra: Extra { at: Some(now_ms()), ..Extra::NONE },
    };
    policy.login(&client, lists, |_| Found::Unknown).verdict == Verdict::Deny
}
