//! Which hooks brokers registered, over restarts of the server and changes of the policy.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rustix::process::Signal;

use super::broker::{ALLOWED, Broker, Taken};
use super::dialect::{Dialect, named};
use super::server::Place;
use super::story::Call::{Authenticate, Publish};
use super::story::client;
use crate::support::wait::until_async;

const LOGINS: &str = "version: 1\nauth: { rules: [{ id: all, allow: everyone }] }\n";
const TOPICS: &str = "version: 1\nacl: { default: allow }\n";
const BOTH: &str = "version: 1\nauth: { rules: [{ id: all, allow: everyone }] }\nacl: { default: allow }\n";

/// One of each way to call: without a name, and with one in each package.
fn brokers() -> [&'static Dialect; 4] {
    ["v1b", "v1d", "v2b", "v3"].map(named)
}

/// How the server knows the broker.
fn name(dialect: &Dialect) -> &'static str {
    // These do not say their name when they load the provider.
    let is_nameless = ["v1a", "v1b"].contains(&dialect.name);
    if is_nameless { "the broker at 127.0.0.1" } else { "node=\"emqx@10.0.0.1\" cluster=\"emqxcl\"" }
}

/// What makes it load the provider again.
fn mend(dialect: &Dialect) -> &'static str {
    if dialect.name.starts_with("v1") {
        "emqx_ctl exhook server disable NAME && emqx_ctl exhook server enable NAME"
    } else {
        "disable and enable the server on the page of ExHook in the broker's dashboard, or by two requests \
         `PUT /api/v5/exhooks/NAME`, one with `enable` false and one with `enable` true"
    }
}

fn missing(dialect: &Dialect, seen: &str, hook: &str) -> String {
    format!(
        "{}{seen} did not register {hook}, which the policy needs now, and does not call it until: {}",
        name(dialect),
        mend(dialect)
    )
}

fn unknown(dialect: &Dialect) -> String {
    format!(
        "it is not known which hooks {} registered: there is no valid record of them. What the broker does not call, the policy \
         does not decide, until: {}",
        name(dialect),
        mend(dialect)
    )
}

const LOST: &str = "it is not known which hooks a broker that loaded the provider before this start of the server registered: \
     there is no valid record of them. What the broker does not call, the policy does not decide, until: disable and enable \
     this server in the broker";

const UNHEARD: &str = " (as last seen at TIME; it has not called since this start of the server)";

/// Waits until `status` says that this is wrong, and nothing else. A time in it is `TIME`.
async fn wait_for_status(place: &Place, expected: &[&str]) {
    let is_met = |(code, said): (i32, String)| {
        let wrong = said.lines().filter_map(|line| line.strip_prefix("  WRONG     ")).map(|line| {
            line.split_once(" last seen at ").map_or(line.to_owned(), |(before, rest)| {
                format!("{before} last seen at TIME;{}", rest.split_once(';').unwrap().1)
            })
        });
        wrong.eq(expected.iter().copied()) && code == i32::from(!expected.is_empty())
    };
    until_async(async || is_met(place.status()), || format!("{:?} is not {expected:?}", place.status())).await;
}

/// The file in which it is written down.
fn record(place: &Place) -> PathBuf {
    let files = place.files().into_iter().map(|(path, _)| path);
    let mut records = files.filter(|path| path.extension().is_some_and(|ending| ending == "brokers"));
    records.next().unwrap()
}

async fn log_in(broker: &Broker) -> Taken {
    broker.call(Authenticate(client("dev-1"), b"")).await
}

#[tokio::test]
async fn a_section_gained_while_the_server_was_down_is_reported() {
    for dialect in brokers() {
        let place = Place::new(TOPICS);
        let server = place.serve();
        let broker = Broker::at(dialect, server.address);
        broker.load().await.unwrap();
        assert_eq!(broker.call(Publish(client("dev-1"), "t")).await, ALLOWED);
        wait_for_status(&place, &[]).await;
        server.end().await;
        drop(broker);

        fs::write(place.path("rules.yaml"), BOTH).unwrap();
        let mut server = place.serve();
        // Before the broker calls, since a login is what it does not call.
        server.wait_for_line("NOT IN FORCE: ");
        wait_for_status(&place, &[&missing(dialect, UNHEARD, "client.authenticate")]).await;
        let broker = Broker::at(dialect, server.address);
        assert_eq!(broker.call(Publish(client("dev-1"), "t")).await, ALLOWED);
        let expected = missing(dialect, "", "client.authenticate");
        server.wait_for_line(&format!("NOT IN FORCE: {expected}"));
        wait_for_status(&place, &[&expected]).await;
        broker.load().await.unwrap();
        assert_eq!(log_in(&broker).await, ALLOWED);
        wait_for_status(&place, &[]).await;
        assert_eq!(server.end().await.matches("NOT IN FORCE: ").count(), 2, "{}", dialect.name);
    }
}

#[tokio::test]
async fn a_section_gained_after_the_server_restarted_is_reported() {
    for dialect in brokers() {
        let place = Place::new(LOGINS);
        let mut server = place.serve();
        Broker::at(dialect, server.address).load().await.unwrap();
        // It is written down before the process is killed.
        wait_for_status(&place, &[]).await;
        let is_there =
            || place.files().iter().any(|(path, _)| path.extension().is_some_and(|ending| ending == "brokers"));
        until_async(async || is_there(), || "there is no record".to_owned()).await;
        server.signal(Signal::KILL);
        server.wait().await;

        let mut server = place.serve();
        let broker = Broker::at(dialect, server.address);
        assert_eq!(log_in(&broker).await, ALLOWED);
        fs::write(place.path("rules.yaml"), BOTH).unwrap();
        let expected = missing(dialect, "", "client.check_acl");
        server.wait_for_line(&format!("NOT IN FORCE: {expected}"));
        let (code, said) = place.status();
        assert!(code == 1 && said.contains(&expected), "{said}");
    }
}

#[tokio::test]
async fn a_lost_auth_section_is_reported_where_ignore_refuses() {
    for (dialect, refuses) in [(named("v1d"), false), (named("v2a"), true), (named("v2b"), true), (named("v3"), false)]
    {
        let place = Place::new(BOTH);
        let mut server = place.serve();
        let broker = Broker::at(dialect, server.address);
        broker.load().await.unwrap();
        assert_eq!(log_in(&broker).await, ALLOWED);
        fs::write(place.path("rules.yaml"), TOPICS).unwrap();
        server.wait_for_line("the policy has no `auth` any more, and leaves logins to the brokers' own settings");
        assert_eq!(log_in(&broker).await, Taken::Ignored);
        let expected = format!(
            "{} calls client.authenticate, which the policy does not decide, as it has no such section: the broker refuses every \
             login that none of its own authenticators lets in, until: {}",
            name(dialect),
            mend(dialect)
        );
        if !refuses {
            wait_for_status(&place, &[]).await;
            assert!(!server.end().await.contains("REFUSED: "), "{}", dialect.name);
            continue;
        }
        server.wait_for_line(&format!("REFUSED: {expected}"));
        wait_for_status(&place, &[&expected]).await;
        server.end().await;
        drop(broker);

        let mut server = place.serve();
        let broker = Broker::at(dialect, server.address);
        assert_eq!(log_in(&broker).await, Taken::Ignored);
        server.wait_for_line(&format!("REFUSED: {expected}"));
        wait_for_status(&place, &[&expected]).await;
        broker.load().await.unwrap();
        wait_for_status(&place, &[]).await;
    }
}

#[tokio::test]
async fn a_broker_without_a_record_is_never_shown_as_fine() {
    for dialect in brokers() {
        let place = Place::new(&format!("{BOTH}metrics: {{ file: page.prom, every: 1s }}\n"));
        let mut server = place.serve();
        let broker = Broker::at(dialect, server.address);
        // It calls all that the policy needs, as far as can be seen.
        assert_eq!(log_in(&broker).await, ALLOWED);
        assert_eq!(broker.call(Publish(client("dev-1"), "t")).await, ALLOWED);
        let expected = unknown(dialect);
        server.wait_for_line(&format!("NOT KNOWN: {expected}"));
        wait_for_status(&place, &[&expected]).await;
        place.wait_for_metric("exhook_policy_hooks_mistold 1").await;
        broker.load().await.unwrap();
        wait_for_status(&place, &[]).await;
        place.wait_for_metric("exhook_policy_hooks_mistold 0").await;
        assert_eq!(server.end().await.matches("NOT KNOWN: ").count(), 1, "{}", dialect.name);
    }
}

/// More of them than there are places for brokers.
#[tokio::test]
async fn names_made_up_on_one_connection_take_few_places() {
    let place = Place::new(TOPICS);
    let mut server = place.serve();
    let dialect = named("v2b");
    let real = Broker::at(dialect, server.address);
    real.load().await.unwrap();
    drop(real);
    let crowd = Broker::at(dialect, server.address);
    for number in 0..1_100 {
        assert!(!crowd.load_as(&format!("n{number}")).await.unwrap().is_empty());
    }
    server.wait_for_line(
        "a connection from 127.0.0.1 has calls of more than 32 brokers: those of the others are answered, and \
         `exhook-policy status` does not show which hooks the others lack",
    );
    fs::write(place.path("rules.yaml"), BOTH).unwrap();
    server.wait_for_line("NOT IN FORCE: node=\"n31\" cluster=\"emqxcl\" did not register client.authenticate");
    drop(crowd);
    wait_for_status(&place, &[]).await;
    // The record of the broker that was away is kept.
    let real = Broker::at(dialect, server.address);
    assert_eq!(real.call(Publish(client("dev-1"), "t")).await, ALLOWED);
    wait_for_status(&place, &[&missing(dialect, "", "client.authenticate")]).await;
    let said = server.end().await;
    assert_eq!(said.matches("NOT IN FORCE: ").count(), 33, "{said}");
    assert!(!said.contains("NOT KNOWN"), "{said}");
}

#[tokio::test]
async fn a_broker_that_was_upgraded_is_unknown_until_it_loads() {
    let place = Place::new(BOTH);
    let mut server = place.serve();
    let broker = Broker::at(named("v2a"), server.address);
    broker.load().await.unwrap();
    wait_for_status(&place, &[]).await;
    drop(broker);
    let (before, upgraded) = (server.address, Broker::at(named("v2b"), server.address));
    // Once the connection of the one before is closed.
    let is_unknown = async || {
        let again = Broker::at(named("v2b"), before);
        assert_eq!(log_in(&again).await, ALLOWED);
        server.console().contains("NOT KNOWN: ")
    };
    until_async(is_unknown, || server.console()).await;
    assert_eq!(log_in(&upgraded).await, ALLOWED);
    server.wait_for_line(&format!("NOT KNOWN: {}", unknown(named("v2b"))));
    upgraded.load().await.unwrap();
    wait_for_status(&place, &[]).await;
}

#[tokio::test]
async fn a_record_that_is_not_to_be_believed_is_ignored_and_replaced() {
    let place = Place::new(BOTH);
    let dialect = named("v2b");
    let server = place.serve();
    Broker::at(dialect, server.address).load().await.unwrap();
    server.end().await;
    let file = record(&place);
    let mode = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    let damages: [(&dyn Fn(), &str); 4] = [
        (&|| fs::write(&file, "{\"version\":1,\"brok").unwrap(), "it cannot be read: EOF while parsing a string"),
        (
            &|| fs::write(&file, "{\"version\":2,\"brokers\":[]}").unwrap(),
            "it cannot be read: its form is 2, and not 1",
        ),
        (&|| fs::write(&file, vec![b' '; 17 << 20]).unwrap(), "it has more than 16777216 bytes"),
        (&|| mode(0o666), "it is not trusted: "),
    ];
    for (damage, why) in damages {
        damage();
        let mut server = place.serve();
        let said = server.console();
        let line = said.lines().find(|line| line.contains("the record of the brokers' hooks in ")).unwrap();
        assert!(line.contains(&format!(" is not used: {why}")), "{line}");
        // Before a broker calls.
        wait_for_status(&place, &[LOST]).await;
        let broker = Broker::at(dialect, server.address);
        assert_eq!(log_in(&broker).await, ALLOWED);
        server.wait_for_line(&format!("NOT KNOWN: {}", unknown(dialect)));
        wait_for_status(&place, &[&unknown(dialect)]).await;
        broker.load().await.unwrap();
        server.end().await;
        drop(broker);

        let server = place.serve();
        assert_eq!(log_in(&Broker::at(dialect, server.address)).await, ALLOWED);
        wait_for_status(&place, &[]).await;
        let said = server.end().await;
        assert!(!said.contains("is not used") && !said.contains("NOT KNOWN"), "{said}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
