//! What a frame says: a call of a function, and which event it is.

use exhook_policy_core::decision::Mode;
use exhook_policy_core::event::{
    Action, Attempt, Client, Event, Extra, Message, Password, Payload, Peerhost, plain_reason,
};
use exhook_policy_core::hook::{Hook, HookSet};

use super::term::{Atom, Head, Reader, TermError};

/// The name in the state that the driver gives the broker at `init`, and gets back with every call.
pub(super) const STATE_NAME: &str = "exhook_policy";
/// The version of that state.
pub(super) const STATE_VERSION: i32 = 2;
/// A state of this version has no hooks.
const STATE_OF_MODE: i64 = 1;

/// What the host hands back of what this driver, or the one before it, told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriverState {
    /// The mode of the policy then.
    pub mode: Mode,
    /// The hooks that the host was told to call.
    pub hooks: Option<HookSet>,
}

/// What the host sends.
#[derive(Debug, Clone)]
pub enum Incoming<'a> {
    /// `{'C', Id, Module, Function, Args}`.
    Call(PortCall<'a>),
    /// `{'M', Term}`: some Erlang process sent the port's owner a message. It wants no answer.
    Message,
}

/// One call. It may be answered as soon as it is read, whatever is wrong with its arguments.
#[derive(Debug, Clone)]
pub struct PortCall<'a> {
    /// The id's term as it came.
    pub id: &'a [u8],
    /// Of the callback.
    pub module: Atom<'a>,
    /// The callback.
    pub function: Atom<'a>,
    /// Of the tuple.
    elements: u32,
    args: Reader<'a>,
}

impl<'a> Incoming<'a> {
    /// Reads the term of a frame, which is not compressed any more.
    ///
    /// # Errors
    /// It is neither of the two, or not even the function of the call can be read. There is no answer to that.
    /// What is wrong behind the function is found by [`PortCall::event`].
    pub fn read(frame: &'a [u8]) -> Result<Self, TermError> {
        let mut term = Reader::versioned(frame)?;
        let count = term.tuple()?;
        let kind = term.atom()?;
        if kind.is("M") {
            return Ok(Incoming::Message);
        }
        if !kind.is("C") || count < 4 {
            return Err(term.expected("a call"));
        }
        let id = term.skip()?;
        let module = name(&mut term, "the module")?;
        let function = name(&mut term, "the function")?;
        Ok(Incoming::Call(PortCall { id, module, function, elements: count, args: term }))
    }
}

/// A name, which is an atom; what else it can be read from serves to answer the call.
fn name<'a>(term: &mut Reader<'a>, what: &'static str) -> Result<Atom<'a>, TermError> {
    let mut ahead = *term;
    if let Ok(atom) = ahead.atom() {
        *term = ahead;
        return Ok(atom);
    }
    term.text(what).map(Atom::of)
}

impl<'a> PortCall<'a> {
    /// The hook whose callback is called.
    pub fn hook(&self) -> Option<Hook> {
        Hook::of_callback(self.function.name())
    }

    /// The event that a call of this hook tells of.
    ///
    /// # Errors
    /// The arguments are not those of the hook, or cannot be read.
    pub fn event(&self, hook: Hook) -> Result<Event<'a>, TermError> {
        let mut args = self.args;
        if self.elements != 5 {
            return Err(args.expected("a call with its arguments alone"));
        }
        // Nothing in an event comes from the state, so a host that leaves it out is understood.
        let list = args.arguments(arity(hook) + 1)?;
        let event = event(hook, &mut args)?;
        if list.count > arity(hook) {
            args.skip()?;
        }
        args.list_end(list)?;
        args.end()?;
        Ok(event)
    }

    /// The mode of the policy that this driver, or the one before it, gave the broker with its hooks;
    /// `None` where the state is not of our making.
    pub fn state(&self) -> Option<DriverState> {
        let mut args = self.args;
        let list = args.list().ok()?;
        for _ in 1..list.count {
            args.skip().ok()?;
        }
        let size = if list.count == 0 { 0 } else { args.tuple().ok()? };
        if !(3..=4).contains(&size) || !args.atom().ok()?.is(STATE_NAME) {
            return None;
        }
        let version = args.integer().ok()?;
        if (version, size) != (STATE_OF_MODE, 3) && (version, size) != (i64::from(STATE_VERSION), 4) {
            return None;
        }
        let mode = args.atom().ok()?;
        let mode = [Mode::Enforce, Mode::Audit].into_iter().find(|known| mode.is(known.as_str()))?;
        let hooks = if size == 4 { Some(HookSet::of_bits(args.integer().ok()?.try_into().ok()?)) } else { None };
        Some(DriverState { mode, hooks })
    }
}

/// How many arguments a callback has, the state not counted.
fn arity(hook: Hook) -> u32 {
    match hook {
        Hook::ClientConnected
        | Hook::SessionCreated
        | Hook::SessionResumed
        | Hook::SessionDiscarded
        | Hook::SessionTakenOver
        | Hook::MessagePublish => 1,
        Hook::ClientConnect
        | Hook::ClientDisconnected
        | Hook::ClientAuthenticate
        | Hook::SessionUnsubscribed
        | Hook::SessionTerminated => 2,
        Hook::ClientConnack | Hook::ClientSubscribe | Hook::ClientUnsubscribe | Hook::SessionSubscribed => 3,
        Hook::ClientCheckAcl => 4,
    }
}

/// Reads as many arguments as [`arity`] says.
fn event<'a>(hook: Hook, args: &mut Reader<'a>) -> Result<Event<'a>, TermError> {
    Ok(match hook {
        Hook::ClientConnect => {
            let attempt = attempt(args)?;
            args.skip()?;
            Event::Connect(attempt)
        }
        Hook::ClientConnack => {
            let attempt = attempt(args)?;
            let code = args.text("the CONNACK code")?;
            Event::Connack { attempt, code, assigned: assigned(args)? }
        }
        Hook::ClientConnected => Event::Connected(client(args)?),
        Hook::ClientDisconnected => Event::Disconnected { client: client(args)?, reason: reason(args)? },
        Hook::ClientAuthenticate => {
            let (client, password) = client_with_password(args)?;
            args.skip()?;
            Event::Authenticate { client, password }
        }
        Hook::ClientCheckAcl => {
            let client = client(args)?;
            let action = action(args)?;
            let topic = args.text("the topic")?;
            args.skip()?;
            Event::CheckAcl { client, action, topic }
        }
        Hook::ClientSubscribe | Hook::ClientUnsubscribe => {
            let client = client(args)?;
            args.skip()?;
            args.skip()?;
            if hook == Hook::ClientSubscribe { Event::Subscribe(client) } else { Event::Unsubscribe(client) }
        }
        Hook::SessionCreated => Event::SessionCreated(client(args)?),
        Hook::SessionResumed => Event::SessionResumed(client(args)?),
        Hook::SessionDiscarded => Event::SessionDiscarded(client(args)?),
        Hook::SessionTakenOver => Event::SessionTakenOver(client(args)?),
        Hook::SessionSubscribed => {
            Event::SessionSubscribed { client: client(args)?, topic: args.text("the topic")?, qos: granted(args)? }
        }
        Hook::SessionUnsubscribed => {
            let client = client(args)?;
            let topic = args.text("the topic")?;
            Event::SessionUnsubscribed { client, topic }
        }
        Hook::SessionTerminated => Event::SessionTerminated { client: client(args)?, reason: reason(args)? },
        Hook::MessagePublish => Event::MessagePublish(message(args)?),
    })
}

fn client<'a>(args: &mut Reader<'a>) -> Result<Client<'a>, TermError> {
    client_with_password(args).map(|(client, _)| client)
}

fn client_with_password<'a>(args: &mut Reader<'a>) -> Result<(Client<'a>, Password<'a>), TermError> {
    match usual_client(args) {
        Some(client) => Ok(client),
        None => CallFields::read(args)?.client(),
    }
}

/// A clientinfo as brokers write it, key by key in their order. `None` where anything is otherwise, and nothing is read.
fn usual_client<'a>(args: &mut Reader<'a>) -> Option<(Client<'a>, Password<'a>)> {
    let mut term = *args;
    let list = term.list().ok().filter(|list| list.count == 10)?;
    let node = term.value_of(b"node")?.text("the node").ok()?;
    let clientid = term.value_of(b"clientid")?.text("the clientid").ok()?;
    let username = term.value_of(b"username")?.text("the username").ok()?;
    let password = term.value_of(b"password")?.bytes("the password").ok()?;
    let peerhost = term.value_of(b"peerhost")?.text("the peerhost").ok()?;
    let sockport = term.value_of(b"sockport")?.integer_of("a port").ok()?;
    let protocol = term.value_of(b"protocol")?.text("the protocol").ok()?;
    let mountpoint = term.value_of(b"mountpoint")?.text("the mountpoint").ok()?;
    let is_superuser = term.value_of(b"is_superuser")?.boolean().ok()?;
    let anonymous = term.value_of(b"anonymous")?.boolean().ok()?;
    term.list_end(list).ok()?;
    *args = term;
    let peerhost = Peerhost::parse(peerhost);
    let client = Client {
        clientid,
        username,
        peerhost,
        sockport,
        protocol,
        mountpoint,
        node,
        is_superuser,
        anonymous,
        extra: Extra::NONE,
    };
    Some((client, Password::new(password)))
}

fn attempt<'a>(args: &mut Reader<'a>) -> Result<Attempt<'a>, TermError> {
    CallFields::read(args)?.attempt()
}

/// The values of a clientinfo or conninfo. Of a key that stands there twice the first counts, as for
/// Erlang's own property lists.
#[derive(Default)]
struct CallFields<'a> {
    node: Option<&'a str>,
    clientid: Option<&'a str>,
    username: Option<&'a str>,
    password: Option<&'a [u8]>,
    peerhost: Option<&'a str>,
    sockport: Option<u16>,
    protocol: Option<&'a str>,
    mountpoint: Option<&'a str>,
    is_superuser: Option<bool>,
    anonymous: Option<bool>,
    proto_name: Option<&'a str>,
    proto_ver: Option<u8>,
    keepalive: Option<u16>,
}

/// Reads a field that is not set yet; a later one of the name is passed over.
fn first<'a, T>(
    field: &mut Option<T>,
    args: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, TermError>,
) -> Result<(), TermError> {
    if field.is_none() {
        *field = Some(read(args)?);
        return Ok(());
    }
    args.skip().map(|_| ())
}

impl<'a> CallFields<'a> {
    fn read(args: &mut Reader<'a>) -> Result<Self, TermError> {
        let mut fields = CallFields::default();
        let mut properties = args.properties()?;
        while let Some(key) = properties.next(args)? {
            match key.name() {
                b"node" => first(&mut fields.node, args, |args| args.text("the node"))?,
                b"clientid" => first(&mut fields.clientid, args, |args| args.text("the clientid"))?,
                b"username" => first(&mut fields.username, args, |args| args.text("the username"))?,
                b"password" => first(&mut fields.password, args, |args| args.bytes("the password"))?,
                b"peerhost" => first(&mut fields.peerhost, args, |args| args.text("the peerhost"))?,
                b"sockport" => first(&mut fields.sockport, args, |args| args.integer_of("a port"))?,
                b"protocol" => first(&mut fields.protocol, args, |args| args.text("the protocol"))?,
                b"mountpoint" => first(&mut fields.mountpoint, args, |args| args.text("the mountpoint"))?,
                b"is_superuser" => first(&mut fields.is_superuser, args, Reader::boolean)?,
                b"anonymous" => first(&mut fields.anonymous, args, Reader::boolean)?,
                b"proto_name" => first(&mut fields.proto_name, args, |args| args.text("the protocol's name"))?,
                b"proto_ver" => first(&mut fields.proto_ver, args, number)?,
                b"keepalive" => first(&mut fields.keepalive, args, number)?,
                _ => {
                    args.skip()?;
                }
            }
        }
        Ok(fields)
    }

    /// Everything that a rule may ask about has to be there: what is not known cannot be decided on.
    fn client(self) -> Result<(Client<'a>, Password<'a>), TermError> {
        let client = Client {
            clientid: self.clientid.ok_or(TermError::missing("the clientid"))?,
            username: self.username.ok_or(TermError::missing("the username"))?,
            peerhost: Peerhost::parse(self.peerhost.ok_or(TermError::missing("the peerhost"))?),
            sockport: self.sockport.ok_or(TermError::missing("the sockport"))?,
            protocol: self.protocol.ok_or(TermError::missing("the protocol"))?,
            mountpoint: self.mountpoint.ok_or(TermError::missing("the mountpoint"))?,
            node: self.node.ok_or(TermError::missing("the node"))?,
            is_superuser: self.is_superuser.ok_or(TermError::missing("is_superuser"))?,
            anonymous: self.anonymous.ok_or(TermError::missing("anonymous"))?,
            extra: Extra::NONE,
        };
        Ok((client, Password::new(self.password.unwrap_or_default())))
    }

    fn attempt(self) -> Result<Attempt<'a>, TermError> {
        Ok(Attempt {
            clientid: self.clientid.ok_or(TermError::missing("the clientid"))?,
            username: self.username.ok_or(TermError::missing("the username"))?,
            peerhost: Peerhost::parse(self.peerhost.ok_or(TermError::missing("the peerhost"))?),
            sockport: self.sockport.ok_or(TermError::missing("the sockport"))?,
            proto_name: self.proto_name.unwrap_or_default(),
            proto_ver: self.proto_ver.unwrap_or_default(),
            keepalive: self.keepalive.unwrap_or_default(),
            node: self.node.ok_or(TermError::missing("the node"))?,
            extra: Extra::NONE,
        })
    }
}

/// A number that is only written down: gateways of other protocols than MQTT give other things here,
/// and these are 0.
fn number<T: TryFrom<i64> + Default>(value: &mut Reader<'_>) -> Result<T, TermError> {
    let mut term = Reader::new(value.skip()?);
    Ok(term.integer().ok().and_then(|number| number.try_into().ok()).unwrap_or_default())
}

fn action(args: &mut Reader<'_>) -> Result<Action, TermError> {
    let error = args.expected("publish or subscribe");
    let word = args.atom()?;
    [Action::Publish, Action::Subscribe].into_iter().find(|action| word.is(action.as_str())).ok_or(error)
}

/// Why a connection or session ended. It is only written down, so of anything that is no text, no more is
/// taken than is; the event itself must not be lost.
fn reason<'a>(args: &mut Reader<'a>) -> Result<&'a str, TermError> {
    let mut term = Reader::new(args.skip()?);
    let bytes = term.bytes("a reason").unwrap_or_default();
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            bytes.get(..error.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok()).unwrap_or_default()
        }
    };
    Ok(plain_reason(text))
}

/// The clientid that the broker chose, among the properties of a CONNACK.
fn assigned<'a>(args: &mut Reader<'a>) -> Result<Option<&'a str>, TermError> {
    let mut term = Reader::new(args.skip()?);
    // The properties may come as a map, or not at all.
    let Ok(Head::List(_)) = Reader::head(&mut { term }) else { return Ok(None) };
    let mut found = None;
    let mut properties = term.properties()?;
    while let Some(key) = properties.next(&mut term)? {
        if found.is_none() && key.is("Assigned-Client-Identifier") {
            found = Some(term.text("the assigned clientid")?);
        } else {
            term.skip()?;
        }
    }
    Ok(found)
}

/// The quality of service among a subscription's options.
fn granted(args: &mut Reader<'_>) -> Result<u8, TermError> {
    let mut qos = None;
    let mut properties = args.properties()?;
    while let Some(key) = properties.next(args)? {
        if qos.is_none() && key.is("qos") {
            qos = Some(args.integer_of("a quality of service")?);
        } else {
            args.skip()?;
        }
    }
    qos.ok_or(TermError::missing("the quality of service"))
}

fn message<'a>(args: &mut Reader<'a>) -> Result<Message<'a>, TermError> {
    let (mut from, mut topic, mut qos, mut payload, mut timestamp, mut node) = (None, None, None, None, None, None);
    let mut properties = args.properties()?;
    while let Some(key) = properties.next(args)? {
        match key.name() {
            b"from" => first(&mut from, args, |args| args.text("the publisher"))?,
            b"topic" => first(&mut topic, args, |args| args.text("the topic"))?,
            b"qos" => first(&mut qos, args, |args| args.integer_of("a quality of service"))?,
            b"payload" => first(&mut payload, args, |args| args.bytes("the payload"))?,
            b"timestamp" => first(&mut timestamp, args, Reader::integer)?,
            b"node" => first(&mut node, args, |args| args.text("the node"))?,
            _ => {
                args.skip()?;
            }
        }
    }
    Ok(Message {
        from: from.ok_or(TermError::missing("the publisher"))?,
        topic: topic.ok_or(TermError::missing("the topic"))?,
        qos: qos.ok_or(TermError::missing("the quality of service"))?,
        payload: Payload::new(payload.ok_or(TermError::missing("the payload"))?),
        timestamp: timestamp.ok_or(TermError::missing("the timestamp"))?,
        node: node.ok_or(TermError::missing("the node"))?,
        cluster: None,
    })
}

#[cfg(test)]
mod tests;
