//! Kinds of client with a condition more.

use std::sync::Arc;

use exhook_policy_core::policy::model::{Condition, TextCondition, TextField, Who};
use exhook_policy_core::text::{Matcher, Template};

/// The clients of the kind of which this holds, too.
pub(super) fn narrowed(who: &Who, more: Condition) -> Who {
    match who {
        Who::Everyone => Who::All(vec![more]),
        Who::Named(named) => narrowed(&named.who, more),
        Who::Any(kinds) => Who::Any(kinds.iter().map(|kind| narrowed(kind, more.clone())).collect()),
        Who::All(conditions) => Who::All(conditions.iter().cloned().chain([more]).collect()),
        Who::During(when, who) => Who::During(Arc::clone(when), Box::new(narrowed(who, more))),
    }
}

/// The field has this value. `None` where a policy could not say so.
pub(super) fn is(field: TextField, value: &str) -> Option<Condition> {
    Some(Condition::Text(field, equals(value)?))
}

/// The field has none of these values.
pub(super) fn is_not(field: TextField, values: &[&str]) -> Option<Condition> {
    let values = values.iter().map(|value| equals(value)).collect::<Option<_>>()?;
    Some(Condition::Text(field, TextCondition::Not(Box::new(TextCondition::Any(values)))))
}

/// The field begins with this value and goes on.
pub(super) fn goes_on(field: TextField, value: &str) -> Option<Condition> {
    let matcher = Matcher::regex(&format!("{}.+", regex_syntax::escape(value))).ok()?;
    Some(Condition::Text(field, TextCondition::Matches(matcher)))
}

fn equals(value: &str) -> Option<TextCondition> {
    let template = Template::parse(value).ok().filter(|template| template.as_literal().is_some())?;
    Some(TextCondition::Equals(template))
}
