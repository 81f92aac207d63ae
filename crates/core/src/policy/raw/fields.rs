//! The keys of a mapping that are fields of a client, with what may stand under each kind of field.

use std::fmt;

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

use crate::policy::decode::{At, Cx, Decode};
use crate::policy::model::{ClientField, FieldDescriptions, FlagFields, HostFields, PortFields, TextFields};
use crate::policy::yaml::Yaml;

/// What stands under the key of a field.
pub(crate) trait FieldForms {
    type Text: Decode + JsonSchema + fmt::Debug;
    type Host: Decode + JsonSchema + fmt::Debug;
    type Port: Decode + JsonSchema + fmt::Debug;
    type Flag: Decode + JsonSchema + fmt::Debug;

    /// Which of its descriptions the schema has.
    fn description(all: &'static FieldDescriptions) -> &'static str;
}

/// What is said of the fields of a client.
#[derive(Debug)]
pub(crate) struct FieldKeys<F: FieldForms> {
    pub(crate) texts: TextFields<Option<At<F::Text>>>,
    pub(crate) hosts: HostFields<Option<At<F::Host>>>,
    pub(crate) ports: PortFields<Option<At<F::Port>>>,
    pub(crate) flags: FlagFields<Option<At<F::Flag>>>,
}

impl<F: FieldForms> Default for FieldKeys<F> {
    fn default() -> Self {
        FieldKeys {
            texts: TextFields::each(|_| None),
            hosts: HostFields::each(|_| None),
            ports: PortFields::each(|_| None),
            flags: FlagFields::each(|_| None),
        }
    }
}

impl<F: FieldForms> FieldKeys<F> {
    /// The keys, in their order.
    pub(crate) const NAMES: &'static [&'static str] = ClientField::NAMES;

    /// Reads what stands under a key, where it is the name of a field.
    pub(crate) fn read(&mut self, name: &str, key: &Yaml, value: &Yaml, cx: &mut Cx<'_>) {
        match ClientField::named(name) {
            Some(ClientField::Text(field)) => *self.texts.get_mut(field) = cx.at(key, value),
            Some(ClientField::Host(field)) => *self.hosts.get_mut(field) = cx.at(key, value),
            Some(ClientField::Port(field)) => *self.ports.get_mut(field) = cx.at(key, value),
            Some(ClientField::Flag(field)) => *self.flags.get_mut(field) = cx.at(key, value),
            None => {}
        }
    }

    /// Adds the keys to the properties of a mapping.
    pub(crate) fn describe(generator: &mut SchemaGenerator, properties: &mut Map<String, Value>) {
        for field in ClientField::ALL {
            let mut property = match field {
                ClientField::Text(_) => generator.subschema_for::<F::Text>(),
                ClientField::Host(_) => generator.subschema_for::<F::Host>(),
                ClientField::Port(_) => generator.subschema_for::<F::Port>(),
                ClientField::Flag(_) => generator.subschema_for::<F::Flag>(),
            };
            property.insert("description".into(), F::description(field.descriptions()).into());
            properties.insert(field.name().to_owned(), property.to_value());
        }
    }
}
