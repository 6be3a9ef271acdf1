//! `hidbpf doctor`.

use hidbpf::device::Device;
use hidbpf::doctor::{Grade, examine, examine_device, examine_usb};
use hidbpf::text::Printable;

use super::Context;
use crate::output::{self, Failure, Outcome};

pub fn run(context: &Context, device: Option<&str>) -> Outcome {
    let findings = match device {
        Some(text) => match Device::find(&context.system, text) {
            Ok(device) => examine_device(&context.system, &device)?,
            // The kernel creates no HID device for a USB interface whose descriptor size it refuses.
            Err(error) => examine_usb(&context.system, text).ok_or(error)?,
        },
        None => examine(&context.system),
    };
    if context.json {
        output::json("findings", &findings)?;
    } else {
        output::write(|stdout| {
            for finding in &findings {
                let grade = match finding.grade {
                    Grade::Good => "ok",
                    Grade::Warning => "warning",
                    Grade::Bad => "bad",
                };
                writeln!(stdout, "{grade:>7}  {}: {}", finding.check, Printable(&finding.message))?;
                if let Some(remedy) = &finding.remedy {
                    writeln!(stdout, "         {remedy}")?;
                }
            }
            Ok(())
        })?;
    }
    if findings.iter().any(|finding| finding.grade == Grade::Bad) { Err(Failure::Told.into()) } else { Ok(()) }
}
