//! When a rule matches, as it is written.

use crate::policy::declare::record;
use crate::policy::decode::{OneOrMany, Text};

record! {
    /// Some time. All that it says must hold.
    Window("a window of time") {
        /// Days of the week, `mon` to `sun`, or ranges of them, `mon-fri`.
        optional days: OneOrMany<Text>,
        /// Hours of the day, `08:00-18:00`. Those over midnight belong to the day on which they begin.
        optional hours: OneOrMany<Text>,
        /// Whose days and hours, by the name of the time zone: `Europe/Berlin` (default: UTC).
        optional zone: Text,
        /// From this date on, or this date and time: `2026-12-01`, `2026-12-01T18:00`.
        optional from: Text,
        /// Up to this time, or to the end of this date.
        optional until: Text,
    }
    at least one of days, hours, from, until: MissingKey
}
