//! Why a driver's setup failed.

use std::fmt;
use std::io;

use crate::driver::{Refusal, SetupArgs};

/// The reason why a setup failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotSetUp {
    /// The request that failed, if it was one.
    pub request: Option<String>,
    /// The errno, as a positive number.
    pub errno: i32,
}

impl NotSetUp {
    /// Returns the failure that a setup program reports, or `None` if it succeeded.
    pub fn of(args: &SetupArgs) -> Option<NotSetUp> {
        let refused = args.refusal.error == args.retval;
        (args.retval < 0).then(|| NotSetUp {
            request: refused.then(|| request_text(&args.refusal)),
            errno: args.retval.wrapping_neg(),
        })
    }
}

impl fmt::Display for NotSetUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = io::Error::from_raw_os_error(self.errno);
        match &self.request {
            Some(request) => write!(f, "{request} failed: {error}"),
            None => write!(f, "its setup returned an error: {error}"),
        }
    }
}

impl std::error::Error for NotSetUp {}

/// Describes a request by its number in `enum hid_class_request`.
///
/// The kernel lets programs make these requests of HID 1.11, section 7.2.
fn request_text(refusal: &Refusal) -> String {
    /// `enum hid_report_type` (include/linux/hid.h).
    const KINDS: [&str; 3] = ["input", "output", "feature"];
    let kind = KINDS.get(usize::from(refusal.kind)).copied().unwrap_or("unknown");
    let id = refusal.report_id;
    match refusal.request {
        1 => format!("GET_REPORT of the {kind} report {id}"),
        9 => format!("SET_REPORT of the {kind} report {id}"),
        Refusal::OUTPUT => format!("sending the output report {id}"),
        other => format!("the request {other:#04x} for the {kind} report {id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_named() {
        let args = |retval, error, request, kind| SetupArgs {
            retval,
            refusal: Refusal { error, request, kind, report_id: 17, padding: 0 },
            ..SetupArgs::default()
        };
        assert_eq!(NotSetUp::of(&args(0, -5, 9, 1)), None);
        assert_eq!(NotSetUp::of(&args(4, 0, 0, 0)), None);
        for (args, text) in [
            (args(-32, -32, 1, 2), "GET_REPORT of the feature report 17 failed: Broken pipe (os error 32)"),
            (args(-32, -32, 9, 1), "SET_REPORT of the output report 17 failed: Broken pipe (os error 32)"),
            (args(-5, -5, 0, 1), "sending the output report 17 failed: Input/output error (os error 5)"),
            (args(-22, -5, 0, 1), "its setup returned an error: Invalid argument (os error 22)"),
        ] {
            assert_eq!(NotSetUp::of(&args).unwrap().to_string(), text);
        }
    }
}
