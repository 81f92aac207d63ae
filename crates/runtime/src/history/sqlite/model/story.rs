//! What happens in a story, and the form in which it is printed: that of its own source.

use std::fmt;

use proptest::prelude::*;

/// How brokers of some versions tell of a take-over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BrokerFamily {
    /// 4.1, 4.2: each node has a driver. The new connection is told first, then the old session.
    Driver,
    /// 4.3 to 5.0.9: the old session alone; one that is discarded before the new connection.
    Session,
    /// 5.0.10 to 5.3: the old connection and its session, in the same orders.
    Both,
    /// 5.4 and later: as before, and each call tells the client's port.
    Ports,
}

impl BrokerFamily {
    pub(super) fn tells_ports(self) -> bool {
        self == BrokerFamily::Ports
    }

    /// Whether a take-over is told of the connection too.
    pub(super) fn tells_both(self) -> bool {
        matches!(self, BrokerFamily::Both | BrokerFamily::Ports)
    }
}

/// What becomes of a call on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Told,
    Lost,
    Twice,
}

/// Where a client connects to, and from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) node: usize,
    pub(super) host: usize,
    pub(super) listener: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// A client connects; whatever it has open or asleep is taken over. `late`: by so much the call
    /// of the beginning, and those of the older one's end, are late where ports are told.
    Connect {
        client: usize,
        route: Route,
        clean: bool,
        swapped: bool,
        begin: Fate,
        ends: Fate,
        late: i64,
    },
    /// A client connects while its older connection ends by itself, which is told so much later.
    Overlap {
        client: usize,
        route: Route,
        late: i64,
    },
    /// Many connections of one client at once, of which one is let in. Of the end of the others
    /// nothing is told. Only drivers hear of more than the one.
    Storm {
        client: usize,
        route: Route,
        count: usize,
        winner: usize,
    },
    /// A client's connection ends: by its will, by a kick, by its silence.
    End {
        client: usize,
        kicked: bool,
        keeps: bool,
        fate: Fate,
        late: i64,
    },
    /// A client does something that is asked about.
    Act {
        client: usize,
    },
    /// A node stops, in order or at once. All its connections end untold.
    Stop {
        node: usize,
        at_once: bool,
    },
    Start {
        node: usize,
    },
    /// The recorder of a node ends, in order or at once, and its successor starts.
    Silence {
        node: usize,
        at_once: bool,
    },
    Resume {
        node: usize,
    },
}

/// A deed, so many milliseconds after the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct After(pub(super) i64, pub(super) Deed);

/// A story of two nodes of a cluster and a few clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BrokerStory {
    pub(super) family: BrokerFamily,
    /// Two servers, one for each node, and not one for both.
    pub(super) two_servers: bool,
    pub(super) deeds: Vec<After>,
}

impl fmt::Display for BrokerStory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BrokerStory { family, two_servers, deeds } = self;
        writeln!(
            f,
            "replay(&BrokerStory {{ family: BrokerFamily::{family:?}, two_servers: {two_servers}, deeds: vec!["
        )?;
        for After(after, deed) in deeds {
            let text = format!("{deed:?}");
            let text = text.replace("begin: ", "begin: Fate::").replace("ends: ", "ends: Fate::");
            writeln!(f, "    After({after}, Deed::{}),", text.replace("fate: ", "fate: Fate::"))?;
        }
        write!(f, "]}});")
    }
}

fn route() -> impl Strategy<Value = Route> {
    // Most clients stay where they are.
    let mostly = || prop_oneof![4 => Just(0_usize), 1 => Just(1)];
    (mostly(), mostly(), mostly()).prop_map(|(node, host, listener)| Route { node, host, listener })
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![6 => Just(Fate::Told), 1 => Just(Fate::Lost), 1 => Just(Fate::Twice)]
}

fn late() -> impl Strategy<Value = i64> {
    prop_oneof![3 => Just(0_i64), 2 => 1_i64..900, 1 => 900_i64..9_000, 1 => 9_000_i64..60_000]
}

fn deed(faults: bool) -> BoxedStrategy<Deed> {
    let client = 0..2_usize;
    let fate = || if faults { fate().boxed() } else { Just(Fate::Told).boxed() };
    let late = || if faults { late().boxed() } else { Just(0).boxed() };
    let connect = (client.clone(), route(), any::<bool>(), prop::bool::weighted(0.2), fate(), fate(), late()).prop_map(
        |(client, route, clean, swapped, begin, ends, late)| Deed::Connect {
            client,
            route,
            clean,
            swapped,
            begin,
            ends,
            late,
        },
    );
    let end = (client.clone(), any::<bool>(), any::<bool>(), fate(), late())
        .prop_map(|(client, kicked, keeps, fate, late)| Deed::End { client, kicked, keeps, fate, late });
    let act = client.clone().prop_map(|client| Deed::Act { client });
    if !faults {
        return prop_oneof![4 => connect, 3 => end, 1 => act].boxed();
    }
    let overlap =
        (client.clone(), route(), late()).prop_map(|(client, route, late)| Deed::Overlap { client, route, late });
    let storm = (client, route(), 2..5_usize, 0..5_usize).prop_map(|(client, route, count, winner)| Deed::Storm {
        client,
        route,
        count,
        winner: winner % count,
    });
    let stop = (0..2_usize, any::<bool>()).prop_map(|(node, at_once)| Deed::Stop { node, at_once });
    let silence = (0..2_usize, any::<bool>()).prop_map(|(node, at_once)| Deed::Silence { node, at_once });
    let start = (0..2_usize).prop_map(|node| Deed::Start { node });
    let resume = (0..2_usize).prop_map(|node| Deed::Resume { node });
    prop_oneof![
        8 => connect, 6 => end, 3 => act, 3 => overlap, 2 => storm, 1 => stop, 2 => start, 1 => silence, 2 => resume
    ]
    .boxed()
}

/// Stories, of which some go without a fault.
pub(super) fn stories() -> impl Strategy<Value = BrokerStory> {
    let family = prop_oneof![
        Just(BrokerFamily::Driver),
        Just(BrokerFamily::Session),
        Just(BrokerFamily::Both),
        Just(BrokerFamily::Ports)
    ];
    let after = |faults| {
        prop_oneof![
            3 => if faults { 1_i64..50 } else { 50..100 }, 3 => 50_i64..2_000, 3 => 2_000_i64..10_000, 2 => 10_000_i64..30_000, 1 => 30_000_i64..600_000
        ]
    };
    (family, any::<bool>(), prop::bool::weighted(0.85)).prop_flat_map(move |(family, two_servers, faults)| {
        let deeds =
            prop::collection::vec((after(faults), deed(faults)).prop_map(|(after, deed)| After(after, deed)), 1..16);
        deeds.prop_map(move |deeds| BrokerStory { family, two_servers, deeds })
    })
}
