//! Sends requests to a device, with syscall programs: a driver's setup, or a single request of the user.
//!
//! Enforces a time limit and explains failures.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc;
use std::time::Duration;

use hidbpf_prelink::driver::SetupArgs;
use hidbpf_prelink::not_set_up::NotSetUp;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::device::awake::Awake;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::HidName;
use crate::names::DriverName;
use crate::sys;
use crate::system::System;

/// How long a device may take.
///
/// The kernel waits up to 5 s for the answer to one request: `USB_CTRL_GET_TIMEOUT` (include/linux/usb.h), and
/// `uhid_hid_get_report()` (drivers/hid/uhid.c). Its error says more than this timeout.
pub const LIMIT: Duration = Duration::from_secs(8);

/// Runs a syscall program with its arguments, and returns them as the program left them.
///
/// The kernel has no way to stop waiting for a device early. A program that exceeds the limit continues in its own
/// thread, which holds only the program itself. A process that exits meanwhile remains until the kernel stops waiting.
///
/// # Errors
/// The kernel does not run the program, or it exceeds the limit.
pub fn run_in_time<T>(program: BorrowedFd<'_>, args: T) -> io::Result<T>
where
    T: FromBytes + IntoBytes + Immutable + Send + 'static,
{
    let program = program.try_clone_to_owned()?;
    let mut args = Box::new(args);
    let (done, over) = mpsc::channel();
    std::thread::Builder::new().name("setup".to_owned()).spawn(move || {
        let result = sys::run(program.as_fd(), args.as_mut_bytes()).map(|()| *args);
        // The receiver is gone if the time is up.
        let _ = done.send(result);
    })?;
    let late = || {
        let seconds = LIMIT.as_secs();
        io::Error::new(io::ErrorKind::TimedOut, format!("the device did not answer within {seconds} s"))
    };
    over.recv_timeout(LIMIT).unwrap_or_else(|_| Err(late()))
}

/// Runs a syscall program as [`run_in_time`] does.
///
/// If the device may be asleep, wakes it and runs the program once more. `retval` returns the result of a run, 0 or a
/// negative errno.
///
/// # Errors
/// As for [`run_in_time`].
pub fn run_awake<T>(
    program: BorrowedFd<'_>,
    args: T,
    (system, device): (&System, &HidName),
    retval: impl Fn(&T) -> i32,
) -> io::Result<T>
where
    T: FromBytes + IntoBytes + Immutable + Clone + Send + 'static,
{
    let done = run_in_time(program, args.clone())?;
    if !Awake::is_wanted(retval(&done).wrapping_neg()) {
        return Ok(done);
    }
    match Awake::wake(system, device) {
        Ok(awake) => {
            let done = run_in_time(program, args);
            drop(awake);
            done
        }
        Err(error) => {
            tracing::warn!("failed to wake the device `{device}`: {error}");
            Ok(done)
        }
    }
}

/// Runs a driver's setup for a device. `rdesc_size` is the size of the original descriptor, in bytes.
///
/// # Errors
/// The device refuses a request or does not answer in time, or the kernel does not run the program.
pub(crate) fn run(
    system: &System,
    program: BorrowedFd<'_>,
    driver: &DriverName,
    device: &HidName,
    rdesc_size: usize,
) -> Result<()> {
    run_or_advise("load", system, program, driver, device, rdesc_size)
}

/// Runs a driver's setup. `command` is the hidbpf command that the hint suggests.
fn run_or_advise(
    command: &str,
    system: &System,
    program: BorrowedFd<'_>,
    driver: &DriverName,
    device: &HidName,
    rdesc_size: usize,
) -> Result<()> {
    let what = format!("the driver `{driver}` failed to set up the device `{device}`");
    let ask = format!("wake the device up or plug it in again, then `hidbpf {command} {driver} {device}`");
    let args = SetupArgs { hid: device.id().0, rdesc_size: rdesc_size as u32, ..SetupArgs::default() };
    let args = run_awake(program, args, (system, device), |args| args.retval)
        .map_err(|error| Error::because(ErrorKind::NotSetUp, what.clone(), error).with_hint(ask.clone()))?;
    let Some(refused) = NotSetUp::of(&args) else { return Ok(()) };
    let hint = match meaning(refused.errno) {
        Some(meaning) => format!("{meaning}; {ask}"),
        None => ask,
    };
    Err(Error::because(ErrorKind::NotSetUp, what, refused).with_hint(hint))
}

/// Returns the meaning of an errno that a request returned. The bus drivers return few others.
pub fn meaning(errno: i32) -> Option<&'static str> {
    // Programs can return any number, but rustix's type accepts only the kernel's errnos.
    Some(match errno {
        libc::EPIPE => "the device does not know this report",
        libc::ETIMEDOUT => "the device did not answer in time",
        libc::EIO => "the device refused, or did not answer in time",
        libc::EINVAL => "the current descriptor declares no such report",
        libc::ENODEV | libc::ESHUTDOWN | libc::EREMOTEIO => "the device is gone",
        libc::EHOSTUNREACH => "the device sleeps",
        libc::ENOSYS | libc::EOPNOTSUPP => "the device's bus has no such request",
        _ => return None,
    })
}

/// Runs a driver's setup with retries.
///
/// A device that has just woken up with the machine, or has just been bound, may need a moment.
pub(crate) fn run_patiently(
    system: &System,
    program: BorrowedFd<'_>,
    driver: &DriverName,
    device: &HidName,
    rdesc_size: usize,
) -> Result<()> {
    const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(800)];
    let ask = || run_or_advise("reload", system, program, driver, device, rdesc_size);
    PAUSES.iter().fold(ask(), |result, pause| {
        result.or_else(|error| {
            // The program still runs. A second run would write the same data, and block the device for as long again.
            if is_late(&error) {
                return Err(error);
            }
            std::thread::sleep(*pause);
            ask()
        })
    })
}

/// Returns whether the program exceeded the time limit.
fn is_late(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_that_a_program_returns_can_be_told() {
        assert_eq!(meaning(libc::EPIPE), Some("the device does not know this report"));
        for errno in [0, -1, 4096, i32::MAX, i32::MIN] {
            assert_eq!(meaning(errno), None, "{errno}");
        }
    }

    #[test]
    fn only_a_program_that_still_runs_is_late() {
        let failed = |cause: io::Error| Error::because(ErrorKind::NotSetUp, "failed to set up", cause);
        assert!(is_late(&failed(io::Error::new(io::ErrorKind::TimedOut, "the device did not answer within 8 s"))));
        assert!(!is_late(&failed(io::Error::from_raw_os_error(5))));
        let refused = NotSetUp { request: None, errno: libc::ETIMEDOUT };
        assert!(!is_late(&Error::because(ErrorKind::NotSetUp, "failed to set up", refused)));
    }
}
