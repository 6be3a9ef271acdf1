//! `hidbpf monitor`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hidbpf::device::Device;
use hidbpf::monitor::{Happening, Moment, Monitor};
use hidbpf::text::{Hex, Printable};
use serde_json::json;

use super::{Context, PATIENCE, interrupted};
use crate::output::{self, Outcome};

/// How many reports are shown of those that come within [`WINDOW`], unless all are asked for: what a person can follow.
const SHOWN: usize = 4;
const WINDOW: Duration = Duration::from_millis(200);

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
    let mut screen = Screen { start: None, window: Duration::ZERO, shown: 0, passed_over: 0, sent: Vec::new() };
    while !stop.load(Ordering::Relaxed) {
        let Some(moments) = monitor.read(PATIENCE)? else {
            tracing::warn!("the device was unplugged");
            break;
        };
        let mut lines = String::new();
        for moment in moments {
            let line = match (context.json, all) {
                (true, _) => Some(json_line(&moment)),
                (false, true) => Some(screen.line(&moment)),
                (false, false) => screen.choose(&moment),
            };
            lines.extend(line.into_iter().flat_map(|line| [line, "\n".to_owned()]));
        }
        if !output::stream(&mut anstream::stdout().lock(), &lines)? {
            break;
        }
    }
    if monitor.lost()? > 0 {
        tracing::warn!("{} reports came too fast to be seen", monitor.lost()?);
    }
    Ok(())
}

struct Screen {
    start: Option<Duration>,
    /// When the window began that reports are counted in.
    window: Duration,
    shown: usize,
    passed_over: usize,
    /// The last report that the device sent, to tell whether the drivers changed it.
    sent: Vec<u8>,
}

impl Screen {
    /// The line for what happened, unless too much does.
    fn choose(&mut self, moment: &Moment) -> Option<String> {
        let mut head = String::new();
        if moment.time.saturating_sub(self.window) > WINDOW {
            if self.passed_over > 0 {
                head = format!("            ... {} more reports\n", self.passed_over);
            }
            (self.window, self.shown, self.passed_over) = (moment.time, 0, 0);
        }
        if let Happening::Sent(_) = moment.what {
            self.shown += 1;
            if self.shown > SHOWN {
                self.passed_over += 1;
            }
        }
        let line = self.line(moment);
        // What belongs to a report that is passed over is passed over with it.
        (self.shown <= SHOWN).then(|| head + &line)
    }

    fn line(&mut self, moment: &Moment) -> String {
        let start = *self.start.get_or_insert(moment.time);
        let time = moment.time.saturating_sub(start).as_secs_f64();
        match &moment.what {
            Happening::Sent(bytes) => {
                self.sent.clone_from(bytes);
                format!("{time:11.6} sent   {}", Hex(bytes))
            }
            Happening::Left(bytes) if *bytes == self.sent => format!("{time:11.6} same"),
            Happening::Left(bytes) => format!("{time:11.6} fixed  {}", Hex(bytes)),
            Happening::Input { node, event } => {
                let node = node.file_name().unwrap_or_default().to_string_lossy();
                format!("{time:11.6} input  {node} {event}")
            }
        }
    }
}

fn json_line(moment: &Moment) -> String {
    let time = moment.time.as_micros();
    match &moment.what {
        Happening::Sent(bytes) => json!({ "microseconds": time, "sent": Hex(bytes).to_string() }),
        Happening::Left(bytes) => json!({ "microseconds": time, "left": Hex(bytes).to_string() }),
        Happening::Input { node, event } => json!({ "microseconds": time, "node": node, "event": event }),
    }
    .to_string()
}
