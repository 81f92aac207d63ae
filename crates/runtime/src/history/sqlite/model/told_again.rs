//! Stories that were told wrong once, in the form that a failure prints.

use super::replay;
use super::story::{After, BrokerFamily, BrokerStory, Deed, Fate, Route};

const HERE: Route = Route { node: 0, host: 0, listener: 0 };

fn connects(route: Route, clean: bool) -> Deed {
    Deed::Connect { client: 0, route, clean, swapped: false, begin: Fate::Told, ends: Fate::Told, late: 0 }
}

fn ends() -> Deed {
    Deed::End { client: 0, kicked: false, keeps: false, fate: Fate::Told, late: 0 }
}

fn tell(family: BrokerFamily, deeds: Vec<After>) {
    replay(&BrokerStory { family, two_servers: false, deeds });
}

#[test]
fn a_client_that_was_one_end_behind_is_not_online_for_good() {
    for pause in [100, 900, 3_000, 8_000] {
        let storm = Deed::Storm { client: 0, route: HERE, count: 4, winner: 1 };
        let mut deeds = vec![After(10, storm), After(pause, ends())];
        for _ in 0..3 {
            deeds.extend([After(pause, connects(HERE, true)), After(pause, ends())]);
        }
        tell(BrokerFamily::Driver, deeds);
    }
}

#[test]
fn an_end_that_a_killed_driver_missed_is_not_made_up_for_by_the_next() {
    for at_once in [true, false] {
        let deeds = vec![
            After(10, connects(HERE, true)),
            After(500, Deed::Silence { node: 0, at_once }),
            After(500, ends()),
            After(500, Deed::Resume { node: 0 }),
            After(500, connects(HERE, true)),
            After(3_000, ends()),
        ];
        tell(BrokerFamily::Driver, deeds);
    }
}

#[test]
fn a_young_connection_is_taken_over_as_an_older_one() {
    for age in [60, 500, 1_900, 2_100, 9_000] {
        let deeds = vec![
            After(10_000, connects(HERE, true)),
            After(age, connects(HERE, true)),
            After(age, connects(HERE, true)),
            After(3_000, ends()),
        ];
        tell(BrokerFamily::Session, deeds);
    }
}

#[test]
fn an_end_that_tells_another_place_is_of_another_connection() {
    let elsewhere = [(1, 0, 0), (0, 1, 0), (0, 0, 1)];
    for (node, host, listener) in elsewhere {
        let route = Route { node, host, listener };
        let late = Deed::Overlap { client: 0, route, late: 40_000 };
        for family in [BrokerFamily::Session, BrokerFamily::Both] {
            tell(family, vec![After(10, connects(HERE, true)), After(200, late)]);
        }
    }
}

#[test]
fn a_silent_broker_that_stops_was_there_until_it_stopped() {
    for at_once in [true, false] {
        let stop = Deed::Stop { node: 0, at_once };
        let deeds = vec![After(10, connects(HERE, true)), After(45_000, stop), After(5_000, Deed::Start { node: 0 })];
        tell(BrokerFamily::Ports, deeds);
        // The server is killed first, and its successor comes after the broker's.
        let deeds = vec![
            After(10, connects(HERE, true)),
            After(45_000, Deed::Silence { node: 0, at_once }),
            After(1_000, stop),
            After(5_000, Deed::Start { node: 0 }),
            After(5_000, Deed::Resume { node: 0 }),
        ];
        tell(BrokerFamily::Ports, deeds);
    }
}

#[test]
fn nobody_is_online_for_sure_while_nobody_records() {
    for family in [BrokerFamily::Driver, BrokerFamily::Session, BrokerFamily::Both, BrokerFamily::Ports] {
        for at_once in [true, false] {
            let silence = Deed::Silence { node: 0, at_once };
            tell(family, vec![After(10, connects(HERE, true)), After(500, silence), After(500, ends())]);
        }
    }
}

#[test]
fn a_list_closes_who_is_thought_to_be_there() {
    let lost = Deed::End { client: 0, kicked: false, keeps: false, fate: Fate::Lost, late: 0 };
    for family in [BrokerFamily::Driver, BrokerFamily::Session, BrokerFamily::Both, BrokerFamily::Ports] {
        tell(family, vec![After(10, connects(HERE, true)), After(500, lost)]);
    }
}

#[test]
fn an_end_that_comes_before_its_beginning_leaves_it_unsure() {
    let late = Deed::Connect {
        client: 0,
        route: HERE,
        clean: true,
        swapped: false,
        begin: Fate::Told,
        ends: Fate::Told,
        late: 5_000,
    };
    tell(BrokerFamily::Ports, vec![After(10, late), After(500, ends())]);
}
