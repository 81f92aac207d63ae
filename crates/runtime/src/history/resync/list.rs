//! A broker's list of its clients, in the forms that it gives out.

use std::collections::BTreeSet;

use serde_json::Value;

/// In which form a list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `emqx_ctl clients list`.
    Ctl,
    /// The REST API's, one page or several behind each other; or objects with a `clientid` alone.
    Json,
    /// A clientid a line.
    Plain,
}

/// The clients of a broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    clients: Vec<Listed>,
    is_paged: bool,
}

/// One client of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its clientid, as far as the list is clear about it: all that may be meant.
    pub(super) ids: Vec<String>,
    /// Whether these are names of several clients, and not several spellings of one's.
    pub(super) is_unclear: bool,
    pub(super) node: Option<String>,
    /// A session whose client is away is listed too.
    pub(super) connected: bool,
}

impl Listed {
    /// Whether it may be connected to that node.
    pub(super) fn is_at(&self, node: &str) -> bool {
        self.node.as_deref().is_none_or(|of| of == node)
    }

    pub(super) fn is_of(&self, nodes: &BTreeSet<String>) -> bool {
        self.node.as_ref().is_none_or(|node| nodes.contains(node))
    }
}

/// What a page says of itself.
#[derive(Debug, Clone, Copy)]
struct ListPage {
    number: Option<u64>,
    limit: Option<u64>,
    /// All clients, where it is counted.
    count: Option<u64>,
    has_next: Option<bool>,
}

impl List {
    /// Reads a list. Without a form, that of `emqx_ctl` and JSON are told apart; a clientid a line is never guessed, since
    /// every error message would pass for one.
    ///
    /// # Errors
    /// What is wrong with it, for people: a list of which a part is missing or not understood is none.
    pub fn parse(text: &str, form: Option<Form>) -> Result<Self, String> {
        let text = text.trim_start_matches('\u{feff}');
        let form = match form {
            Some(form) => form,
            None if text.trim().is_empty() => return Ok(List::default()),
            None if text.trim_start().starts_with(['{', '[']) => Form::Json,
            None if text.lines().any(|line| line.starts_with(CLIENT) || line.trim() == NONE) => Form::Ctl,
            None => {
                let help =
                    "it is neither JSON nor what `emqx_ctl clients list` prints; --form plain reads a clientid a line";
                return Err(help.to_owned());
            }
        };
        match form {
            Form::Ctl => Ok(List { clients: ctl(text)?, is_paged: false }),
            Form::Json => json(text),
            Form::Plain => Ok(List { clients: plain(text), is_paged: false }),
        }
    }

    /// Whether it was fetched in several answers, or in one that does not tell whether it is all of them: whoever came or
    /// went meanwhile moved others between them, so that some may be missing.
    pub fn is_paged(&self) -> bool {
        self.is_paged
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// How many are in it.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    pub(super) fn clients(&self) -> &[Listed] {
        &self.clients
    }
}

const CLIENT: &str = "Client(";
/// What EMQX 5 and later say where there are none.
const NONE: &str = "No clients.";

fn plain(text: &str) -> Vec<Listed> {
    let ids = text.lines().filter(|line| !line.is_empty());
    ids.map(|id| Listed { ids: vec![id.to_owned()], is_unclear: false, node: None, connected: true }).collect()
}

/// `Client(ID, username=NAME, peername=..., connected=true, created_at=..., connected_at=...)` a line.
fn ctl(text: &str) -> Result<Vec<Listed>, String> {
    let mut clients = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || line.trim() == NONE {
            continue;
        }
        let client = line.strip_prefix(CLIENT).and_then(|line| line.trim_end().strip_suffix(')')).and_then(ctl_client);
        clients.push(client.ok_or_else(|| {
            format!("line {number} is none of a whole list of `emqx_ctl clients list`: take out what is no client, or use JSON")
        })?);
    }
    Ok(clients)
}

fn ctl_client(line: &str) -> Option<Listed> {
    // Neither name is quoted, so that each may hold what looks like the end of the first.
    let mut ids: Vec<String> =
        line.match_indices(", username=").filter_map(|(at, _)| line.get(..at)).map(str::to_owned).collect();
    let is_unclear = ids.len() > 1;
    // What stands behind this one was written by the broker.
    let (_, connected) = line.rsplit_once(", connected=")?;
    let connected = match connected.split(',').next() {
        Some("true") => true,
        Some("false") => false,
        Some(_) | None => return None,
    };
    ids.extend(ids.iter().filter_map(|id| undoubled(id)).collect::<Vec<_>>());
    (!ids.is_empty()).then_some(Listed { ids, is_unclear, node: None, connected })
}

/// EMQX 4 prints each byte of a name as a character of its own.
fn undoubled(text: &str) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    String::from_utf8(bytes?).ok()
}

fn json(text: &str) -> Result<List, String> {
    let mut clients = Vec::new();
    let mut pages = Vec::new();
    let mut answers = 0;
    for document in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        let document = document.map_err(|error| format!("it is cut off, or no JSON: {error}"))?;
        if let Some(items) = document.as_array() {
            read_all(items, &mut clients)?;
            answers += 1;
        } else if let Some(items) = document.get("data").and_then(Value::as_array) {
            read_all(items, &mut clients)?;
            pages.extend(document.get("meta").map(ListPage::of));
            answers += 1;
        } else {
            clients.push(json_client(&document)?);
        }
    }
    ListPage::check(&pages, &clients)?;
    // The last page that a cursor leads to looks like the only one.
    let is_paged = answers > 1 || pages.iter().any(|page| page.number.is_none());
    Ok(List { clients, is_paged })
}

fn read_all(items: &[Value], clients: &mut Vec<Listed>) -> Result<(), String> {
    for item in items {
        clients.push(json_client(item)?);
    }
    Ok(())
}

fn json_client(item: &Value) -> Result<Listed, String> {
    let text = |name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned);
    let id = item.as_str().map(str::to_owned).or_else(|| text("clientid"));
    let Some(id) = id else {
        let shown: String = item.to_string().chars().take(60).collect();
        return Err(format!("this is no client, and no page of clients: {shown}"));
    };
    let connected = item.get("connected").and_then(Value::as_bool).unwrap_or(true);
    Ok(Listed { ids: vec![id], is_unclear: false, node: text("node"), connected })
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
    fn check(pages: &[ListPage], clients: &[Listed]) -> Result<(), String> {
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
        // One that stands on two pages moved, and another may have moved past both. Pages of a cursor count themselves.
        let different: BTreeSet<_> = clients.iter().map(|listed| (&listed.ids, &listed.node)).collect();
        let counted = pages.iter().filter(|page| page.number.is_some()).filter_map(|page| page.count).max();
        match counted {
            Some(counted) if u64::try_from(different.len()).is_ok_and(|found| found < counted) => Err(format!(
                "it says that there are {counted} clients, and names {}: fetch it anew, or take the list of emqx_ctl",
                different.len()
            )),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, form: Option<Form>, expected: &[(&str, Option<&str>, bool)]) {
        let list = List::parse(text, form).unwrap();
        let found: Vec<_> = list
            .clients
            .iter()
            .map(|listed| (listed.ids.join("|"), listed.node.as_deref(), listed.connected))
            .collect();
        let expected: Vec<_> = expected.iter().map(|&(id, node, connected)| (id.to_owned(), node, connected)).collect();
        assert_eq!(found, expected);
    }

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        assert_eq!(List::parse(text, None), Err(expected.to_owned()));
    }

    const REST: &str = ", clean_start=true, keepalive=60, session_expiry_interval=0, subscriptions=1, inflight=0, \
                        awaiting_rel=0, delivered_msgs=0, enqueued_msgs=0, dropped_msgs=0, connected=";

    #[test]
    fn what_emqx_ctl_prints() {
        let line = |id: &str, connected: &str| {
            format!(
                "Client({id}, username=undefined, peername=10.1.2.3:50123{REST}{connected}, created_at=1714564800000, connected_at=1714564800000"
            )
        };
        let text =
            format!("{})\n{}, disconnected_at=1714564900000)\n", line("dev-1", "true"), line("dev 2,x)", "false"));
        check(&text, None, &[("dev-1", None, true), ("dev 2,x)", None, false)]);
        check("No clients.\n", None, &[]);
        check(" \n", None, &[]);
        // Bytes as characters, as EMQX 4 prints them.
        check(&format!("{})", line("d\u{c3}\u{a9}v", "true")), None, &[("d\u{c3}\u{a9}v|d\u{e9}v", None, true)]);
        // A name that looks like the end of another, in one of two places.
        let list = List::parse(&format!("{})", line("a, username=b, connected=false", "true")), None).unwrap();
        assert_eq!(list.clients[0].ids, ["a", "a, username=b, connected=false"]);
        assert!(list.clients[0].is_unclear && list.clients[0].connected);

        let cut = "is none of a whole list of `emqx_ctl clients list`: take out what is no client, or use JSON";
        refused(&format!("{})\n{}", line("a", "true"), line("b", "true")), &format!("line 2 {cut}"));
        refused(&format!("WARNING: a cookie\n{})\n", line("a", "true")), &format!("line 1 {cut}"));
        refused("Client(a)", &format!("line 1 {cut}"));
        refused(&format!("{})", line("a", "maybe")), &format!("line 1 {cut}"));
    }

    #[test]
    fn what_the_rest_api_gives() {
        check(
            r#"{"meta":{"page":1,"limit":2,"hasnext":true,"count":3},"data":[
                 {"clientid":"a","node":"emqx@1","connected":true,"username":"u"},{"clientid":"b","node":"emqx@2","connected":false}],"code":0}
               {"meta":{"page":2,"limit":2,"hasnext":false,"count":3},"data":[{"clientid":"c","node":"emqx@1","connected":true}],"code":0}"#,
            None,
            &[("a", Some("emqx@1"), true), ("b", Some("emqx@2"), false), ("c", Some("emqx@1"), true)],
        );
        check(r#"[{"clientid":"a"},"b"]"#, None, &[("a", None, true), ("b", None, true)]);
        check("{\"clientid\":\"a\"}\n{\"clientid\":\"b\"}\n", None, &[("a", None, true), ("b", None, true)]);
        check(r#"{"data":[],"meta":{"count":0,"limit":100,"page":1,"hasnext":false}}"#, None, &[]);
        // EMQX 4 does not count what a query finds.
        let uncounted =
            r#"{"meta":{"page":1,"limit":10,"hasnext":false,"count":-1},"data":[{"clientid":"a"}],"code":0}"#;
        check(uncounted, None, &[("a", None, true)]);
        // Pages that a cursor leads to.
        check(
            r#"{"data":["a"],"meta":{"hasnext":true,"cursor":"x"}}{"data":["b"],"meta":{"hasnext":false}}"#,
            None,
            &[("a", None, true), ("b", None, true)],
        );

        refused(r#"{"data":["a"],"meta":{"page":1,"limit":1,"hasnext":true}}"#, "the page behind page 1 is missing");
        refused(r#"{"data":["a"],"meta":{"page":1,"limit":1,"count":2}}"#, "the page behind page 1 is missing");
        refused(r#"{"data":["a"],"meta":{"page":2,"limit":1,"hasnext":false}}"#, "the page before page 2 is missing");
        refused(r#"{"data":["a"],"meta":{"hasnext":true,"cursor":"x"}}"#, "the page behind the last one is missing");
        refused(
            r#"{"code":"BAD_API_KEY","message":"Check api_key/api_secret"}"#,
            r#"this is no client, and no page of clients: {"code":"BAD_API_KEY","message":"Check api_key/api_secret"}"#,
        );
        refused(
            r#"{"data":[{"clientid":"a"},"#,
            "it is cut off, or no JSON: EOF while parsing a value at line 1 column 26",
        );
    }

    #[test]
    fn pages_that_are_not_all_are_none() {
        let page = |number: u64, limit: u64, count: u64, has_next: bool, ids: &str| {
            format!(
                r#"{{"meta":{{"page":{number},"limit":{limit},"count":{count},"hasnext":{has_next}}},"data":[{ids}]}}"#
            )
        };
        let few = "it says that there are 3 clients, and names 2: fetch it anew, or take the list of emqx_ctl";
        refused(&page(1, 10, 3, false, r#""a","b""#), few);
        // `b` moved to the second page, and `c` before it.
        refused(&[page(1, 2, 3, true, r#""a","b""#), page(2, 2, 3, false, r#""b""#)].concat(), few);
        refused(
            &[page(1, 2, 4, true, r#""a","b""#), page(2, 3, 4, false, r#""d""#)].concat(),
            "the pages were not fetched with one `limit`, but with 2 and 3",
        );
        refused(&page(2, 2, 3, false, r#""c""#), "the page before page 2 is missing");
    }

    #[test]
    fn what_was_fetched_in_parts_is_told() {
        let ask = |text: &str| List::parse(text, None).unwrap().is_paged();
        assert!(!ask(r#"{"meta":{"page":1,"limit":9,"count":1,"hasnext":false},"data":["a"]}"#));
        assert!(!ask(r#"["a","b"]"#));
        assert!(!ask("{\"clientid\":\"a\"}\n{\"clientid\":\"b\"}\n"));
        assert!(ask(r#"["a"]["b"]"#));
        assert!(ask(r#"{"data":["a"]}{"data":["b"]}"#));
        // The last page of a cursor, or the only one.
        assert!(ask(r#"{"data":["a"],"meta":{"count":1,"hasnext":false}}"#));
    }

    #[test]
    fn a_clientid_a_line_is_not_guessed() {
        check("a\n b \r\n\nc", Some(Form::Plain), &[("a", None, true), (" b ", None, true), ("c", None, true)]);
        refused(
            "Node emqx@127.0.0.1 not responding to pings.\n",
            "it is neither JSON nor what `emqx_ctl clients list` prints; --form plain reads a clientid a line",
        );
    }
}
