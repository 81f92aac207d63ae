use std::collections::HashSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::instants::instants;
use super::moment::Edge::{Begin, End};
use super::moment::{self, Edge, Wrong};
use super::*;

fn zone(name: &str) -> Zone {
    Zone::of_name(name).unwrap()
}

fn at(text: &str) -> i64 {
    moment::parse(text, None, Edge::Begin).unwrap()
}

/// A window by its days, as places, and hours in minutes.
fn window(zone_name: &str, days: &[(usize, usize)], hours: &[(u16, u16)]) -> Window {
    let days = days.iter().map(|(first, last)| Days::range(*first, *last)).reduce(Days::and).unwrap_or(Days::ALL);
    let hours = hours.iter().map(|(from, until)| Hours { from: *from, until: *until }).collect();
    Window { days, hours, zone: zone(zone_name), from: None, until: None }
}

/// From eight to six on workdays in Berlin.
fn office() -> Window {
    window("Europe/Berlin", &[(0, 4)], &[(480, 1_080)])
}

#[track_caller]
fn check(window: &Window, moments: &[(&str, bool)]) {
    for (moment, expected) in moments {
        assert_eq!(window.holds(at(moment)), Holds::from(*expected), "{moment} in {window}");
    }
}

#[test]
fn days_and_hours_are_those_of_the_clock_on_the_wall() {
    check(
        &office(),
        &[
            ("2026-12-01T08:00[Europe/Berlin]", true),
            ("2026-12-01T07:59:59.999[Europe/Berlin]", false),
            ("2026-12-01T17:59:59.999[Europe/Berlin]", true),
            ("2026-12-01T18:00[Europe/Berlin]", false),
            ("2026-12-01T07:00Z", true),
            ("2026-07-01T06:00Z", true),
            ("2026-07-01T05:59Z", false),
            ("2026-12-04T12:00[Europe/Berlin]", true),
            ("2026-12-05T12:00[Europe/Berlin]", false),
            ("2026-12-06T12:00[Europe/Berlin]", false),
            ("2026-12-07T12:00[Europe/Berlin]", true),
            ("1969-12-31T12:00[Europe/Berlin]", true),
            ("1969-12-28T12:00[Europe/Berlin]", false),
        ],
    );
}

#[test]
fn hours_over_midnight_belong_to_the_day_on_which_they_begin() {
    check(
        &window("UTC", &[(4, 4)], &[(1_320, 360)]),
        &[
            ("2026-12-04T21:59Z", false),
            ("2026-12-04T22:00Z", true),
            ("2026-12-05T00:00Z", true),
            ("2026-12-05T05:59Z", true),
            ("2026-12-05T06:00Z", false),
            ("2026-12-05T22:00Z", false),
            ("2026-12-04T05:00Z", false),
        ],
    );
    // Sunday night ends on Monday.
    check(
        &window("UTC", &[(6, 6)], &[(1_320, 360)]),
        &[("2026-12-07T05:00Z", true), ("2026-12-06T05:00Z", false), ("2026-12-08T05:00Z", false)],
    );
    check(&window("UTC", &[(5, 5)], &[(0, 1_440)]), &[("2026-12-05T23:59Z", true), ("2026-12-06T00:00Z", false)]);
}

#[test]
fn what_the_clock_leaves_out_is_in_no_window_and_what_it_shows_twice_in_it_both_times() {
    // In Berlin 02:00 is 03:00 on 29 March 2026, and 03:00 is 02:00 again on 25 October.
    let early = window("Europe/Berlin", &[], &[(120, 150)]);
    let minutes = |day: &str, hours: i64| {
        let day = at(day);
        (0..hours * 60).filter(|minute| early.holds(day + minute * 60_000) == Holds::Yes).count()
    };
    assert_eq!(minutes("2026-03-28T00:00[Europe/Berlin]", 24), 30);
    assert_eq!(minutes("2026-03-29T00:00[Europe/Berlin]", 23), 0);
    assert_eq!(minutes("2026-10-25T00:00[Europe/Berlin]", 25), 60);
    check(
        &early,
        &[
            ("2026-10-25T00:00Z", true),
            ("2026-10-25T00:29Z", true),
            ("2026-10-25T00:30Z", false),
            ("2026-10-25T01:00Z", true),
            ("2026-10-25T01:30Z", false),
        ],
    );
    // What begins in the hour that is left out begins with the next.
    check(
        &window("Europe/Berlin", &[], &[(150, 240)]),
        &[("2026-03-29T00:59:59Z", false), ("2026-03-29T01:00Z", true), ("2026-03-29T02:00Z", false)],
    );
}

#[test]
fn a_window_holds_from_one_moment_until_another() {
    let berlin = zone("Europe/Berlin");
    let parse = |text, edge| moment::parse(text, Some(&berlin), edge).ok();
    let window = Window {
        from: parse("2026-12-01", Edge::Begin),
        until: parse("2027-01-15", Edge::End),
        days: Days::ALL,
        hours: Vec::new(),
        zone: berlin.clone(),
    };
    check(
        &window,
        &[
            ("2026-11-30T22:59:59Z", false),
            ("2026-11-30T23:00Z", true),
            ("2027-01-15T22:59:59Z", true),
            ("2027-01-15T23:00Z", false),
        ],
    );
    assert_eq!(window.to_string(), "from 2026-12-01 00:00 until 2027-01-16 00:00 (Europe/Berlin)");
    assert!(!window.is_over(at("2027-01-15T22:59Z")) && window.is_over(at("2027-01-15T23:00Z")));
}

#[test]
fn a_weekly_window_is_over_where_no_day_of_it_is_left() {
    let window = Window { until: Some(at("2026-12-06T00:00Z")), ..window("UTC", &[(0, 1)], &[(480, 540)]) };
    assert!(!window.is_over(at("2026-11-01T00:00Z")));
    assert!(!window.is_over(at("2026-12-01T08:59Z")));
    assert!(window.is_over(at("2026-12-01T09:00Z")));
    assert!(!office().is_over(at("2200-01-01T00:00Z")));
}

#[track_caller]
fn check_moment(text: &str, zone_name: Option<&str>, edge: Edge, expected: Result<&str, Wrong>) {
    let zone = zone_name.map(zone);
    let found = moment::parse(text, zone.as_ref(), edge).map(|at| Zone::utc().exactly(at));
    assert_eq!(found, expected.map(|expected| format!("{expected}:00+00:00")), "{text}");
}

#[test]
fn moments_are_of_their_zone_unless_they_say_their_own() {
    let berlin = Some("Europe/Berlin");
    check_moment("2026-12-01", berlin, Begin, Ok("2026-11-30T23:00"));
    check_moment("2026-12-01", berlin, End, Ok("2026-12-01T23:00"));
    check_moment("2026-12-01T18:00", berlin, End, Ok("2026-12-01T17:00"));
    check_moment("2026-12-01 18:00", berlin, End, Ok("2026-12-01T17:00"));
    check_moment("2026-12-01T18:00Z", berlin, Begin, Ok("2026-12-01T18:00"));
    check_moment("2026-12-01T18:00-05:00", berlin, Begin, Ok("2026-12-01T23:00"));
    check_moment("2026-12-01T18:00[America/New_York]", None, Begin, Ok("2026-12-01T23:00"));
    check_moment("2026-12-01[America/New_York]", None, Begin, Ok("2026-12-01T05:00"));
    check_moment("2026-12-01T18:00-05:00[America/New_York]", None, Begin, Ok("2026-12-01T23:00"));
    // `Z` contradicts no zone.
    check_moment("2026-12-01T17:00Z[Europe/Berlin]", None, Begin, Ok("2026-12-01T17:00"));
    // The clock leaves it out, and shows it twice.
    check_moment("2026-03-29T02:30", berlin, Begin, Ok("2026-03-29T01:30"));
    check_moment("2026-10-25T02:30", berlin, Begin, Ok("2026-10-25T00:30"));
    // Midnight itself is left out.
    check_moment("2015-10-18", Some("America/Sao_Paulo"), Begin, Ok("2015-10-18T03:00"));
    check_moment("2026-12-01T18:00", None, Begin, Err(Wrong::NoZone));
    check_moment("2026-12-01", None, Begin, Err(Wrong::NoZone));
    check_moment("2026-12-01T18:00[Europe/Atlantis]", None, Begin, Err(Wrong::UnknownZone));
    check_moment("2026-12-01T18:00-04:00[America/New_York]", None, Begin, Err(Wrong::Offset));
    check_moment("2026-12-01T18:00+00:00[America/New_York]", None, Begin, Err(Wrong::Offset));
    check_moment("2026-12-01T18:00Z[Nowhere/Town]", None, Begin, Err(Wrong::UnknownZone));
    for text in ["", "tomorrow", "2026-13-01", "2026-02-30", "31.12.2026", "12:00", "2026-12-01T25:00", "1764576000"] {
        check_moment(text, berlin, Begin, Err(Wrong::Form));
    }
    assert_eq!(moment::parse("9999-12-31", Some(&Zone::utc()), Edge::End), Err(Wrong::Form));
}

#[test]
fn windows_are_told_in_words_and_as_the_policy_says_them() {
    let both = When::new(vec![
        Window { from: Some(at("2026-12-01T07:00Z")), ..office() },
        window("UTC", &[(5, 6), (0, 0)], &[(1_320, 360), (720, 1_440)]),
    ]);
    assert_eq!(
        both.to_string(),
        "mon-fri 08:00-18:00 from 2026-12-01 08:00 (Europe/Berlin) or mon, sat-sun 22:00-06:00, 12:00-24:00 (UTC)"
    );
    let expected = json!([
        { "days": ["mon-fri"], "hours": ["08:00-18:00"], "from": "2026-12-01T08:00:00+01:00", "zone": "Europe/Berlin" },
        { "days": ["mon", "sat-sun"], "hours": ["22:00-06:00", "12:00-24:00"], "zone": "UTC" },
    ]);
    assert_eq!(both.json(), expected);
    assert_eq!(zone("europe/berlin").told(at("2026-12-01T07:00Z")), "2026-12-01 08:00 (tue, Europe/Berlin)");
}

#[test]
fn without_a_time_it_cannot_be_told() {
    let when = When::new(vec![office()]);
    assert_eq!(when.holds(None), Holds::CannotTell);
    assert_eq!(When::new(vec![]).holds(None), Holds::CannotTell);
    assert_eq!(office().holds(i64::MAX), Holds::CannotTell);
}

const ZONES: [&str; 9] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Chicago",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/Santiago",
    "Africa/Casablanca",
    "Pacific/Apia",
];

fn a_window() -> impl Strategy<Value = Window> {
    let hours = vec((0..96_u16, 1..96_u16).prop_map(|(from, length)| (from * 15, (from + length) % 96 * 15)), 0..3);
    let hours = hours.prop_map(|hours| {
        let hour = |(from, until)| Hours { from, until: if until == 0 { 1_440 } else { until } };
        hours.into_iter().map(hour).collect::<Vec<_>>()
    });
    let moment = || prop::option::weighted(0.3, BEGIN..END);
    (vec((0..7_usize, 0..7_usize), 0..3), hours, select(&ZONES[..]), moment(), moment()).prop_map(
        |(days, hours, zone_name, from, until)| Window { hours, from, until, ..window(zone_name, &days, &[]) },
    )
}

/// The years in which moments are tried.
const BEGIN: i64 = 1_577_836_800_000;
const END: i64 = 2_524_608_000_000;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn every_moment_is_like_one_of_those_that_stand_for_all(
        whens in vec(vec(a_window(), 1..3).prop_map(When::new), 1..4),
        from in BEGIN..END,
        far in vec(0..END - BEGIN, 2_000),
        near in vec(0..40 * 24 * 60_i64, 500),
    ) {
        let each: Vec<&When> = whens.iter().collect();
        let (found, complete) = instants(&each, from, |_| true);
        prop_assert!(complete && found.iter().all(|at| *at >= from));
        let like = |at: i64| whens.iter().map(|when| when.holds(Some(at))).collect::<Vec<_>>();
        let known: HashSet<_> = found.iter().map(|at| like(*at)).collect();
        prop_assert_eq!(known.len(), found.len(), "each stands for others");
        let edges = whens.iter().flat_map(When::windows).flat_map(|window| [window.from, window.until]).flatten();
        let edges = edges.flat_map(|edge| [edge - 1, edge, edge + 1]).filter(|at| *at >= from);
        let near = near.into_iter().map(|minute| from + minute * 60_000);
        for at in far.into_iter().map(|after| from + after).chain(near).chain(edges) {
            prop_assert!(known.contains(&like(at)), "{} of {:?}", at, whens);
        }
    }

    #[test]
    fn a_window_that_opens_does_and_one_that_does_not_is_open_never(
        window in a_window(),
        from in BEGIN..END,
        length in 1..20 * 24 * 60_i64,
    ) {
        let until = from + length * 60_000;
        let window = Window { from: Some(from), until: Some(until), ..window };
        let open = (from..until).step_by(60_000).any(|at| window.holds(at) == Holds::Yes);
        // Minutes of the clock may begin between two that are tried.
        prop_assert!(window.opens() || !open, "{}", window);
        if window.opens() {
            let (found, _) = instants(&[&When::new(vec![window.clone()])], from, |_| true);
            prop_assert!(found.iter().any(|at| window.holds(*at) == Holds::Yes), "{}", window);
        }
    }
}
