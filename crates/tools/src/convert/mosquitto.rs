//! mosquitto's `acl_file` and `password_file`.

use super::ConversionProblem;
use super::draft::{
    self, DraftCondition, DraftItem, DraftRule, DraftSection, DraftTopics, DraftWho, Field, PolicyDraft,
};
use exhook_policy_core::decision::Verdict;
use exhook_policy_core::topic::Pattern;

/// Converts an `acl_file`, and the use of a `password_file`, by its path.
///
/// # Errors
/// Every line that mosquitto itself would refuse, or that cannot be said in a policy.
pub fn mosquitto(acl: Option<&str>, password_file: Option<&str>) -> Result<PolicyDraft, Vec<ConversionProblem>> {
    let mut about = vec!["Made from mosquitto's acl_file and password_file.".to_owned()];
    if acl.is_some() {
        about.push(
            "mosquitto lets every SUBSCRIBE pass and drops what the client may not `read` when it delivers. Here a SUBSCRIBE \
             that asks for more than its rule allows is denied as a whole: clients must ask for what they may read."
                .to_owned(),
        );
    }
    let acl = acl.map(section).transpose()?;
    let auth = password_file.map(|_| logins());
    Ok(PolicyDraft { about, passwords: password_file.map(str::to_owned), auth, acl })
}

fn logins() -> DraftSection {
    let notes = vec![
        "Users of the password file, with its `$6$` and `$7$` hashes as they are. mosquitto's `allow_anonymous` is not carried \
         over: add { allow: { username: \"\" } } where clients without a name may connect."
            .to_owned(),
    ];
    let rule = DraftRule {
        notes: Vec::new(),
        id: "users".to_owned(),
        verdict: Verdict::Allow,
        who: DraftWho::Everyone,
        password: true,
        topics: DraftTopics::default(),
    };
    DraftSection { notes, default: Verdict::Deny, items: vec![DraftItem::Rule(rule)] }
}

/// The clients that lines are about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum MosquittoSubject {
    /// Clients without a username.
    Anonymous,
    User(String),
    /// `pattern` lines.
    All,
}

/// The lines about one subject.
#[derive(Debug)]
struct Block {
    subject: MosquittoSubject,
    denied: Vec<draft::DraftPattern>,
    /// A `deny` line stands behind another one.
    moved: bool,
    allowed: DraftTopics,
}

enum MosquittoAccess {
    Read,
    Write,
    Both,
    Deny,
}

fn section(acl: &str) -> Result<DraftSection, Vec<ConversionProblem>> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut patterns = Block::new(MosquittoSubject::All);
    let mut subject = MosquittoSubject::Anonymous;
    let mut problems = Vec::new();
    for (at, line) in acl.lines().enumerate() {
        match read(line) {
            Ok(None) => {}
            Ok(Some(MosquittoLine::User(name))) => subject = MosquittoSubject::User(name),
            Ok(Some(MosquittoLine::Pattern(access, topic))) => patterns.add(&access, topic),
            Ok(Some(MosquittoLine::Topic(access, topic))) => {
                if !blocks.iter().any(|block| block.subject == subject) {
                    blocks.push(Block::new(subject.clone()));
                }
                for block in blocks.iter_mut().filter(|block| block.subject == subject) {
                    block.add(&access, topic.clone());
                }
            }
            Err(message) => problems.push(ConversionProblem::new(at.saturating_add(1), message)),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let items = blocks.into_iter().chain([patterns]).flat_map(Block::items).collect();
    Ok(DraftSection { notes: Vec::new(), default: Verdict::Deny, items })
}

enum MosquittoLine {
    User(String),
    Topic(MosquittoAccess, String),
    Pattern(MosquittoAccess, String),
}

fn read(line: &str) -> Result<Option<MosquittoLine>, String> {
    let line = line.trim_ascii_end();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim_ascii();
    match word {
        "user" if rest.is_empty() => Err("`user` needs a name".to_owned()),
        "user" if rest.contains("${") || rest.contains("%c") || rest.contains("%u") => {
            Err(format!("the user \"{rest}\" cannot be said in a policy: it looks like a placeholder"))
        }
        "user" => Ok(Some(MosquittoLine::User(rest.to_owned()))),
        "topic" => access(rest, false).map(|(access, topic)| Some(MosquittoLine::Topic(access, topic))),
        "pattern" => access(rest, true).map(|(access, topic)| Some(MosquittoLine::Pattern(access, topic))),
        _ => Err(format!("a line begins with `user`, `topic`, `pattern` or `#`, not with \"{word}\"")),
    }
}

/// The access, which may be left out, and the topic.
fn access(rest: &str, placeholders: bool) -> Result<(MosquittoAccess, String), String> {
    if rest.is_empty() {
        return Err("a topic must stand here".to_owned());
    }
    let (access, topic) = match rest.split_once(' ') {
        None => (MosquittoAccess::Both, rest),
        Some((word, topic)) => {
            let access = match word {
                "read" => MosquittoAccess::Read,
                "write" => MosquittoAccess::Write,
                "readwrite" => MosquittoAccess::Both,
                "deny" => MosquittoAccess::Deny,
                _ => return Err(format!("the access is `read`, `write`, `readwrite` or `deny`, not \"{word}\"")),
            };
            (access, topic.trim_ascii())
        }
    };
    let filter =
        if placeholders { topic.replace("%c", "${clientid}").replace("%u", "${username}") } else { topic.to_owned() };
    match Pattern::filter(&filter) {
        Ok(_) => Ok((access, filter)),
        Err(error) => Err(format!("the topic \"{topic}\" cannot be said in a policy: {}", error.message)),
    }
}

impl Block {
    fn new(subject: MosquittoSubject) -> Self {
        Block { subject, denied: Vec::new(), moved: false, allowed: DraftTopics::default() }
    }

    fn add(&mut self, access: &MosquittoAccess, topic: String) {
        let topic = draft::DraftPattern::Filter(topic);
        match access {
            MosquittoAccess::Deny => {
                self.moved |= !self.allowed.is_empty();
                self.denied.push(topic);
            }
            MosquittoAccess::Read => self.allowed.subscribe.push(topic),
            MosquittoAccess::Write => self.allowed.publish.push(topic),
            MosquittoAccess::Both => self.allowed.both.push(topic),
        }
    }

    /// mosquitto looks at what is denied before it looks at what is allowed, wherever the lines
    /// stand.
    fn items(self) -> Vec<DraftItem> {
        let (id, who) = match &self.subject {
            MosquittoSubject::Anonymous => ("anonymous".to_owned(), username("")),
            // An id stands in logs and records, and nothing in it may be invisible.
            MosquittoSubject::User(name) => (
                format!("user {}", name.replace(|c: char| c.is_control() || (c.is_whitespace() && c != ' '), "?")),
                username(name),
            ),
            MosquittoSubject::All => ("pattern".to_owned(), DraftWho::Everyone),
        };
        let mut items = Vec::new();
        let mut rule = |notes, verdict, id, topics: DraftTopics| {
            if !topics.is_empty() {
                items.push(DraftItem::Rule(DraftRule {
                    notes,
                    id,
                    verdict,
                    who: who.clone(),
                    password: false,
                    topics,
                }));
            }
        };
        let stricter = "Stricter: a subscription that would receive one of these topics is denied; mosquitto accepts it and \
                        leaves them out.";
        let mut notes = vec![stricter.to_owned()];
        if self.moved {
            notes.push("Moved: mosquitto asks `deny` lines first, wherever they stand.".to_owned());
        }
        rule(notes, Verdict::Deny, format!("{id} deny"), DraftTopics { both: self.denied, ..DraftTopics::default() });
        let reads = !self.allowed.subscribe.is_empty() || !self.allowed.both.is_empty();
        let note = "Stricter: a SUBSCRIBE to more than this is denied, not filtered.".to_owned();
        rule(if reads { vec![note] } else { Vec::new() }, Verdict::Allow, id, self.allowed);
        items
    }
}

fn username(name: &str) -> DraftWho {
    DraftWho::Any(vec![vec![DraftCondition { field: Field::Username, value: name.to_owned() }]])
}
