//! The brokers' messages by the brokers' definitions: `tests/wire/grpc/dialects`, one file a dialect.

use std::path::Path;
use std::sync::LazyLock;

use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, MethodDescriptor, ReflectMessage,
    ServiceDescriptor, Value,
};
use serde_json::Value as Json;

/// How the brokers of some versions speak.
#[derive(Debug)]
pub(crate) struct Dialect {
    pub(crate) name: &'static str,
    /// One of the versions.
    pub(crate) version: &'static str,
    service: ServiceDescriptor,
}

/// All of them, the oldest first.
pub(crate) fn all() -> &'static [Dialect] {
    static ALL: LazyLock<Vec<Dialect>> = LazyLock::new(|| {
        let versions = [
            ("v1a", "4.3.1"),
            ("v1b", "4.3.5"),
            ("v1c", "4.3.22"),
            ("v1d", "4.4.19"),
            ("v2a", "5.3.2"),
            ("v2b", "5.8.3"),
            ("v3", "6.0.1"),
        ];
        versions.map(|(name, version)| Dialect { name, version, service: compiled(name) }).into()
    });
    &ALL
}

pub(crate) fn named(name: &str) -> &'static Dialect {
    all().iter().find(|dialect| dialect.name == name).unwrap()
}

fn compiled(name: &str) -> ServiceDescriptor {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/grpc/dialects");
    let file = protox::compile([format!("{name}.proto")], [folder]).unwrap();
    let pool = DescriptorPool::from_file_descriptor_set(file).unwrap();
    pool.services().next().unwrap()
}

impl Dialect {
    /// The method that tells of a hook, `client.connected` say, or of `provider.loaded`.
    pub(crate) fn method(&self, point: &str) -> MethodDescriptor {
        self.service.methods().find(|method| point_of(method.name()) == point).unwrap()
    }

    /// The path that requests of it go to.
    pub(crate) fn path(&self, method: &str) -> String {
        format!("/{}/{method}", self.service.full_name())
    }

    /// The hooks that the broker knows, in order. It does not load a provider that names another.
    pub(crate) fn hooks(&self) -> Vec<String> {
        let mut hooks: Vec<_> = self.service.methods().map(|method| point_of(method.name())).collect();
        hooks.retain(|hook| !hook.starts_with("provider."));
        hooks.sort();
        hooks
    }

    pub(crate) fn knows(&self, point: &str) -> bool {
        self.service.methods().any(|method| point_of(method.name()) == point)
    }

    /// Whether a message has a field.
    pub(crate) fn has(&self, message: &str, field: &str) -> bool {
        let name = format!("{}.{message}", self.service.package_name());
        let message = self.service.parent_pool().get_message_by_name(&name);
        message.is_some_and(|message| message.get_field_by_name(field).is_some())
    }
}

/// `OnClientCheckAcl` is `client.check_acl`.
fn point_of(method: &str) -> String {
    let mut words = String::new();
    for letter in method.strip_prefix("On").unwrap().chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(if words.contains('.') { '_' } else { '.' });
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// A message with all the fields of its definition. What `fields` has besides is another dialect's.
pub(crate) fn message(of: &MessageDescriptor, fields: &Json) -> DynamicMessage {
    let mut message = DynamicMessage::new(of.clone());
    for field in of.fields() {
        let given = fields.get(field.name()).unwrap_or_else(|| panic!("{}: nothing in {fields}", field.full_name()));
        message.set_field(&field, value(&field, given));
    }
    message
}

fn value(field: &FieldDescriptor, given: &Json) -> Value {
    if field.is_map() {
        let text = |value: &Json| value.as_str().unwrap().to_owned();
        let entries = given.as_object().unwrap().iter();
        return Value::Map(entries.map(|(k, v)| (MapKey::String(k.clone()), Value::String(text(v)))).collect());
    }
    if field.is_list() {
        return Value::List(given.as_array().unwrap().iter().map(|given| single(&field.kind(), given)).collect());
    }
    single(&field.kind(), given)
}

fn single(kind: &Kind, given: &Json) -> Value {
    let value = match kind {
        Kind::Message(of) => Some(Value::Message(message(of, given))),
        Kind::Enum(of) => given.as_str().and_then(|name| Some(Value::EnumNumber(of.get_value_by_name(name)?.number()))),
        Kind::String => given.as_str().map(|text| Value::String(text.to_owned())),
        Kind::Bytes => given.as_str().map(|text| Value::Bytes(text.to_owned().into())),
        Kind::Bool => given.as_bool().map(Value::Bool),
        Kind::Uint32 => given.as_u64().and_then(|n| Some(Value::U32(n.try_into().ok()?))),
        Kind::Uint64 => given.as_u64().map(Value::U64),
        Kind::Int64 => given.as_i64().map(Value::I64),
        other => panic!("no broker sends a {other:?}"),
    };
    value.unwrap_or_else(|| panic!("{given} is no {kind:?}"))
}

/// The text, number or list of a field.
pub(crate) fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).unwrap().as_str().unwrap().to_owned()
}

/// Fails where a message holds, at any depth, what its definition does not have.
#[track_caller]
pub(crate) fn check_known(message: &DynamicMessage) {
    assert_eq!(message.unknown_fields().count(), 0, "{}: {message}", message.descriptor().full_name());
    for (_, value) in message.fields() {
        if let Value::Message(inner) = value {
            check_known(inner);
        }
    }
}
