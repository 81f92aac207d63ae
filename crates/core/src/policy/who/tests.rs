use std::sync::Arc;

use super::Holds::{self, CannotTell, No, Yes};
use super::*;
use crate::event::Extra;
use crate::policy::lists::{List, Uses};
use crate::policy::model::{FlagField, HostField, ListId, PortField, TextField};
use crate::text::{Matcher, Template};

#[test]
fn three_values_follow_kleene() {
    for (a, b, all, any) in [
        (No, No, No, No),
        (No, CannotTell, No, CannotTell),
        (No, Yes, No, Yes),
        (CannotTell, CannotTell, CannotTell, CannotTell),
        (CannotTell, Yes, CannotTell, Yes),
        (Yes, Yes, Yes, Yes),
    ] {
        for (a, b) in [(a, b), (b, a)] {
            assert_eq!(Holds::all([a, b]), all, "{a:?} and {b:?}");
            assert_eq!(Holds::any([a, b]), any, "{a:?} or {b:?}");
        }
    }
    assert_eq!([No, CannotTell, Yes].map(Holds::negated), [Yes, CannotTell, No]);
    assert_eq!((Holds::all([]), Holds::any([])), (Yes, No));
}

#[test]
fn what_is_settled_is_not_asked_on() {
    let counted = |values: [Holds; 3], of: fn(&mut dyn Iterator<Item = Holds>) -> Holds| {
        let mut asked = 0;
        of(&mut values.into_iter().inspect(|_| asked += 1));
        asked
    };
    assert_eq!(counted([No, Yes, Yes], |each| Holds::all(each)), 1);
    assert_eq!(counted([CannotTell, No, Yes], |each| Holds::all(each)), 2);
    assert_eq!(counted([Yes, No, No], |each| Holds::any(each)), 1);
    assert_eq!(counted([CannotTell, No, Yes], |each| Holds::any(each)), 3);
}

const FLEET: ListId = ListId(0);
const OFFICES: ListId = ListId(1);
const GONE: ListId = ListId(2);

fn lists() -> Lists {
    let uses = |text| Uses { text, networks: !text };
    let fleet = List::build(uses(true), [(1, "dev-1"), (2, "u"), (3, "")]).unwrap();
    let offices = List::build(uses(false), [(1, "10.0.0.0/8"), (2, "2001:db8::/32")]).unwrap();
    Lists::new(vec![Some(Arc::new(fleet)), Some(Arc::new(offices)), None])
}

fn client() -> Client<'static> {
    Client {
        clientid: "dev-1",
        username: "u",
        peerhost: Peerhost::parse("10.1.2.3"),
        sockport: 1883,
        protocol: "mqtt",
        mountpoint: "",
        node: "emqx@127.0.0.1",
        is_superuser: false,
        anonymous: true,
        extra: Extra::NONE,
    }
}

#[track_caller]
fn check(condition: &Condition, client: &Client<'_>, expected: Holds) {
    assert_eq!(condition.holds(client, &lists()), expected, "{condition:?} of {client:?}");
}

fn equals(text: &str) -> TextCondition {
    TextCondition::Equals(Template::parse(text).unwrap())
}

fn not(condition: TextCondition) -> TextCondition {
    TextCondition::Not(Box::new(condition))
}

fn clientid(condition: TextCondition) -> Condition {
    Condition::Text(TextField::Clientid, condition)
}

fn username(condition: TextCondition) -> Condition {
    Condition::Text(TextField::Username, condition)
}

#[test]
fn texts() {
    use TextCondition::{Any, In, Matches};
    let known = client();
    let nameless = Client { username: "", ..known };
    check(&clientid(equals("dev-1")), &known, Yes);
    check(&clientid(equals("dev-2")), &known, No);
    check(&clientid(equals("${username}")), &known, No);
    check(&clientid(equals("${username}")), &Client { clientid: "u", ..known }, Yes);
    check(&username(equals("${username}")), &nameless, No);
    check(&username(equals("")), &nameless, Yes);
    check(&username(not(equals("root"))), &nameless, Yes);
    check(&clientid(Matches(Matcher::glob("dev-*").unwrap())), &known, Yes);
    check(&clientid(Matches(Matcher::regex("dev").unwrap())), &known, No);
    check(&clientid(In(FLEET)), &known, Yes);
    check(&clientid(In(FLEET)), &Client { clientid: "DEV-1", ..known }, No);
    check(&username(In(FLEET)), &nameless, Yes);
    check(&clientid(In(GONE)), &known, CannotTell);
    check(&clientid(not(In(GONE))), &known, CannotTell);
    check(&clientid(not(not(In(FLEET)))), &known, Yes);
    check(&clientid(Any(vec![In(GONE), equals("dev-1")])), &known, Yes);
    check(&clientid(Any(vec![In(GONE), equals("dev-2")])), &known, CannotTell);
    check(&clientid(not(Any(vec![In(GONE), equals("dev-1")]))), &known, No);
    check(&clientid(Any(vec![])), &known, No);
    check(&Condition::Text(TextField::Node, equals("emqx@127.0.0.1")), &known, Yes);
    check(&Condition::Text(TextField::Protocol, equals("mqtt")), &known, Yes);
    check(&Condition::Text(TextField::Mountpoint, equals("")), &known, Yes);
    check(
        &Condition::Text(TextField::Mountpoint, equals("${clientid}/")),
        &Client { mountpoint: "dev-1/", ..known },
        Yes,
    );
}

#[test]
fn places_ports_and_flags() {
    use HostCondition::{Address, Any, In, Matches, Network, Not};
    let at = |peer| Client { peerhost: Peerhost::parse(peer), ..client() };
    let host = |condition: HostCondition, peer, expected| {
        check(&Condition::Host(HostField::Peerhost, condition), &at(peer), expected);
    };
    let ten = || Network("10.0.0.0/8".parse().unwrap());
    host(Address("10.1.2.3".parse().unwrap()), "10.1.2.3", Yes);
    host(Address("10.1.2.3".parse().unwrap()), "::ffff:10.1.2.3", Yes);
    host(Address("::ffff:10.1.2.3".parse().unwrap()), "10.1.2.3", Yes);
    host(Address("::1".parse().unwrap()), "0:0::1", Yes);
    host(Address("::1".parse().unwrap()), "::2", No);
    host(ten(), "10.255.255.255", Yes);
    host(ten(), "11.0.0.0", No);
    host(Network("::ffff:10.0.0.0/104".parse().unwrap()), "10.1.1.1", Yes);
    host(Network("::/0".parse().unwrap()), "10.1.1.1", No);
    host(ten(), "unknown", No);
    host(Not(Box::new(ten())), "unknown", Yes);
    host(Matches(Matcher::glob("10.*").unwrap()), "::ffff:10.1.1.1", Yes);
    host(Matches(Matcher::glob("2001:db8:*").unwrap()), "2001:0DB8::1", Yes);
    host(Matches(Matcher::glob("unk*").unwrap()), "unknown", Yes);
    host(In(OFFICES), "10.1.1.1", Yes);
    host(In(OFFICES), "2001:db8::1", Yes);
    host(In(OFFICES), "192.0.2.1", No);
    host(In(OFFICES), "unknown", No);
    host(In(GONE), "10.1.1.1", CannotTell);
    host(In(GONE), "unknown", CannotTell);
    host(Not(Box::new(In(GONE))), "10.1.1.1", CannotTell);
    host(Any(vec![In(GONE), ten()]), "10.1.1.1", Yes);
    host(Any(vec![In(GONE), ten()]), "192.0.2.1", CannotTell);

    let port = |condition, expected| check(&Condition::Port(PortField::Sockport, condition), &client(), expected);
    let is = PortCondition::Is;
    port(is(1883), Yes);
    port(is(8883), No);
    port(PortCondition::Not(Box::new(is(8883))), Yes);
    port(PortCondition::Any(vec![is(8883), is(1883)]), Yes);
    port(PortCondition::Any(vec![]), No);
    for flag in [false, true] {
        check(&Condition::Flag(FlagField::IsSuperuser, flag), &client(), (!flag).into());
        check(&Condition::Flag(FlagField::Anonymous, flag), &client(), flag.into());
    }
}

#[test]
fn what_the_broker_does_not_tell_is_neither_so_nor_not_so() {
    use TextCondition::{Any, In, Matches};
    let untold = client();
    let told = |extra| Client { extra, ..client() };
    let anything = || Any(vec![equals(""), not(equals(""))]);
    let extra =
        Extra { cluster: Some("c"), peerport: Some(5000), cn: Some("dev-1"), dn: Some("CN=dev-1"), ..Extra::NONE };
    for (field, condition) in [
        (TextField::Cluster, equals("c")),
        (TextField::Cn, equals("${clientid}")),
        (TextField::Cn, In(FLEET)),
        (TextField::Cn, not(equals("dev-2"))),
        (TextField::Dn, equals("CN=${clientid}")),
        (TextField::Dn, Matches(Matcher::glob("CN=*").unwrap())),
        (TextField::Dn, anything()),
    ] {
        let opposite = Condition::Text(field, not(condition.clone()));
        let condition = Condition::Text(field, condition);
        check(&condition, &untold, CannotTell);
        check(&opposite, &untold, CannotTell);
        check(&condition, &told(extra), Yes);
        check(&opposite, &told(extra), No);
    }
    let port = |port| PortCondition::Is(port);
    for condition in [port(5000), PortCondition::Not(Box::new(port(1))), PortCondition::Any(vec![port(1), port(5000)])]
    {
        let opposite = Condition::Port(PortField::Peerport, PortCondition::Not(Box::new(condition.clone())));
        let condition = Condition::Port(PortField::Peerport, condition);
        check(&condition, &untold, CannotTell);
        check(&opposite, &untold, CannotTell);
        check(&condition, &told(extra), Yes);
        check(&opposite, &told(extra), No);
    }
    // A client without a certificate has an empty name, and no other.
    let bare = told(Extra { cn: Some(""), ..extra });
    let cn = |condition| Condition::Text(TextField::Cn, condition);
    check(&cn(equals("${clientid}")), &bare, No);
    check(&cn(equals("${clientid}")), &Client { clientid: "", ..bare }, No);
    check(&cn(equals("")), &bare, Yes);
    check(&cn(not(equals("dev-2"))), &bare, Yes);
    check(&cn(not(Any(vec![equals(""), equals("dev-2")]))), &bare, No);
    // Where another condition settles it, nothing is missing.
    let cn = || cn(equals("${clientid}"));
    let sockport = |port| Condition::Port(PortField::Sockport, PortCondition::Is(port));
    for (who, expected) in [
        (Who::All(vec![cn(), sockport(1)]), No),
        (Who::All(vec![cn(), sockport(1883)]), CannotTell),
        (Who::Any(vec![Who::All(vec![cn()]), Who::All(vec![sockport(1883)])]), Yes),
        (Who::Any(vec![Who::All(vec![cn()]), Who::All(vec![sockport(1)])]), CannotTell),
    ] {
        assert_eq!(who.holds(&untold, &lists()), expected, "{who:?}");
    }
}

#[test]
fn kinds_of_client() {
    let gone = || clientid(TextCondition::In(GONE));
    let fleet = || clientid(TextCondition::In(FLEET));
    let port = |port| Condition::Port(PortField::Sockport, PortCondition::Is(port));
    for (who, expected) in [
        (Who::Everyone, Yes),
        (Who::All(vec![fleet(), port(1883)]), Yes),
        (Who::All(vec![fleet(), port(1)]), No),
        (Who::All(vec![gone(), port(1)]), No),
        (Who::All(vec![gone(), port(1883)]), CannotTell),
        (Who::Any(vec![Who::All(vec![gone()]), Who::All(vec![port(1)])]), CannotTell),
        (Who::Any(vec![Who::All(vec![gone()]), Who::All(vec![port(1883)])]), Yes),
        (Who::Any(vec![Who::All(vec![gone()]), Who::Everyone]), Yes),
        (Who::Any(vec![]), No),
    ] {
        assert_eq!(who.holds(&client(), &lists()), expected, "{who:?}");
        let mut sorted = who.clone();
        sorted.sort_by_cost();
        assert_eq!(sorted.holds(&client(), &lists()), expected, "{sorted:?}");
    }
}

#[test]
fn the_cheap_is_asked_first() {
    let port = Condition::Port(PortField::Sockport, PortCondition::Is(1));
    let mut who = Who::All(vec![clientid(not(TextCondition::In(FLEET))), port]);
    assert_eq!(who.cost(), Cost::LookUp);
    who.sort_by_cost();
    assert!(
        matches!(&who, Who::All(conditions) if matches!(conditions[0], Condition::Port(PortField::Sockport, _))),
        "{who:?}"
    );
}
