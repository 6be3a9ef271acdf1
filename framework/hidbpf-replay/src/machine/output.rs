//! The output of the machine: reports, requests and messages. It keeps a limited number of each.

use crate::error::Reason;
use crate::request::Request;

use super::Machine;

/// The maximum number of messages to keep.
const MAX_MESSAGES: usize = 10_000;

/// The maximum length of a message, in bytes: the size of bpf_trace_printk()'s buffer (`MAX_BPRINTF_BUF`,
/// include/linux/bpf.h).
const MAX_MESSAGE: usize = 1023;

/// The maximum number of requests to keep.
const MAX_REQUESTS: usize = 10_000;

/// The maximum number of reports that a driver may inject per device report, including its timers and work items.
const MAX_INJECTED: usize = 10_000;

impl Machine {
    /// Passes a report of the driver to the input drivers.
    pub(crate) fn inject(&mut self, report: Vec<u8>) -> Result<(), Reason> {
        if self.injected.len() == MAX_INJECTED {
            return Err(Reason::Memory(format!("it sends more than {MAX_INJECTED} reports for one from the device")));
        }
        self.injected.push(report);
        Ok(())
    }

    pub(crate) fn say(&mut self, mut message: String) {
        let end = (0..=MAX_MESSAGE).rev().find(|end| message.is_char_boundary(*end));
        message.truncate(end.unwrap_or(0));
        if self.messages.len() < MAX_MESSAGES {
            self.messages.push(message);
        }
    }

    pub(crate) fn note(&mut self, request: Request) {
        if self.requests.len() < MAX_REQUESTS {
            self.requests.push(request);
        }
    }
}
