//! Does the work of a run on a few threads, so that all processors are busy to the end: machines with one kernel after the
//! other, each as soon as its kernel is there, and beside them what needs none.

use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use anyhow::Result;

use crate::kernels::Kernel;
use crate::paths::Paths;
use crate::wanted::Wanted;

/// What came of each kernel, by its name, in the order in which they were asked for.
pub type Results<R> = Vec<(String, Result<(Kernel, Vec<R>)>)>;

/// Gets each of the kernels that are `wanted`, has `split` divide what is to be done with it, and does each piece as `work`, as many
/// at a time as there are `lanes`. One of the lanes does `beside` first.
pub fn run<P: Send, R: Send>(
    paths: &Paths,
    wanted: &[Wanted],
    lanes: usize,
    split: &(dyn Fn(&Kernel) -> Vec<P> + Sync),
    work: &(dyn Fn(&Kernel, P) -> R + Sync),
    beside: &(dyn Fn() + Sync),
) -> Results<R> {
    let gotten: Vec<Mutex<Option<Result<Kernel>>>> = wanted.iter().map(|_| Mutex::new(None)).collect();
    let done = Mutex::new(Vec::new());
    let (sender, receiver) = mpsc::channel::<(usize, usize, Kernel, P)>();
    let receiver = Mutex::new(receiver);
    thread::scope(|scope| {
        for lane in 0..lanes.max(1) {
            let (receiver, done) = (&receiver, &done);
            scope.spawn(move || {
                if lane == 0 {
                    beside();
                }
                loop {
                    let next = lock(receiver).recv();
                    let Ok((place, number, kernel, piece)) = next else { return };
                    let result = work(&kernel, piece);
                    lock(done).push((place, number, result));
                }
            });
        }
        for (place, wanted) in wanted.iter().enumerate() {
            let kernel = wanted.get(paths);
            if let Ok(kernel) = &kernel {
                for (number, piece) in split(kernel).into_iter().enumerate() {
                    // The receiver lives as long as this scope.
                    let _ = sender.send((place, number, kernel.clone(), piece));
                }
            }
            *lock(&gotten[place]) = Some(kernel);
        }
        drop(sender);
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(place, number, _)| (*place, *number));
    let mut results = Vec::new();
    let mut done = done.into_iter().peekable();
    for (place, kernel) in gotten.into_iter().enumerate() {
        let mut pieces = Vec::new();
        while let Some((_, _, result)) = done.next_if(|(of, ..)| *of == place) {
            pieces.push(result);
        }
        if let Some(kernel) = kernel.into_inner().unwrap_or_else(PoisonError::into_inner) {
            results.push((wanted[place].name(), kernel.map(|kernel| (kernel, pieces))));
        }
    }
    results
}

/// How many pieces are worked on at once if the user has not said. A machine has one processor and 1 GiB of memory.
pub fn usual_lanes() -> usize {
    thread::available_parallelism().map_or(1, |count| count.get().min(4))
}

/// A thread that panicked with the lock in hand has left nothing half done: each puts in one whole result.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
