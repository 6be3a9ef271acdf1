//! `hidbpf request`.

use hidbpf::descriptor::{Descriptor, ReportType};
use hidbpf::device::Device;
use hidbpf::recording::{Asked, RequestKind};
use hidbpf::request::request;
use hidbpf::text::Hex;
use serde_json::json;

use super::Context;
use super::words::{all, plain};
use crate::args::{Ask, ReportKind};
use crate::output::{self, Outcome};

pub fn run(context: &Context, device: &str, ask: &Ask) -> Outcome {
    let device = Device::find(&context.system, device)?;
    let report = |id: u8, bytes: &[u8]| [&[id][..], bytes].concat();
    let asked = match ask {
        Ask::Get { report: kind, id } => Asked { kind: RequestKind::Get, report: kind.into(), data: vec![*id] },
        Ask::Set { report: kind, id, bytes } => {
            Asked { kind: RequestKind::Set, report: kind.into(), data: report(*id, &bytes.concat()) }
        }
        Ask::Send { id, bytes } => {
            Asked { kind: RequestKind::Output, report: ReportType::Output, data: report(*id, &bytes.concat()) }
        }
    };
    let answer = request(&context.system, &device, &asked)?;
    // The 0 in place of an ID is not part of the report.
    let bytes = if asked.data.first() == Some(&0) { answer.get(1..).unwrap_or_default() } else { &answer };
    let decoded = Descriptor::parse(&device.current)
        .ok()
        .filter(|_| asked.kind == RequestKind::Get)
        .and_then(|descriptor| descriptor.decode(asked.report, bytes).ok());
    if context.json {
        let decoded = decoded.as_ref().map(|decoded| &decoded.values);
        let answer = (asked.kind == RequestKind::Get).then(|| Hex(bytes).to_string());
        let asked = asked.to_string();
        return output::json(
            "request",
            &json!({ "device": device.name, "asked": asked, "answer": answer, "decoded": decoded }),
        );
    }
    output::write(|stdout| {
        if asked.kind != RequestKind::Get {
            return writeln!(stdout, "{} took it: {asked}", device.name);
        }
        if bytes.is_empty() {
            return writeln!(stdout, "{} answered with 0 bytes: {asked}", device.name);
        }
        writeln!(stdout, "{}", Hex(bytes))?;
        decoded.iter().try_for_each(|decoded| writeln!(stdout, "{}", all(&plain(decoded))))
    })
}

impl From<&ReportKind> for ReportType {
    fn from(kind: &ReportKind) -> ReportType {
        match kind {
            ReportKind::Feature => ReportType::Feature,
            ReportKind::Input => ReportType::Input,
            ReportKind::Output => ReportType::Output,
        }
    }
}
