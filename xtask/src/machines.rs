//! Runs cases in several machines at once, shows how many of all cases have ended, and merges the results of the machines with one kernel.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use hidbpf_lab::kernels::Kernel;
use hidbpf_lab::lanes;
use hidbpf_lab::paths::Paths;
use hidbpf_lab::protocol::{Message, Task};
use hidbpf_lab::qemu::Limits;
use hidbpf_lab::report::Part;
use hidbpf_lab::screen::{self, Step};
use hidbpf_lab::wanted::Wanted;

use crate::boot::{Lab, News, watch};
use crate::figures::{self, Figures};

/// The work to do on each kernel.
pub struct Plan<'a> {
    /// The machines.
    pub lab: &'a Lab<'a>,
    /// How many run at once.
    pub lanes: usize,
    /// How long each may take.
    pub limits: Limits,
    /// The cases for a kernel, a list for each machine.
    pub deal: &'a (dyn Fn(&Kernel) -> Vec<Vec<String>> + Sync),
    /// Whether cases may also be skipped on kernels on which none of hidbpf's own cases may be skipped.
    pub may_skip: bool,
    /// The task of a machine that runs these cases.
    pub task: &'a (dyn Fn(Vec<String>) -> Task + Sync),
    /// Work that this machine does at the same time.
    pub beside: &'a (dyn Fn() + Sync),
}

/// The result for each kernel, by its name, in the order of the request.
pub type Results = Vec<(String, Result<(Kernel, Part, Figures)>)>;

/// A machine to boot: the cases of a kernel that it runs.
struct Load {
    /// The name of its logs.
    name: String,
    cases: Vec<String>,
}

/// The result of a machine.
struct Done {
    part: Part,
    figures: Figures,
    started: Instant,
    ended: Instant,
}

/// Gets each kernel that is `wanted`, and runs its cases.
pub fn run(paths: &Paths, wanted: &[Wanted], plan: &Plan<'_>) -> Results {
    let total = Total::new();
    let split = |kernel: &Kernel| {
        let dealt = (plan.deal)(kernel);
        total.add(dealt.iter().map(Vec::len).sum());
        let load = |(number, cases)| Load { name: format!("{}-{}", kernel.name, number + 1), cases };
        dealt.into_iter().enumerate().map(load).collect()
    };
    let work = |kernel: &Kernel, Load { name, cases }: Load| {
        let started = Instant::now();
        let kernel = Kernel { may_skip: kernel.may_skip || plan.may_skip, ..kernel.clone() };
        let task = (plan.task)(cases);
        let (part, figures) = watch(&kernel.name, &name, &kernel, &|hear| {
            let mut counted = total.count();
            plan.lab.boot(&kernel, &name, task.clone(), plan.limits, &mut |news| {
                counted.hear(news);
                hear(news);
            })
        });
        Done { part, figures, started, ended: Instant::now() }
    };
    let results = lanes::run(paths, wanted, plan.lanes, &split, &work, plan.beside);
    let merge = |(name, result): (String, Result<(Kernel, Vec<Done>)>)| {
        let merged = result.map(|(kernel, done)| {
            let (part, figures) = merged(&kernel, done);
            (kernel, part, figures)
        });
        (name, merged)
    };
    results.into_iter().map(merge).collect()
}

/// Merges the results of all machines with one kernel.
fn merged(kernel: &Kernel, done: Vec<Done>) -> (Part, Figures) {
    let mut whole = Part::new(&kernel.name);
    let mut figures = Figures::new();
    let machines = done.len();
    let started = done.iter().map(|done| done.started).min();
    let ended = done.iter().map(|done| done.ended).max();
    whole.took = started.zip(ended).map_or(Duration::ZERO, |(started, ended)| ended.duration_since(started));
    for Done { part, figures: more, .. } in done {
        whole.tally += part.tally;
        figures::add(&mut figures, more);
        if whole.note.is_empty() {
            whole.note = part.note;
        }
        if let Some(why) = part.broken {
            let before = whole.broken.map(|before| format!("{before}\n")).unwrap_or_default();
            whole.broken = Some(before + &why);
        }
    }
    if machines > 1 {
        whole.note += &format!(", {machines} machines");
    }
    (whole, figures)
}

/// How many cases have ended of all that will run, on all kernels.
#[derive(Debug)]
struct Total {
    step: Step,
    done: AtomicUsize,
    all: AtomicUsize,
}

impl Total {
    fn new() -> Self {
        let step = screen::step("cases", "none yet");
        Self { step, done: AtomicUsize::new(0), all: AtomicUsize::new(0) }
    }

    fn add(&self, cases: usize) {
        self.all.fetch_add(cases, Ordering::Relaxed);
        self.show();
    }

    fn show(&self) {
        let (done, all) = (self.done.load(Ordering::Relaxed), self.all.load(Ordering::Relaxed));
        self.step.at(done, all, "on all kernels");
    }

    /// Counts the cases of one machine.
    fn count(&self) -> Counted<'_> {
        Counted { total: self, done: 0 }
    }
}

/// How many cases of one machine are counted.
#[derive(Debug)]
struct Counted<'a> {
    total: &'a Total,
    done: usize,
}

impl Counted<'_> {
    fn hear(&mut self, news: News<'_>) {
        match news {
            News::Message(Message::Outcome { .. }) => {
                self.done += 1;
                self.total.done.fetch_add(1, Ordering::Relaxed);
            }
            News::Message(_) => return,
            News::Restart(_) => {
                self.total.done.fetch_sub(self.done, Ordering::Relaxed);
                self.done = 0;
            }
        }
        self.total.show();
    }
}
