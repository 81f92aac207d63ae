//! Whether sets of patterns are about common topics at all, told by what stands in them and without any client.

use super::filter::Filter;
use super::patterns::Patterns;
use super::rich::Rich;

/// Whether a topic may be matched by a pattern of both sets, whoever the client. Quick, and errs towards true: it looks at
/// whole levels of filters, and at what globs and regexes begin with.
pub fn may_overlap(one: &Patterns, other: &Patterns) -> bool {
    let any = |filters: &[Filter], rich: &[Rich]| {
        filters.iter().any(|filter| rich.iter().any(|rich| filter_meets_rich(filter, rich)))
    };
    one.filters().iter().any(|filter| other.filters().iter().any(|other| filter.may_overlap(other)))
        || any(one.filters(), other.rich())
        || any(other.filters(), one.rich())
        || one.rich().iter().any(|rich| other.rich().iter().any(|other| begin_alike(rich.prefix(), other.prefix())))
}

fn begin_alike(one: &str, other: &str) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

fn filter_meets_rich(filter: &Filter, rich: &Rich) -> bool {
    let (beginning, whole) = filter.beginning();
    let alike = if whole { beginning.starts_with(rich.prefix()) } else { begin_alike(&beginning, rich.prefix()) };
    alike
        && !(filter.has_root_wildcard() && rich.prefix().starts_with('$'))
        && (!beginning.starts_with('$') || rich.may_reach_dollar())
}
