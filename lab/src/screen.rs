//! The output of a running command: permanent lines, and the current activity.
//!
//! On a terminal each step has a line below all others, with its time, which is redrawn. Elsewhere, as in the log of a CI, a line shows the
//! current activity whenever nothing else was printed for a while.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// If nothing is redrawn: how long nothing is printed before a line shows the current activity.
const SILENCE: Duration = Duration::from_secs(30);

/// How often the lines at the bottom of a terminal are redrawn.
const TICK: Duration = Duration::from_millis(100);

/// The screen of this process.
static SCREEN: LazyLock<Screen> = LazyLock::new(Screen::new);

/// Prints a line above all steps.
pub fn line(text: &str) {
    SCREEN.line(text);
}

/// Prints a failure of `name`, and records it for [`failures`].
pub fn failure(name: &str, what: &str) {
    let text = row(name, "FAIL", what);
    SCREEN.line(&text);
    SCREEN.log.state().failures.push(text);
}

/// Returns the failures so far, in order.
pub fn failures() -> Vec<String> {
    SCREEN.log.state().failures.clone()
}

/// Begins the step `name`, whose first activity is `what`. It ends when the result is dropped.
pub fn step(name: &str, what: &str) -> Step {
    SCREEN.step(name, what)
}

/// Returns true if steps are drawn, which is so on terminals.
pub fn is_live() -> bool {
    SCREEN.is_live()
}

/// The target of lines and steps. Copies share one screen.
#[derive(Clone, Debug)]
struct Screen {
    bars: MultiProgress,
    log: Arc<Log>,
}

/// The state for the lines that are printed now and then.
#[derive(Debug)]
struct Log {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The time of the last printed line.
    printed: Instant,
    /// The number of the next step.
    next: u64,
    /// The current activities, by the steps' numbers.
    steps: BTreeMap<u64, Now>,
    /// The failures.
    failures: Vec<String>,
}

/// The activity of a step.
#[derive(Clone, Debug)]
struct Now {
    name: String,
    what: String,
    since: Instant,
}

impl Screen {
    fn new() -> Self {
        let state = State { printed: Instant::now(), next: 0, steps: BTreeMap::new(), failures: Vec::new() };
        let screen = Self { bars: MultiProgress::new(), log: Arc::new(Log { state: Mutex::new(state) }) };
        if !screen.is_live() {
            let log = Arc::downgrade(&screen.log);
            thread::spawn(move || break_silence(&log));
        }
        screen
    }

    fn is_live(&self) -> bool {
        !self.bars.is_hidden()
    }

    fn line(&self, text: &str) {
        self.log.state().printed = Instant::now();
        self.bars.suspend(|| println!("{text}"));
    }

    fn step(&self, name: &str, what: &str) -> Step {
        let bar = self.bars.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:11} {elapsed:>4} {wide_msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(TICK);
        let since = Instant::now();
        let mut state = self.log.state();
        let number = state.next;
        state.next += 1;
        state.steps.insert(number, Now { name: name.to_owned(), what: what.to_owned(), since });
        drop(state);
        Step { screen: self.clone(), name: name.to_owned(), number, bar, since }
    }
}

impl Log {
    /// Locks the state. A thread that panicked while it held the lock has left complete data.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Prints the current activity whenever nothing was printed for a while, as long as the screen exists.
fn break_silence(log: &Weak<Log>) {
    while let Some(log) = log.upgrade() {
        let line = {
            let mut state = log.state();
            let line = state.overdue(Instant::now());
            if line.is_some() {
                state.printed = Instant::now();
            }
            line
        };
        if let Some(line) = line {
            println!("{line}");
        }
        drop(log);
        thread::sleep(Duration::from_secs(1));
    }
}

impl State {
    /// Returns the current activity, if it is time to print it.
    fn overdue(&self, now: Instant) -> Option<String> {
        if self.steps.is_empty() || now.duration_since(self.printed) < SILENCE {
            return None;
        }
        let step =
            |Now { name, what, since }: &Now| format!("{name}: {what} ({})", seconds(now.duration_since(*since)));
        let steps: Vec<String> = self.steps.values().map(step).collect();
        Some(row("", "...", &steps.join("; ")))
    }
}

/// Something that takes time.
#[derive(Debug)]
pub struct Step {
    screen: Screen,
    name: String,
    number: u64,
    bar: ProgressBar,
    since: Instant,
}

impl Step {
    /// Shows the current activity.
    pub fn say(&self, what: &str) {
        self.bar.set_message(what.to_owned());
        if let Some(now) = self.screen.log.state().steps.get_mut(&self.number) {
            what.clone_into(&mut now.what);
        }
    }

    /// Shows the progress and the current activity.
    pub fn at(&self, done: usize, total: usize, what: &str) {
        self.say(&format!("[{done}/{total}] {what}"));
    }

    /// Shows the same, with the progress as a percentage.
    pub fn at_percent(&self, done: f64, what: &str) {
        self.say(&format!("[{done:.0} %] {what}"));
    }

    /// Prints a permanent line.
    pub fn note(&self, text: &str) {
        self.screen.line(&row(&self.name, "note", text));
    }

    /// Ends the step with a line about the result and the time.
    pub fn done(self, what: &str) {
        self.screen.line(&row(&self.name, "done", &format!("{what} ({})", seconds(self.since.elapsed()))));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.screen.log.state().steps.remove(&self.number);
        self.bar.finish_and_clear();
    }
}

/// Formats a line: its subject, a status word, and the rest.
pub fn row(name: &str, word: &str, text: &str) -> String {
    format!("{name:<12} {word:<4}  {text}")
}

/// Formats a time for users.
pub fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    format!("{} min {:02} s", whole / 60, whole % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_as_a_whole() {
        for (millis, text) in [(0, "0.0 s"), (1_500, "1.5 s"), (59_940, "59.9 s"), (59_960, "1 min 00 s")] {
            assert_eq!(seconds(Duration::from_millis(millis)), text);
        }
        assert_eq!(seconds(Duration::from_millis(119_700)), "2 min 00 s");
        assert_eq!(seconds(Duration::from_millis(61_500)), "1 min 02 s");
    }

    #[test]
    fn silence_is_broken_with_what_goes_on() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut state = State { printed: start, next: 0, steps: BTreeMap::new(), failures: Vec::new() };
        assert_eq!(state.overdue(later(600)), None, "nothing goes on");
        for (number, name, what, since) in [(1, "build", "[3/9] libbpf", 0), (2, "newest", "booting", 30)] {
            state.steps.insert(number, Now { name: name.into(), what: what.into(), since: later(since) });
        }
        assert_eq!(state.overdue(later(29)), None);
        let line = "             ...   build: [3/9] libbpf (1 min 30 s); newest: booting (1 min 00 s)";
        assert_eq!(state.overdue(later(90)).as_deref(), Some(line));
        state.printed = later(61);
        assert_eq!(state.overdue(later(90)), None);
    }

    #[test]
    fn a_step_is_forgotten_when_it_ends() {
        let screen = Screen::new();
        let step = screen.step("build", "looking");
        step.at(3, 9, "libbpf");
        let what: Vec<String> = screen.log.state().steps.values().map(|now| now.what.clone()).collect();
        assert_eq!(what, ["[3/9] libbpf"]);
        step.done("built");
        assert!(screen.log.state().steps.is_empty());
    }
}
