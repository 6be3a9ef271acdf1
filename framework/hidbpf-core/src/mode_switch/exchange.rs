//! Takes the steps of a mode switch, within its time limit.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use crate::ids::VendorId;
use crate::mode_switch::answer;
use crate::mode_switch::declaration::{Action, ModeSwitch, Step};
use crate::mode_switch::hazards;

/// The type of a report that a step sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// An output report.
    Output,
    /// A feature report.
    Feature,
}

/// The connection to a device.
pub trait Wire {
    /// Returns the vendor in the device's own descriptor.
    fn vendor(&self) -> VendorId;

    /// Reads a string descriptor in US English. A device that does not answer in time costs this much time.
    ///
    /// # Errors
    /// The device refuses, does not answer, or is gone.
    fn string(&mut self, index: u8, timeout: Duration) -> io::Result<Vec<u8>>;

    /// Sends a report, which begins with its id, and pads it with zeros to its declared size.
    ///
    /// # Errors
    /// The HID device declares no such report, refuses it, or is gone.
    fn send(&mut self, kind: Sent, report: &[u8]) -> io::Result<()>;
}

/// The step that failed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the step does, in words.
    pub step: String,
    /// Why it failed, in words.
    pub why: String,
    /// The error of the request, if there is one.
    pub errno: Option<i32>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the step that {} failed: {}", self.step, self.why)
    }
}

/// The result of a mode switch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The answers, by udev property. Those before a failure count too.
    pub answers: BTreeMap<String, String>,
    /// The failure that ended the switch.
    pub failure: Option<Failure>,
}

/// Takes the steps, up to the first that fails and is not optional.
pub fn run(switch: &ModeSwitch, wire: &mut dyn Wire) -> Outcome {
    let (limit, started) = (Duration::from_millis(switch.limit_ms), Instant::now());
    let mut answers = BTreeMap::new();
    for step in &switch.steps {
        if step.unless().is_some_and(|property| answers.contains_key(property)) {
            continue;
        }
        let fail = |(why, errno)| Failure { step: step.words(), why, errno };
        let Some(left) = limit.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) else {
            let why = format!("the device took longer than {} ms", switch.limit_ms);
            return Outcome { answers, failure: Some(fail((why, Some(libc::ETIMEDOUT)))) };
        };
        match take(step, wire, left) {
            Ok(None) => {}
            Ok(Some(value)) => {
                answers.extend(step.property().map(|property| (property.to_owned(), value)));
            }
            // A device that is gone or silent would only cost more time.
            Err((_, errno)) if step.is_optional() && errno.is_none_or(|errno| errno == libc::EPIPE) => {}
            Err(why) => return Outcome { answers, failure: Some(fail(why)) },
        }
    }
    Outcome { answers, failure: None }
}

/// Takes a step, and returns the value of the answer.
fn take(step: &Step, wire: &mut dyn Wire, left: Duration) -> Result<Option<String>, (String, Option<i32>)> {
    let failed = |error: io::Error| (error.to_string(), error.raw_os_error());
    match step.action() {
        Some(Action::String { index, expected }) => {
            // The manifest was checked for the ids in its rules. This is the vendor that the device itself declares.
            if let Some(effect) = hazards::of_string(wire.vendor(), index) {
                return Err((format!("it was not sent: {effect}"), None));
            }
            let answer = wire.string(index, left).map_err(failed)?;
            answer::value(&answer, &expected).map(Some).map_err(|why| (why, None))
        }
        Some(Action::Output(report)) => wire.send(Sent::Output, &report).map(|()| None).map_err(failed),
        Some(Action::Feature(report)) => wire.send(Sent::Feature, &report).map(|()| None).map_err(failed),
        Some(Action::Pause(time)) => {
            std::thread::sleep(Duration::from_millis(time).min(left));
            Ok(None)
        }
        None => Err(("the manifest is invalid".to_owned(), None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device with some strings, which notes each request. Errors are positive numbers.
    struct Fake {
        vendor: u16,
        strings: BTreeMap<u8, Result<Vec<u8>, i32>>,
        asked: Vec<String>,
    }

    impl Fake {
        fn new<const N: usize>(vendor: u16, strings: [(u8, Result<&[u8], i32>); N]) -> Fake {
            let strings = strings.map(|(index, answer)| (index, answer.map(<[u8]>::to_vec)));
            Fake { vendor, strings: strings.into(), asked: Vec::new() }
        }
    }

    impl Wire for Fake {
        fn vendor(&self) -> VendorId {
            VendorId(self.vendor.into())
        }

        fn string(&mut self, index: u8, _: Duration) -> io::Result<Vec<u8>> {
            self.asked.push(format!("string {index}"));
            let answer = self.strings.get(&index).cloned().unwrap_or(Err(libc::EPIPE));
            answer.map_err(io::Error::from_raw_os_error)
        }

        fn send(&mut self, kind: Sent, report: &[u8]) -> io::Result<()> {
            self.asked.push(format!("{kind:?} {report:02x?}"));
            Ok(())
        }
    }

    fn huion() -> ModeSwitch {
        toml::from_str(
            "limit-ms = 1000
             steps = [
                 { string = 201, text = \"H*\", property = \"FIRMWARE\" },
                 { string = 200, min-size = 6, property = \"BYTES\", optional = true },
                 { string = 100, min-size = 4, property = \"BYTES\", unless = \"BYTES\" },
                 { string = 123, text = \"HK On\", property = \"PAD\", unless = \"BYTES\" },
                 { output = \"02 b0\" },
             ]",
        )
        .unwrap()
    }

    const FIRMWARE: &[u8] = &[4, 3, b'H', 0];

    #[test]
    fn the_answers_become_properties() {
        let mut fake = Fake::new(0x256c, [(201, Ok(FIRMWARE)), (200, Ok(&[6, 3, 1, 2, 3, 4]))]);
        let outcome = run(&huion(), &mut fake);
        assert_eq!(outcome.failure, None);
        let expected = [("BYTES", "060301020304"), ("FIRMWARE", "H")].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(outcome.answers, expected.into());
        assert_eq!(fake.asked, ["string 201", "string 200", "Output [02, b0]"]);
    }

    #[test]
    fn an_optional_step_may_be_refused_or_answered_otherwise() {
        for refused in [Err(libc::EPIPE), Ok(&[4, 3, 1, 2][..])] {
            let mut fake = Fake::new(0x256c, [(201, Ok(FIRMWARE)), (200, refused), (100, Ok(&[4, 3, 9, 9]))]);
            let outcome = run(&huion(), &mut fake);
            assert_eq!((outcome.failure, outcome.answers["BYTES"].as_str()), (None, "04030909"));
        }
    }

    #[test]
    fn the_first_failure_ends_the_switch_and_keeps_the_answers() {
        for (answer, why) in [(Err(libc::ENODEV), "No such device"), (Err(libc::ETIMEDOUT), "timed out")] {
            let mut fake = Fake::new(0x256c, [(201, Ok(FIRMWARE)), (200, answer)]);
            let outcome = run(&huion(), &mut fake);
            let failure = outcome.failure.unwrap();
            assert!(failure.to_string().contains("the step that reads the string 200 failed"), "{failure}");
            assert!(failure.why.contains(why), "{failure}");
            assert_eq!(outcome.answers["FIRMWARE"], "H");
            assert_eq!(fake.asked, ["string 201", "string 200"]);
        }
        let mut fake = Fake::new(0x256c, [(201, Ok(&[2, 3]))]);
        let outcome = run(&huion(), &mut fake);
        assert!(outcome.failure.is_some() && outcome.answers.is_empty());
        assert_eq!(fake.asked, ["string 201"]);
    }

    #[test]
    fn a_dangerous_string_never_reaches_the_device() {
        let mut fake = Fake::new(0x28bd, [(201, Ok(FIRMWARE))]);
        let failure = run(&huion(), &mut fake).failure.unwrap();
        assert!(failure.why.contains("it was not sent"), "{failure}");
        assert!(fake.asked.is_empty(), "{:?}", fake.asked);
    }

    #[test]
    fn the_steps_share_one_time_limit() {
        let switch: ModeSwitch =
            toml::from_str("limit-ms = 5\nsteps = [{ pause-ms = 100 }, { string = 1, min-size = 2 }]").unwrap();
        let mut fake = Fake::new(0x256c, []);
        let failure = run(&switch, &mut fake).failure.unwrap();
        assert_eq!(failure.errno, Some(libc::ETIMEDOUT));
        assert!(fake.asked.is_empty(), "{:?}", fake.asked);
    }
}
