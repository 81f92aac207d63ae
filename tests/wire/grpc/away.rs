//! What a broker may have told while it was out of reach.

use super::broker::{ALLOWED, Broker};
use super::dialect;
use super::server::{Place, RULES};
use super::story::Call::{Connected, Publish};
use super::story::client;
use crate::support::history::Kept as _;
use crate::support::wait::until_async;

/// Waits until the history says this of who is online.
async fn wait_for_online(place: &Place, expected: &[&str], dialect: &str) {
    let online = || place.rows("SELECT clientid, unsure FROM online ORDER BY id");
    until_async(async || online() == expected, || format!("{dialect}: {:?}, not {expected:?}", online())).await;
}

#[tokio::test]
async fn who_is_online_is_unsure_once_the_last_connection_of_the_broker_is_gone() {
    for dialect in dialect::all() {
        let place = Place::new(RULES);
        let server = place.serve();
        let (one, other) = (Broker::at(dialect, server.address), Broker::at(dialect, server.address));
        one.call(Connected(client("dev-1"))).await;
        other.call(Connected(client("dev-2"))).await;
        drop(one);
        other.call(Connected(client("dev-3"))).await;
        let three = [r#""dev-1" 0"#, r#""dev-2" 0"#, r#""dev-3" 0"#];
        wait_for_online(&place, &three, dialect.name).await;
        drop(other);
        wait_for_online(&place, &[r#""dev-1" 1"#, r#""dev-2" 1"#, r#""dev-3" 1"#], dialect.name).await;

        let again = Broker::at(dialect, server.address);
        assert_eq!(again.call(Publish(client("dev-2"), "up/dev-2/t")).await, ALLOWED);
        again.call(Connected(client("dev-4"))).await;
        let now = [r#""dev-1" 1"#, r#""dev-2" 0"#, r#""dev-3" 1"#, r#""dev-4" 0"#];
        wait_for_online(&place, &now, dialect.name).await;
    }
}
