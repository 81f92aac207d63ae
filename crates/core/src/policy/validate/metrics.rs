//! The section `metrics`.

use std::net::SocketAddr;
use std::time::Duration as Time;

use super::super::codes::Code;
use super::super::decode::Text;
use super::super::diag::{Diagnostic, quote};
use super::super::model::MetricsDef;
use super::super::raw;
use super::{SECOND, Validator};

const DEFAULT_EVERY: Time = Time::from_secs(15);
const HOUR: Time = Time::from_secs(3600);

impl Validator<'_> {
    pub(super) fn metrics(&mut self, metrics: raw::Metrics) -> Option<MetricsDef> {
        match metrics {
            raw::Metrics::File(metrics) => {
                let every = self.within("every", metrics.every.as_ref(), SECOND, HOUR).unwrap_or(DEFAULT_EVERY);
                Some(MetricsDef::File { path: self.path(Some(metrics.file?)), every })
            }
            raw::Metrics::Listen(metrics) => self.listener(&metrics.listen?.value).map(MetricsDef::Listen),
        }
    }

    fn listener(&mut self, text: &Text) -> Option<SocketAddr> {
        let address = text.value.parse::<SocketAddr>().ok().filter(|address| address.port() != 0);
        let (message, help) = match address {
            Some(address) if address.ip().to_canonical().is_loopback() => return Some(address),
            Some(_) => (
                format!(
                    "{} can be reached from other machines, and whoever reads it learns the rules",
                    quote(&text.value)
                ),
                "listen on this machine alone, `127.0.0.1:9465` say, or write a `file`",
            ),
            None => (
                format!("{} is no address with a port", quote(&text.value)),
                "write it so: `127.0.0.1:9465` or `[::1]:9465`",
            ),
        };
        self.cx.push(Diagnostic::new(Code::BadListener, text.span, message).help(help));
        None
    }
}
