//! What strangers can have written within a minute: rows, and bytes of their names.

use std::collections::HashMap;

use crate::limits::Peer;

/// Milliseconds.
const MINUTE: i64 = 60_000;
/// What a row takes beside its names, about.
const ROW: usize = 64;

/// What was not written because of a bound, since the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Denials that are counted in a row without names.
    pub denials: u64,
    /// Attempts that have no row.
    pub attempts: u64,
    /// Bans that have no row, and hold until the process ends.
    pub bans: u64,
}

impl LeftOut {
    /// Each by its name.
    pub fn by_name(self) -> [(&'static str, u64); 3] {
        [("denials", self.denials), ("attempts", self.attempts), ("bans", self.bans)]
    }

    pub(super) fn add(&mut self, more: LeftOut) {
        self.denials += more.denials;
        self.attempts += more.attempts;
        self.bans += more.bans;
    }
}

/// The bound of one kind of rows, and what of it is spent in this minute.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowBudget {
    rows: u32,
    bytes: usize,
    /// When the minute began that is counted.
    minute: i64,
    spent: Spent,
    left_out: u64,
    /// It was said for this minute.
    is_said: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    rows: u32,
    bytes: usize,
}

/// What was left out since that was last asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) count: u64,
    /// The first of its minute: worth a line.
    pub(super) is_first: bool,
}

impl RowBudget {
    pub(super) const fn of(rows: u32, bytes: usize) -> Self {
        RowBudget { rows, bytes, minute: 0, spent: Spent { rows: 0, bytes: 0 }, left_out: 0, is_said: false }
    }

    /// Whether a new minute begins with this time. A clock that was set back begins another one
    /// too.
    pub(super) fn begin(&mut self, at: i64) -> bool {
        if (self.minute..self.minute.saturating_add(MINUTE)).contains(&at) {
            return false;
        }
        self.minute = at;
        self.spent = Spent::default();
        self.is_said = false;
        true
    }

    /// Takes a row with names of so many bytes, where there is room for it in the minute that was
    /// begun.
    pub(super) fn take(&mut self, names: usize) -> bool {
        let spent = self.spent.and(names);
        let fits = spent.rows <= self.rows && spent.bytes <= self.bytes;
        if fits {
            self.spent = spent;
        }
        fits
    }

    pub(super) fn leave_out(&mut self, count: u64) {
        self.left_out += count;
    }

    /// What was left out since this was last asked; `None` where nothing was.
    pub(super) fn rest(&mut self) -> Option<Rest> {
        let count = std::mem::take(&mut self.left_out);
        let is_first = !self.is_said;
        (count > 0).then(|| {
            self.is_said = true;
            Rest { count, is_first }
        })
    }
}

impl Spent {
    /// With another row, whose names have so many bytes.
    fn and(self, names: usize) -> Self {
        Spent { rows: self.rows.saturating_add(1), bytes: self.bytes + names + ROW }
    }
}

/// A budget of which each peer gets no more than a quarter, so that one leaves room for the others.
#[derive(Debug, Clone)]
pub(super) struct SharedBudget {
    all: RowBudget,
    /// What each peer has spent in this minute; `None` are those that have no address. Who has a
    /// row is here, so that there are no more of them than rows.
    by_peer: HashMap<Option<Peer>, Spent>,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BudgetFull {
    /// The peer has had its share.
    Share,
    /// All have had what there is.
    All,
}

impl SharedBudget {
    pub(super) fn of(all: RowBudget) -> Self {
        SharedBudget { all, by_peer: HashMap::new() }
    }

    /// As [`RowBudget::begin`].
    pub(super) fn begin(&mut self, at: i64) -> bool {
        let begins = self.all.begin(at);
        if begins {
            self.by_peer.clear();
        }
        begins
    }

    /// As [`RowBudget::take`], for this peer.
    pub(super) fn take(&mut self, peer: Option<Peer>, names: usize) -> Result<(), BudgetFull> {
        let spent = self.by_peer.get(&peer).copied().unwrap_or_default().and(names);
        if spent.rows > self.all.rows / 4 || spent.bytes > self.all.bytes / 4 {
            return Err(BudgetFull::Share);
        }
        if !self.all.take(names) {
            return Err(BudgetFull::All);
        }
        self.by_peer.insert(peer, spent);
        Ok(())
    }

    /// As [`RowBudget::leave_out`].
    pub(super) fn leave_out(&mut self, count: u64) {
        self.all.leave_out(count);
    }

    /// As [`RowBudget::rest`].
    pub(super) fn rest(&mut self) -> Option<Rest> {
        self.all.rest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_room_for_so_many_rows_and_bytes() {
        let mut budget = RowBudget::of(3, 1_000);
        assert!(budget.begin(MINUTE));
        assert!(!budget.begin(2 * MINUTE - 1));
        assert!(budget.take(700) && !budget.take(300) && budget.take(10) && budget.take(0));
        assert!(!budget.take(0), "three rows");
        assert!(budget.begin(2 * MINUTE) && budget.take(900));
        // The clock is set back.
        assert!(budget.begin(0) && budget.take(900));
    }

    #[test]
    fn one_peer_gets_a_quarter_and_the_others_the_rest() {
        let peer = |text: &str| Peer::parse(text);
        let mut shared = SharedBudget::of(RowBudget::of(8, 4_000));
        assert!(shared.begin(MINUTE));
        // By rows, by bytes, and an IPv6 network as one.
        assert_eq!([(); 3].map(|()| shared.take(peer("10.0.0.1"), 10)), [Ok(()), Ok(()), Err(BudgetFull::Share)]);
        assert_eq!([900, 900].map(|names| shared.take(peer("2001:db8::1"), names)), [Ok(()), Err(BudgetFull::Share)]);
        assert_eq!(shared.take(peer("2001:db8::2"), 900), Err(BudgetFull::Share));
        assert_eq!(shared.take(None, 900), Ok(()));
        assert_eq!([900, 900].map(|names| shared.take(peer("10.0.0.2"), names)), [Ok(()), Err(BudgetFull::Share)]);
        assert_eq!(shared.take(peer("10.0.0.3"), 900), Err(BudgetFull::All));
        assert_eq!(shared.by_peer.len(), 4);
        // Those that get no row are not remembered.
        for n in 0..1_000 {
            let _ = shared.take(peer(&format!("10.1.{}.{}", n / 250, n % 250)), 900);
        }
        assert_eq!(shared.by_peer.len(), 4);
        assert!(!shared.begin(MINUTE) && shared.begin(2 * MINUTE) && shared.by_peer.is_empty());
        assert_eq!(shared.take(peer("10.0.0.1"), 900), Ok(()));
    }

    #[test]
    fn what_is_left_out_is_worth_one_line_a_minute() {
        let mut budget = RowBudget::of(1, 1_000);
        budget.begin(0);
        assert_eq!(budget.rest(), None);
        budget.leave_out(2);
        budget.leave_out(1);
        assert_eq!(budget.rest(), Some(Rest { count: 3, is_first: true }));
        budget.leave_out(1);
        assert_eq!(budget.rest(), Some(Rest { count: 1, is_first: false }));
        budget.begin(MINUTE);
        budget.leave_out(1);
        assert_eq!(budget.rest(), Some(Rest { count: 1, is_first: true }));
    }
}
