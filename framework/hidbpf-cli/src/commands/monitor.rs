//! `hidbpf monitor`.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::time::Duration;

use hidbpf::descriptor::{Decoded, Descriptor, ReportType};
use hidbpf::device::Device;
use hidbpf::manager::Manager;
use hidbpf::monitor::{Happening, Moment, Monitor};
use hidbpf::text::{Hex, Printable};
use serde_json::{Value, json};

use super::words::{Marked, all, listed, marked, news, plain, words};
use super::{Context, PATIENCE, interrupted};
use crate::output::{self, Outcome};

/// The maximum number of reports shown per [`WINDOW`], unless all are requested. A reader can't follow more.
const SHOWN: usize = 4;
const WINDOW: Duration = Duration::from_millis(200);

/// Reports with more bytes than this are decoded on a separate line.
const SHORT: usize = 16;

pub fn run(context: &Context, device: &str, all: bool) -> Outcome {
    let device = Device::find(&context.system, device)?;
    let stop = interrupted()?;
    let mut monitor = Monitor::open(&context.system, &device)?;
    if let Some(caveat) = monitor.caveat() {
        tracing::warn!("only what is behind the drivers can be seen: {caveat}");
    }
    if !context.json {
        output::write(|stdout| {
            writeln!(stdout, "{} {}", device.name, Printable(&device.hid_name))?;
            for (path, name) in monitor.nodes() {
                writeln!(stdout, "  {} {}", path.display(), Printable(name))?;
            }
            Ok(())
        })?;
    }
    let mut readings = Readings::of(&monitor);
    let mut screen = Screen::default();
    let status = Manager::new(&context.system).status()?.into_iter().find(|status| status.device == device.name);
    let is_padded = status.is_some_and(|status| status.with_event_hook().is_some());
    let mut short = BTreeSet::new();
    while !stop.load(Ordering::Relaxed) {
        let Some(moments) = monitor.read(PATIENCE)? else {
            tracing::warn!("the device was unplugged");
            break;
        };
        let mut lines = String::new();
        if moments.is_empty() {
            lines.extend(screen.passed_over());
        }
        for moment in moments {
            if let Some((report, sent, declared)) = readings.too_short(&moment).filter(|_| !is_padded)
                && short.insert(report)
            {
                tracing::warn!(
                    "report {report} has {sent} of {declared} bytes: Linux 7.0 and later drop such reports on some transports, but not \
                     while they are watched; `hidbpf doctor {}` says whether this kernel did",
                    device.name
                );
            }
            let line = match (context.json, all) {
                (true, _) => Some(readings.json_line(&moment)),
                (false, true) => Some(screen.line(&readings, &moment)),
                (false, false) => screen.choose(&readings, &moment),
            };
            lines.extend(line.into_iter().flat_map(|line| [line, "\n".to_owned()]));
        }
        if !output::stream(&mut anstream::stdout().lock(), &lines)? {
            break;
        }
        // The next report may have another descriptor.
        if monitor.current_descriptor() != readings.current_bytes {
            readings = Readings::of(&monitor);
        }
    }
    if monitor.lost()? > 0 {
        tracing::warn!("{} reports came too fast to be seen", monitor.lost()?);
    }
    Ok(())
}

/// The descriptors of reports before and after the drivers.
struct Readings {
    original: Result<Descriptor, String>,
    current: Result<Descriptor, String>,
    current_bytes: Vec<u8>,
}

impl Readings {
    fn of(monitor: &Monitor) -> Readings {
        let parse = |bytes| Descriptor::parse(bytes).map_err(|error| error.to_string());
        Readings {
            original: parse(monitor.original_descriptor()),
            current: parse(monitor.current_descriptor()),
            current_bytes: monitor.current_descriptor().to_vec(),
        }
    }

    /// Returns the ID, size and declared size in bytes of a report that is shorter than declared.
    fn too_short(&self, moment: &Moment) -> Option<(u8, usize, usize)> {
        let (Happening::Sent(bytes), Ok(original)) = (&moment.what, &self.original) else { return None };
        let report = original.report_of(ReportType::Input, bytes).ok()?;
        (bytes.len() < report.bytes()).then(|| (report.id.unwrap_or(0), bytes.len(), report.bytes()))
    }

    fn json_line(&self, moment: &Moment) -> String {
        let time = moment.time.as_micros();
        match &moment.what {
            Happening::Sent(bytes) => {
                json!({ "microseconds": time, "sent": Hex(bytes).to_string(), "decoded": decoded(&self.original, bytes) })
            }
            Happening::Left(bytes) => {
                let decoded = decoded(&self.current, bytes);
                json!({ "microseconds": time, "left": Hex(bytes).to_string(), "decoded": decoded })
            }
            Happening::Dropped => json!({ "microseconds": time, "dropped": true }),
            Happening::Input { node, event } => json!({ "microseconds": time, "node": node, "event": event }),
        }
        .to_string()
    }
}

/// Returns the fields of a report with names and values, or null if the descriptor doesn't declare the report.
fn decoded(descriptor: &Result<Descriptor, String>, bytes: &[u8]) -> Value {
    let Ok(decoded) = words(Some(descriptor), bytes) else { return Value::Null };
    let values = decoded.values.iter().filter(|value| !value.is_idle_padding());
    values
        .map(|value| {
            let mut field = json!(value.content);
            match field.as_object_mut() {
                Some(field) => drop(field.insert("name".to_owned(), json!(value.part.name))),
                // A missing value has no number.
                None => field = json!({ "name": value.part.name }),
            }
            field
        })
        .collect()
}

#[derive(Default)]
struct Screen {
    start: Option<Duration>,
    /// The start of the current window.
    window: Duration,
    shown: usize,
    passed_over: usize,
    /// The last report from the device, to compare with the drivers' result.
    sent: Vec<u8>,
    /// The values of the last shown report before and after the drivers, by first byte, which is the ID if there is
    /// one.
    before: HashMap<u8, Vec<Marked>>,
    behind: HashMap<u8, Vec<Marked>>,
}

impl Screen {
    /// Returns the line for an event, unless there are too many.
    fn choose(&mut self, readings: &Readings, moment: &Moment) -> Option<String> {
        let mut head = String::new();
        if let Happening::Sent(_) = moment.what {
            if moment.time.saturating_sub(self.window) > WINDOW {
                head = self.passed_over().unwrap_or_default();
                (self.window, self.shown) = (moment.time, 0);
            }
            self.shown += 1;
            if self.shown > SHOWN {
                self.passed_over += 1;
            }
        }
        // The results of a skipped report are skipped too.
        (self.shown <= SHOWN).then(|| head + &self.line(readings, moment))
    }

    /// Reports how many reports were skipped since the last call.
    fn passed_over(&mut self) -> Option<String> {
        let count = std::mem::take(&mut self.passed_over);
        (count > 0).then(|| format!("            ... {count} more reports\n"))
    }

    fn line(&mut self, readings: &Readings, moment: &Moment) -> String {
        let start = *self.start.get_or_insert(moment.time);
        let time = moment.time.saturating_sub(start).as_secs_f64();
        let what = match &moment.what {
            Happening::Sent(bytes) => {
                self.sent.clone_from(bytes);
                let said = words(Some(&readings.original), bytes)
                    .map(|decoded| since(&mut self.before, &decoded, plain(&decoded)));
                format!("sent   {}", with_words(bytes, &said))
            }
            Happening::Left(bytes) => {
                let before = words(Some(&readings.original), &self.sent).ok();
                let said = words(Some(&readings.current), bytes)
                    .map(|decoded| since(&mut self.behind, &decoded, marked(before.as_ref(), &decoded)));
                match *bytes == self.sent {
                    true if readings.original == readings.current => "same".to_owned(),
                    true => format!("same   {}", said.unwrap_or_else(|error| error)),
                    false => format!("fixed  {}", with_words(bytes, &said)),
                }
            }
            Happening::Dropped => "dropped".to_owned(),
            Happening::Input { node, event } => {
                format!("input  {} {event}", node.file_name().unwrap_or_default().to_string_lossy())
            }
        };
        format!("{time:11.6} {what}")
    }
}

/// Returns the values of a report that differ from the previous report with the same ID.
fn since(previous: &mut HashMap<u8, Vec<Marked>>, decoded: &Decoded, values: Vec<Marked>) -> String {
    match previous.insert(decoded.id.unwrap_or(0), values.clone()) {
        None => listed(values),
        Some(previous) => match news(values, &previous) {
            news if news.is_empty() => "as before".to_owned(),
            news => all(&news),
        },
    }
}

fn with_words(bytes: &[u8], said: &Result<String, String>) -> String {
    let (Ok(said) | Err(said)) = said;
    let between = if bytes.len() > SHORT { "\n                   " } else { "  " };
    format!("{}{between}{said}", Hex(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns descriptors with X and Y of 8 bits, and with X and a wheel.
    fn readings() -> Readings {
        let original = [
            0x05, 1, 0x09, 2, 0xa1, 1, 0x09, 0x30, 0x09, 0x31, 0x15, 0x81, 0x25, 0x7f, 0x75, 8, 0x95, 2, 0x81, 6, 0xc0,
        ];
        let mut current = original;
        current[9] = 0x38;
        let parse = |bytes: &[u8]| Descriptor::parse(bytes).map_err(|error| error.to_string());
        Readings { original: parse(&original), current: parse(&current), current_bytes: current.to_vec() }
    }

    fn at(micros: u64, what: Happening) -> Moment {
        Moment { time: Duration::from_micros(micros), what }
    }

    #[test]
    fn what_is_new_in_a_report_is_named() {
        let (readings, mut screen) = (readings(), Screen::default());
        let mut line = |what| screen.line(&readings, &at(0, what)).trim_start().to_owned();
        assert_eq!(line(Happening::Sent(vec![1, 0])), "0.000000 sent   01 00  X: 1");
        assert_eq!(line(Happening::Left(vec![1, 0])), "0.000000 same   X: 1");
        assert_eq!(line(Happening::Sent(vec![1, 2])), "0.000000 sent   01 02  Y: 2");
        assert_eq!(line(Happening::Left(vec![2, 1])), "0.000000 fixed  02 01  *X: 2, *Wheel: 1");
        assert_eq!(line(Happening::Sent(vec![1, 2])), "0.000000 sent   01 02  as before");
        assert_eq!(line(Happening::Sent(vec![1, 0])), "0.000000 sent   01 00  Y: 0");
        assert_eq!(line(Happening::Dropped), "0.000000 dropped");
        let long = line(Happening::Sent([&[1, 0], [9; 15].as_slice()].concat()));
        assert!(long.ends_with("09 09\n                   as before"), "{long}");
    }

    #[test]
    fn reports_that_are_shorter_than_declared_are_noticed() {
        let readings = readings();
        let too_short = |what| readings.too_short(&at(0, what));
        assert_eq!(too_short(Happening::Sent(vec![1])), Some((0, 1, 2)));
        assert_eq!(too_short(Happening::Sent(vec![1, 2])), None);
        assert_eq!(too_short(Happening::Sent(vec![1, 2, 3])), None);
        assert_eq!(too_short(Happening::Sent(Vec::new())), None);
        assert_eq!(too_short(Happening::Left(vec![1])), None);
    }

    #[test]
    fn of_a_thousand_reports_a_second_some_are_shown_and_the_others_counted() {
        let (readings, mut screen) = (readings(), Screen::default());
        let mut lines = Vec::new();
        for micros in (1..=1000).map(|report| report * 1000) {
            lines.extend(screen.choose(&readings, &at(micros, Happening::Sent(vec![1, 0]))));
            lines.extend(screen.choose(&readings, &at(micros + 1, Happening::Left(vec![1, 0]))));
        }
        lines.extend(screen.passed_over());
        let shown = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
        assert_eq!((shown(" sent "), shown(" same "), shown("more reports")), (20, 20, 5));
        let counted =
            lines.iter().filter_map(|line| line.split_once("... ")?.1.split(' ').next()?.parse::<usize>().ok());
        assert_eq!(counted.sum::<usize>(), 980);
        assert_eq!(screen.passed_over(), None);
    }

    #[test]
    fn fields_are_named_in_json() {
        let readings = readings();
        let json = |what| serde_json::from_str::<Value>(&readings.json_line(&at(5, what))).expect("the line is JSON");
        let sent = json!({ "microseconds": 5, "sent": "05 fe", "decoded": [{ "name": "X", "number": 5 }, { "name": "Y", "number": -2 }] });
        assert_eq!(json(Happening::Sent(vec![5, 0xfe])), sent);
        let left =
            json!({ "microseconds": 5, "left": "05", "decoded": [{ "name": "X", "number": 5 }, { "name": "Wheel" }] });
        assert_eq!(json(Happening::Left(vec![5])), left);
        assert_eq!(json(Happening::Left(Vec::new()))["decoded"], Value::Null);
        assert_eq!(json(Happening::Dropped), json!({ "microseconds": 5, "dropped": true }));
    }
}
