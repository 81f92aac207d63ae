//! A type of the file, its decoder and its JSON Schema from one declaration, so that the three cannot say
//! different things.

use serde_json::json;

/// The doc comments of a declaration as one description.
pub(crate) fn description(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// Of each group of keys exactly one must stand there.
pub(crate) fn exactly_one(schema: &mut schemars::Schema, groups: Vec<Vec<&str>>) {
    let one_of = |group: Vec<&str>| -> Vec<_> { group.iter().map(|key| json!({ "required": [key] })).collect() };
    let mut groups: Vec<_> = groups.into_iter().map(one_of).collect();
    match groups.len() {
        0 => {}
        1 => {
            schema.insert("oneOf".into(), groups.pop().into());
        }
        _ => {
            let all: Vec<_> = groups.into_iter().map(|group| json!({ "oneOf": group })).collect();
            schema.insert("allOf".into(), all.into());
        }
    }
}

/// A mapping with fixed keys. After the fields may stand `exactly one of a, b: Code`, more than once, and `at least one of
/// a, b: Code`, and `no key of: why`, which says of an unknown key why there is none. A field is `required`, `optional` or
/// `client`: then the keys of all fields of a client stand there in its place.
macro_rules! record {
    (
        $(#[doc = $about:literal])+
        $name:ident ($what:literal) {
            $($(#[doc = $doc:literal])+ $need:ident $field:ident: $type:ty,)*
        }
        $(exactly one of $($one:ident),+: $none:ident)*
        $(at least one of $($some:ident),+: $nothing:ident)?
        $(no key of: $why:path)?
    ) => {
        $(#[doc = $about])+
        #[derive(Debug)]
        pub(crate) struct $name {
            span: $crate::policy::span::Span,
            $($(#[doc = $doc])+ pub(crate) $field: $crate::policy::declare::record!(@type $need $type),)*
        }

        impl $crate::policy::decode::Placed for $name {
            fn span(&self) -> $crate::policy::span::Span {
                self.span
            }
        }

        impl $crate::policy::decode::Decode for $name {
            const WHAT: &'static str = $what;

            fn decode(
                yaml: &$crate::policy::yaml::Yaml,
                cx: &mut $crate::policy::decode::Cx<'_>,
            ) -> Option<Self> {
                let entries = cx.mapping(yaml, Self::WHAT)?;
                let mut seen = $crate::policy::decode::Seen::default();
                let known = [$($crate::policy::declare::record!(@keys $need $field $type)),*].concat();
                $(let mut $field = <$crate::policy::declare::record!(@type $need $type)>::default();)*
                for (key, value) in entries {
                    let why: fn(&str) -> Option<&'static str> = $crate::policy::declare::record!(@why $($why)?);
                    let Some(name) = cx.key(key, &known, &mut seen, why) else { continue };
                    $($crate::policy::declare::record!(@read $need name, key, value, cx, $field);)*
                }
                $($crate::policy::declare::record!(@$need cx, yaml, &seen, $field);)*
                $(cx.exactly_one(yaml, &seen, &[$(stringify!($one)),+], Self::WHAT, $crate::policy::codes::Code::$none);)*
                $(cx.at_least_one(yaml, &seen, &[$(stringify!($some)),+], Self::WHAT, $crate::policy::codes::Code::$nothing);)?
                Some($name { span: yaml.span, $($field),* })
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let mut properties = serde_json::Map::new();
                let mut required: Vec<&str> = Vec::new();
                $(
                    let description = $crate::policy::declare::description(&[$($doc),+]);
                    $crate::policy::declare::record!(@describe $need $field $type, description, generator, properties);
                    if stringify!($need) == "required" {
                        required.push(stringify!($field));
                    }
                )*
                let mut schema = schemars::json_schema!({
                    "description": $crate::policy::declare::description(&[$($about),+]),
                    "type": "object",
                    "properties": properties,
                    "additionalProperties": false,
                });
                if !required.is_empty() {
                    schema.insert("required".into(), required.into());
                }
                $crate::policy::declare::exactly_one(&mut schema, vec![$(vec![$(stringify!($one)),+]),*]);
                $(schema.insert("anyOf".into(), serde_json::json!([$({ "required": [stringify!($some)] }),+]));)?
                schema
            }
        }
    };
    (@why) => {
        |_| None
    };
    (@why $why:path) => {
        $why
    };
    (@required $cx:ident, $yaml:ident, $seen:expr, $field:ident) => {
        $cx.require($yaml, $seen, stringify!($field), Self::WHAT)
    };
    (@optional $cx:ident, $yaml:ident, $seen:expr, $field:ident) => {};
    (@client $cx:ident, $yaml:ident, $seen:expr, $field:ident) => {};
    (@type client $type:ty) => { $type };
    (@type $need:ident $type:ty) => { Option<$crate::policy::decode::At<$type>> };
    (@keys client $field:ident $type:ty) => { <$type>::NAMES };
    (@keys $need:ident $field:ident $type:ty) => { &[stringify!($field)][..] };
    (@read client $name:ident, $key:ident, $value:ident, $cx:ident, $field:ident) => {
        $field.read($name, $key, $value, $cx)
    };
    (@read $need:ident $name:ident, $key:ident, $value:ident, $cx:ident, $field:ident) => {
        if $name == stringify!($field) {
            $field = $cx.at($key, $value);
        }
    };
    (@describe client $field:ident $type:ty, $description:ident, $generator:ident, $properties:ident) => {
        // Each of the keys has its own.
        drop($description);
        <$type>::describe($generator, &mut $properties);
    };
    (@describe $need:ident $field:ident $type:ty, $description:ident, $generator:ident, $properties:ident) => {
        let mut property = $generator.subschema_for::<$type>();
        property.insert("description".into(), $description.into());
        $properties.insert(stringify!($field).into(), property.to_value());
    };
}
pub(crate) use record;

/// A mapping with exactly one of several keys.
macro_rules! choice {
    (
        $(#[doc = $about:literal])+
        $name:ident ($what:literal) {
            $($(#[doc = $doc:literal])+ $variant:ident($key:literal): $type:ty,)*
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug)]
        pub(crate) enum $name {
            $($(#[doc = $doc])+ $variant($crate::policy::decode::At<$type>),)*
        }

        impl $crate::policy::decode::Decode for $name {
            const WHAT: &'static str = $what;

            fn decode(
                yaml: &$crate::policy::yaml::Yaml,
                cx: &mut $crate::policy::decode::Cx<'_>,
            ) -> Option<Self> {
                const KEYS: &[&str] = &[$($key),*];
                let entries = cx.mapping(yaml, Self::WHAT)?;
                let mut seen = $crate::policy::decode::Seen::default();
                let mut chosen = None;
                for (key, value) in entries {
                    let name = cx.key(key, KEYS, &mut seen, |_| None);
                    $(if name == Some($key) {
                        chosen = cx.at(key, value).map($name::$variant);
                    })*
                }
                if entries.is_empty() || !seen.of(KEYS).is_empty() {
                    cx.exactly_one(yaml, &seen, KEYS, Self::WHAT, $crate::policy::codes::Code::MissingKey);
                }
                chosen
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let mut properties = serde_json::Map::new();
                $(
                    let mut property = generator.subschema_for::<$type>();
                    property.insert("description".into(), $crate::policy::declare::description(&[$($doc),+]).into());
                    properties.insert($key.into(), property.to_value());
                )*
                schemars::json_schema!({
                    "description": $crate::policy::declare::description(&[$($about),+]),
                    "type": "object",
                    "properties": properties,
                    "additionalProperties": false,
                    "minProperties": 1,
                    "maxProperties": 1,
                })
            }
        }
    };
}
pub(crate) use choice;

/// One of several words.
macro_rules! words {
    (
        $(#[doc = $about:literal])+
        $name:ident ($what:literal) {
            $($(#[doc = $doc:literal])+ $variant:ident($word:literal),)*
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl $crate::policy::decode::Decode for $name {
            const WHAT: &'static str = $what;

            fn decode(
                yaml: &$crate::policy::yaml::Yaml,
                cx: &mut $crate::policy::decode::Cx<'_>,
            ) -> Option<Self> {
                const WORDS: &[&str] = &[$($word),*];
                let text = $crate::policy::decode::Text::decode(yaml, cx)?;
                match text.value.as_str() {
                    $($word => return Some($name::$variant),)*
                    other => cx.unknown_word(text.span, other, Self::WHAT, WORDS),
                }
                None
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "description": $crate::policy::declare::description(&[$($about),+]),
                    "oneOf": [$({
                        "const": $word,
                        "description": $crate::policy::declare::description(&[$($doc),+]),
                    }),*],
                })
            }
        }
    };
}
pub(crate) use words;
