//! The section `capture`.

use super::super::codes::Code;
use super::super::decode::At;
use super::super::diag::Diagnostic;
use super::super::model::{CaptureDef, Captured, Interest};
use super::super::raw;
use super::super::size::{Size, show};
use super::super::warn;
use super::Validator;

const DEFAULT_SIZE: u64 = 64 << 20;
const DEFAULT_FILES: u16 = 5;
const LEAST_SIZE: u64 = 1 << 20;
const MOST_SIZE: u64 = 1 << 40;

impl Validator<'_> {
    pub(super) fn capture(&mut self, capture: raw::Capture, interest: Interest) -> Option<CaptureDef> {
        let max_size = self.max_size(capture.max_size.as_ref()).unwrap_or(DEFAULT_SIZE);
        let max_files = capture.max_files.map_or(DEFAULT_FILES, |files| files.value.0);
        let file = capture.file?;
        let events = captured(capture.events.as_ref());
        let span = capture.events.as_ref().map_or(file.span, |events| events.span);
        warn::capture(&mut self.cx, span, capture.events.is_some(), events, interest);
        Some(CaptureDef { file: self.path(Some(file)), max_size, max_files, events })
    }

    fn max_size(&mut self, at: Option<&At<Size>>) -> Option<u64> {
        let At { value: Size(bytes), span, .. } = at?;
        if !(LEAST_SIZE..=MOST_SIZE).contains(bytes) {
            let message = format!("`max_size` must be between {} and {}", show(LEAST_SIZE), show(MOST_SIZE));
            self.cx.push(Diagnostic::new(Code::BadSize, *span, message));
            return None;
        }
        Some(*bytes)
    }
}

fn captured(events: Option<&At<super::OneOrMany<raw::Events>>>) -> Captured {
    let has = |kind| events.is_none_or(|events| events.value.0.contains(&kind));
    Captured {
        logins: has(raw::Events::Logins),
        topics: has(raw::Events::Topics),
        connections: has(raw::Events::Connections),
        sessions: has(raw::Events::Sessions),
        messages: has(raw::Events::Messages),
    }
}
