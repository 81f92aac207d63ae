//! The section `metrics`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::super::declare::record;
use super::super::decode::{Cx, Decode, Text};
use super::super::duration::Duration;
use super::super::yaml::Yaml;

/// Counters and times for Prometheus.
#[derive(Debug)]
pub(crate) enum Metrics {
    File(FileMetrics),
    Listen(ListenMetrics),
}

record! {
    /// Counters and times for Prometheus, in a file.
    FileMetrics("the section `metrics`") {
        /// The path of the file, relative to this policy's folder: for the textfile collector of `node_exporter` its name ends in `.prom`.
        required file: Text,
        /// How often it is written (default: 15s).
        optional every: Duration,
    }
}

record! {
    /// Counters and times for Prometheus, to be asked for by HTTP.
    ListenMetrics("the section `metrics`") {
        /// An address of this machine, with a port: `127.0.0.1:9465`, say.
        required listen: Text,
    }
}

impl Decode for Metrics {
    const WHAT: &'static str = "the section `metrics`";

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        if yaml.key("listen").is_some() {
            ListenMetrics::decode(yaml, cx).map(Metrics::Listen)
        } else {
            FileMetrics::decode(yaml, cx).map(Metrics::File)
        }
    }
}

impl JsonSchema for Metrics {
    fn schema_name() -> Cow<'static, str> {
        "Metrics".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            generator.subschema_for::<FileMetrics>(),
            generator.subschema_for::<ListenMetrics>(),
        ] })
    }
}
