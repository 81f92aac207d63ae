//! The list of the REST API, one page or several behind each other.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{List, Listed, names};

/// What a page says of itself.
#[derive(Debug, Clone, Copy)]
struct ListPage {
    number: Option<u64>,
    limit: Option<u64>,
    /// All clients, where it is counted.
    count: Option<u64>,
    has_next: Option<bool>,
}

pub(super) fn read(text: &str) -> Result<List, String> {
    let mut list = List::default();
    let mut pages = Vec::new();
    let mut answers = 0;
    for document in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        let document = document.map_err(|error| format!("it is cut off, or no JSON: {error}"))?;
        if let Some(items) = document.as_array() {
            read_all(items, &mut list)?;
            answers += 1;
        } else if let Some(items) = document.get("data").and_then(Value::as_array) {
            read_all(items, &mut list)?;
            pages.extend(document.get("meta").map(ListPage::of));
            answers += 1;
        } else {
            read_one(&document, &mut list)?;
        }
    }
    ListPage::check(&pages, &list)?;
    // The last page that a cursor leads to looks like the only one.
    list.is_paged = answers > 1 || pages.iter().any(|page| page.number.is_none());
    Ok(list)
}

fn read_all(items: &[Value], list: &mut List) -> Result<(), String> {
    items.iter().try_for_each(|item| read_one(item, list))
}

fn read_one(item: &Value, list: &mut List) -> Result<(), String> {
    let text = |name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned);
    let id = item.as_str().map(str::to_owned).or_else(|| text("clientid"));
    let Some(id) = id else {
        let shown: String = item.to_string().chars().take(60).collect();
        return Err(format!("this is no client, and no page of clients: {shown}"));
    };
    let connected = item.get("connected").and_then(Value::as_bool).unwrap_or(true);
    list.push(id.as_bytes(), names::is_certain(&id), text("node"), connected);
    Ok(())
}

impl ListPage {
    fn of(meta: &Value) -> Self {
        let number = |name: &str| meta.get(name).and_then(Value::as_u64);
        ListPage {
            number: number("page"),
            limit: number("limit"),
            count: number("count"),
            has_next: meta.get("hasnext").and_then(Value::as_bool),
        }
    }

    /// Whether none of the pages is missing, and no client of them.
    fn check(pages: &[ListPage], list: &List) -> Result<(), String> {
        let limits: BTreeSet<u64> = pages.iter().filter_map(|page| page.limit).collect();
        if let (Some(least), Some(most)) = (limits.first(), limits.last())
            && least != most
        {
            return Err(format!("the pages were not fetched with one `limit`, but with {least} and {most}"));
        }
        let numbers: BTreeSet<u64> = pages.iter().filter_map(|page| page.number).collect();
        for (index, page) in pages.iter().enumerate() {
            let has_next = match (page.number, page.limit, page.count, page.has_next) {
                (_, _, _, Some(has_next)) => has_next,
                (Some(number), Some(limit), Some(count), None) => number.saturating_mul(limit) < count,
                _ => false,
            };
            let follows = match page.number {
                Some(number) => numbers.contains(&(number + 1)),
                None => index + 1 < pages.len(),
            };
            if has_next && !follows {
                return Err(match page.number {
                    Some(number) => format!("the page behind page {number} is missing"),
                    None => "the page behind the last one is missing".to_owned(),
                });
            }
            if let Some(number) = page.number.filter(|number| *number > 1)
                && !numbers.contains(&(number - 1))
            {
                return Err(format!("the page before page {number} is missing"));
            }
        }
        // One that stands on two pages moved, and another may have moved past both. Pages of a
        // cursor count themselves.
        let name = |listed: &Listed| list.ids(listed).next().unwrap_or_default().to_owned();
        let different: BTreeSet<_> = list.clients.iter().map(|listed| (name(listed), &listed.node)).collect();
        let counted = pages.iter().filter(|page| page.number.is_some()).filter_map(|page| page.count).max();
        match counted {
            Some(counted) if u64::try_from(different.len()).is_ok_and(|found| found < counted) => Err(format!(
                "it says that there are {counted} clients, and names {}: fetch it again, or take the list of emqx_ctl",
                different.len()
            )),
            Some(_) | None => Ok(()),
        }
    }
}
