//! Terms and frames as a broker sends them.

use eetf::{Atom, Binary, FixInteger, List, Term, Tuple};

pub(crate) fn atom(text: &str) -> Term {
    Atom::from(text).into()
}

pub(crate) fn binary(bytes: impl AsRef<[u8]>) -> Term {
    Binary::from(bytes.as_ref().to_vec()).into()
}

pub(crate) fn integer(value: i32) -> Term {
    FixInteger::from(value).into()
}

pub(crate) fn tuple(elements: impl Into<Vec<Term>>) -> Term {
    Tuple::from(elements.into()).into()
}

pub(crate) fn list(elements: impl IntoIterator<Item = Term>) -> Term {
    List::from(Vec::from_iter(elements)).into()
}

/// A list of keys with values.
pub(crate) fn properties<const N: usize>(fields: [(&str, Term); N]) -> Term {
    list(fields.map(|(key, value)| tuple([atom(key), value])))
}

/// A client at this machine, as EMQX 4.2 tells of one that logs in.
pub(crate) fn clientinfo(clientid: &str, username: &str, password: &str) -> Term {
    properties([
        ("node", atom("emqx@127.0.0.1")),
        ("clientid", binary(clientid)),
        ("username", binary(username)),
        ("password", binary(password)),
        ("peerhost", binary("127.0.0.1")),
        ("sockport", integer(1883)),
        ("protocol", atom("mqtt")),
        ("mountpoint", binary("")),
        ("is_superuser", atom("false")),
        ("anonymous", atom("true")),
    ])
}

/// A call of a function of a policy.
pub(crate) fn call(id: i32, module: &str, function: &str, arguments: impl IntoIterator<Item = Term>) -> Vec<u8> {
    encoded(&tuple([atom("C"), integer(id), atom(module), atom(function), list(arguments)]))
}

/// The reply to a call.
pub(crate) fn reply(id: i32, result: Term) -> Term {
    tuple([atom("r"), integer(id), result])
}

pub(crate) fn encoded(term: &Term) -> Vec<u8> {
    let mut bytes = Vec::new();
    term.encode(&mut bytes).unwrap();
    bytes
}

/// A term behind its length.
pub(crate) fn framed(term: &[u8]) -> Vec<u8> {
    [&u32::try_from(term.len()).unwrap().to_be_bytes()[..], term].concat()
}
