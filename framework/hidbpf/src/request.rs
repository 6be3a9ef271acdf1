//! Sends a single request to a device, to get or set a report, with the syscall program of request.bpf.c.

use std::io;
use std::os::fd::AsFd;

use hid_bpf_src::{REQUEST_OBJECT, REQUEST_PROGRAM, RequestArgs};
use hidbpf_prelink::driver::Refusal;
use libbpf_rs::{MapCore, MapFlags, Object, ObjectBuilder};
use rustix::io::Errno;

use crate::descriptor::ReportLengths;
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel;
use crate::libbpf;
use crate::recording::{Asked, RequestKind};
use crate::setup::{self, meaning};
use crate::system::System;

/// Sends a request to a device and returns its answer, which is empty unless the request is a get. The report in
/// `asked.data` begins with its ID, or with 0 if the device doesn't number its reports. Missing bytes at its end are 0.
///
/// # Errors
/// The current descriptor declares no such report, or a shorter one. Or this process or this kernel can't send
/// requests. Or the device refuses, or doesn't answer in time.
pub fn request(system: &System, device: &Device, asked: &Asked) -> Result<Vec<u8>> {
    let what = format!("failed to {asked} on the device `{}`", device.name);
    let size = size(device, asked)?;
    let generation = kernel::detect(system)?.generation()?;
    kernel::check_capabilities(generation)?;
    if device.driver.is_none() {
        return Err(Error::new(ErrorKind::NotReady, format!("{what}: no kernel driver is bound to it"))
            .with_hint("it can be talked to once one is bound"));
    }
    let args = RequestArgs {
        hid: device.name.id().0,
        kind: asked.report.number(),
        request: match asked.kind {
            RequestKind::Get => GET_REPORT,
            RequestKind::Set => SET_REPORT,
            RequestKind::Output => Refusal::OUTPUT.into(),
        },
        size: size as u32,
        retval: 0,
    };
    let failed = |error: io::Error| {
        let errno = error.raw_os_error();
        let has_no_channel =
            asked.kind == RequestKind::Output && errno.is_some_and(|errno| NO_CHANNEL.contains(&errno));
        let hint = match errno.and_then(meaning) {
            _ if has_no_channel => "output reports have no channel of their own here: send it with `set output`",
            Some(meaning) => meaning,
            None => "see whether the device is awake, and what its maker's own tool sends",
        };
        Error::because(ErrorKind::NotSetUp, what.clone(), error).with_hint(hint)
    };
    let object = load(&asked.data)?;
    let (Some(program), Some(report)) = (
        object.progs().find(|program| program.name() == REQUEST_PROGRAM),
        object.maps().find(|map| map.name().to_string_lossy().ends_with(BSS)),
    ) else {
        let what = format!("there is no syscall program `{REQUEST_PROGRAM}` in this build of hidbpf");
        return Err(Error::new(ErrorKind::Load, what));
    };
    let args = setup::run_awake(program.as_fd(), args, (system, &device.name), |args| args.retval).map_err(failed)?;
    let Ok(answered) = usize::try_from(args.retval) else {
        return Err(failed(io::Error::from_raw_os_error(-args.retval)));
    };
    if asked.kind != RequestKind::Get {
        // On some kernels, `__hid_bpf_hw_check_params()` (drivers/hid/bpf/hid_bpf_dispatch.c) forgets the byte in place of
        // the ID. Transports may count in their own way, so only that byte counts here.
        let has_id = asked.data.first().is_some_and(|id| *id != 0);
        if !has_id && answered > 0 && answered + 1 == size {
            let what = format!("failed to send all of the report: the kernel sent {answered} of {size} bytes");
            let hint = "this kernel cuts reports without an ID that programs send: write the report to the hidraw node";
            return Err(Error::new(ErrorKind::NotSetUp, what).with_hint(hint));
        }
        return Ok(Vec::new());
    }
    let mut answer = report
        .lookup(&0u32.to_ne_bytes(), MapFlags::ANY)
        .map_err(|error| load_failed("read the answer of", error))?
        .unwrap_or_default();
    answer.truncate(answered);
    Ok(answer)
}

const BSS: &str = ".bss";

/// The errnos of a device that accepts output reports only with SET_REPORT (`usbhid_output_report()`,
/// drivers/hid/usbhid/hid-core.c). They also occur on Linux 6.10 and earlier, where programs can only use SET_REPORT.
const NO_CHANNEL: [i32; 2] = [Errno::NOSYS.raw_os_error(), Errno::OPNOTSUPP.raw_os_error()];

/// `enum hid_class_request` (include/linux/hid.h).
const GET_REPORT: u32 = 1;
const SET_REPORT: u32 = 9;

/// Returns the size of the report, including its ID or the 0 in its place.
fn size(device: &Device, asked: &Asked) -> Result<usize> {
    let bad = |why: String, hint: String| {
        let what = format!("the device `{}` can't be asked to {asked}: {why}", device.name);
        Err(Error::new(ErrorKind::NoMatch, what).with_hint(hint))
    };
    let reports = match ReportLengths::parse(&device.current) {
        Ok(reports) => reports,
        Err(error) => return bad(error.to_string(), "the current descriptor is invalid".to_owned()),
    };
    let id = asked.data.first().copied().unwrap_or(0);
    let Some(length) = reports.length(asked.report, id) else {
        let ids: Vec<String> =
            reports.iter().filter(|(of, _, _)| *of == asked.report).map(|(_, id, _)| id.to_string()).collect();
        let hint = match ids.as_slice() {
            [] => format!("it has no {} report at all; `hidbpf inspect` shows which it has", asked.report),
            ids => format!("its {} reports are {}", asked.report, ids.join(", ")),
        };
        return bad(format!("the current descriptor declares no {} report {id}", asked.report), hint);
    };
    let size = length + usize::from(id == 0);
    if asked.data.len() > size {
        let (given, declared) = (asked.data.len() - 1, size - 1);
        return bad(format!("the report has {declared} bytes and {given} are given"), "leave the id out".to_owned());
    }
    Ok(size)
}

fn load_failed(verb: &str, error: libbpf_rs::Error) -> Error {
    let what = format!("failed to {verb} the syscall program `{REQUEST_PROGRAM}`");
    Error::because(ErrorKind::Load, what, format!("{error:#}"))
        .with_hint("`hidbpf doctor` looks for what this kernel lacks")
}

fn load(report: &[u8]) -> Result<Object> {
    libbpf::check()?;
    let mut object = ObjectBuilder::default()
        .name("hidbpf_request")
        .and_then(|builder| builder.open_memory(REQUEST_OBJECT))
        .map_err(|error| load_failed("open", error))?;
    for mut map in object.maps_mut().filter(|map| map.name().to_string_lossy().ends_with(BSS)) {
        for (to, from) in map.initial_value_mut().into_iter().flatten().zip(report) {
            *to = *from;
        }
    }
    object.load().map_err(|error| load_failed("load", error))
}
