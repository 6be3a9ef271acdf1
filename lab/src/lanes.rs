//! Runs the work of a command on a few threads, so that all processors are busy to the end.
//!
//! Machines start as soon as their kernel is available, and work that needs no machine runs beside them.

use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use anyhow::Result;

use crate::kernels::Kernel;
use crate::paths::Paths;
use crate::wanted::Wanted;

/// The results for each kernel, by its name, in the order of the request.
pub type Results<R> = Vec<(String, Result<(Kernel, Vec<R>)>)>;

/// Gets each of the `wanted` kernels, divides its work with `split`, and runs each piece with `work`, on `lanes` threads.
///
/// One of the threads runs `beside` first.
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

/// Returns the default number of simultaneous pieces. A machine has one processor and 1 GiB of memory.
pub fn usual_lanes() -> usize {
    thread::available_parallelism().map_or(1, |count| count.get().min(4))
}

/// Locks a mutex. A thread that panicked while it held the lock has left only complete results.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
