//! Measures how many reports a second a replay of a small driver processes, in this process on one core.
//!
//! Prints one line per generation: the best of several rounds, since the others include the machine's noise.

use std::hint::black_box;
use std::time::{Duration, Instant};

use hidbpf::ids::{Bus, Group, HidId, ProductId, VendorId};
use hidbpf::replay::{Driver, Object, ReplayDevice, Settings};

#[path = "../tests/support/mod.rs"]
mod support;

const REPORTS: u32 = 2_000_000;
const ROUNDS: u32 = 5;

fn main() {
    let object = match Object::parse(&support::compile("mouse", "v3")) {
        Ok(object) => object,
        Err(error) => return eprintln!("{error}"),
    };
    for generation in object.generations() {
        let device = ReplayDevice {
            id: HidId(7),
            bus: Bus::USB,
            group: Group::GENERIC,
            vendor: VendorId(1),
            product: ProductId(2),
            name: "mouse".to_owned(),
            phys: String::new(),
            uniq: String::new(),
            descriptor: support::MOUSE.to_vec(),
        };
        let mut driver = match Driver::new(&object, generation, &device, &Settings::default()) {
            Ok(driver) => driver,
            Err(error) => return eprintln!("{error}"),
        };
        let mut best = Duration::MAX;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            for number in 0..REPORTS {
                let [low, high, ..] = number.to_le_bytes();
                if let Err(error) = driver.event(black_box(&[0, low, high | 1, 0])) {
                    return eprintln!("{error}");
                }
            }
            best = best.min(start.elapsed());
        }
        let rate = f64::from(REPORTS) / best.as_secs_f64();
        println!("{generation}: {:.1} million reports/s, {:.0} ns each", rate / 1e6, 1e9 / rate);
    }
}
