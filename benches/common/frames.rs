//! The broker's calls as bytes, without a broker.

/// A client as the calls describe it.
#[derive(Debug, Clone)]
pub struct Client {
    pub clientid: String,
    pub username: String,
    pub peerhost: String,
}

impl Client {
    /// One of a fleet, known by its number: `device-0000000042`, seventeen bytes, under its own name.
    pub fn number(number: usize) -> Self {
        let clientid = format!("device-{number:010}");
        let [a, b] = [number / 250 % 250, number % 250 + 1];
        Client { username: clientid.clone(), clientid, peerhost: format!("10.0.{a}.{b}") }
    }
}

/// Appends a call of `init`.
pub fn init(out: &mut Vec<u8>) {
    frame(out, 1, "init", |term| term.push(NIL));
}

/// Appends a call of `on_client_authenticate`.
pub fn authenticate(out: &mut Vec<u8>, id: u32, client: &Client, password: &str) {
    call(out, id, "on_client_authenticate", 3, |term| {
        clientinfo(term, client, password);
        atom(term, "true");
    });
}

/// Appends a call of `on_client_check_acl`; `action` is `publish` or `subscribe`.
pub fn check_acl(out: &mut Vec<u8>, id: u32, client: &Client, action: &str, topic: &str) {
    call(out, id, "on_client_check_acl", 5, |term| {
        clientinfo(term, client, "");
        atom(term, action);
        binary(term, topic);
        atom(term, "true");
    });
}

/// Appends a call of `on_client_connected`.
pub fn connected(out: &mut Vec<u8>, id: u32, client: &Client) {
    call(out, id, "on_client_connected", 2, |term| clientinfo(term, client, ""));
}

/// Appends a call of `on_client_disconnected`.
pub fn disconnected(out: &mut Vec<u8>, id: u32, client: &Client) {
    call(out, id, "on_client_disconnected", 3, |term| {
        clientinfo(term, client, "");
        binary(term, "tcp_closed");
    });
}

const NIL: u8 = 106;

/// A call whose last argument is the state that the driver gave at `init`.
fn call(out: &mut Vec<u8>, id: u32, function: &str, arguments: u32, write: impl FnOnce(&mut Vec<u8>)) {
    frame(out, id, function, |term| {
        list(term, arguments);
        write(term);
        tuple(term, 3);
        atom(term, "exhook_policy");
        term.extend([97, 1]);
        atom(term, "enforce");
        term.push(NIL);
    });
}

fn frame(out: &mut Vec<u8>, id: u32, function: &str, arguments: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 4]);
    out.push(131);
    tuple(out, 5);
    atom(out, "C");
    integer(out, id);
    atom(out, "rules");
    atom(out, function);
    arguments(out);
    let length = u32::try_from(out.len() - start - 4).expect("a short frame");
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn clientinfo(out: &mut Vec<u8>, client: &Client, password: &str) {
    list(out, 10);
    field(out, "node", |out| atom(out, "emqx@127.0.0.1"));
    field(out, "clientid", |out| binary(out, &client.clientid));
    field(out, "username", |out| binary(out, &client.username));
    field(out, "password", |out| binary(out, password));
    field(out, "peerhost", |out| binary(out, &client.peerhost));
    field(out, "sockport", |out| integer(out, 1883));
    field(out, "protocol", |out| atom(out, "mqtt"));
    field(out, "mountpoint", |out| binary(out, ""));
    field(out, "is_superuser", |out| atom(out, "false"));
    field(out, "anonymous", |out| atom(out, "false"));
    out.push(NIL);
}

fn field(out: &mut Vec<u8>, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
    tuple(out, 2);
    atom(out, name);
    value(out);
}

fn tuple(out: &mut Vec<u8>, count: u8) {
    out.extend([104, count]);
}

fn list(out: &mut Vec<u8>, count: u32) {
    out.push(108);
    out.extend(count.to_be_bytes());
}

fn atom(out: &mut Vec<u8>, text: &str) {
    out.push(100);
    out.extend(u16::try_from(text.len()).expect("a short atom").to_be_bytes());
    out.extend(text.as_bytes());
}

fn binary(out: &mut Vec<u8>, text: &str) {
    out.push(109);
    out.extend(u32::try_from(text.len()).expect("a short text").to_be_bytes());
    out.extend(text.as_bytes());
}

fn integer(out: &mut Vec<u8>, value: u32) {
    if let Ok(small) = u8::try_from(value) {
        out.extend([97, small]);
    } else {
        out.push(98);
        out.extend(value.to_be_bytes());
    }
}
