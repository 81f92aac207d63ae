//! Who connects and disconnects.

/// How many callers have an event on its way.
pub(crate) const CALLERS: usize = 64;

/// A fleet, and what it does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Clients that come and go, or go and come.
    pub(crate) names: usize,
    /// Others, that are online before and stay.
    pub(crate) staying: usize,
    /// The names are online to begin with: each event pair ends a connection of long ago and begins the next.
    pub(crate) online: bool,
}

impl Workload {
    pub(crate) const ALL: [Workload; 3] = [
        Workload { name: "small", about: "10,000 names that come and go", names: 10_000, staying: 0, online: false },
        Workload {
            name: "beside",
            about: "10,000 names that come and go, 100,000 others stay online",
            names: 10_000,
            staying: 100_000,
            online: false,
        },
        Workload {
            name: "fleet",
            about: "100,000 clients online, of which one at random reconnects",
            names: 100_000,
            staying: 0,
            online: true,
        },
    ];
}

/// What one caller says next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) client: usize,
    pub(crate) connects: bool,
}

/// What the callers say, one event after the other; the same each time.
pub(crate) struct Script {
    workload: Workload,
    second: [Option<usize>; CALLERS],
    random: u64,
}

impl Script {
    pub(crate) fn of(workload: Workload) -> Self {
        Script { workload, second: [None; CALLERS], random: 0x9e37_79b9_7f4a_7c15 }
    }

    /// The next event of this caller: it sends a pair about a client, then one about another.
    pub(crate) fn next(&mut self, caller: usize) -> Step {
        if let Some(client) = self.second[caller].take() {
            return Step { client, connects: self.workload.online };
        }
        // No client is taken by two at a time.
        let client = loop {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            let drawn = usize::try_from(self.random >> 33).unwrap() % self.workload.names;
            if !self.second.contains(&Some(drawn)) {
                break drawn;
            }
        };
        self.second[caller] = Some(client);
        Step { client, connects: !self.workload.online }
    }
}

/// `device-0000000042`, seventeen bytes. Those of neighbouring numbers lie far from each other.
pub(crate) fn name(number: usize) -> String {
    format!("device-{:010}", number * 48_271 % 1_000_003)
}
