//! The expected nodes and events in the drivers' folders parse and fit the recordings. Real kernels check whether they are right.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use hidbpf::recording::Recording;
use hidbpf_tests::expectation::{Expectation, Kernel, Version};

#[test]
fn every_expectation_fits_its_recording() {
    let drivers = hidbpf_build::driver_folders(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../drivers")).unwrap();
    let mut read = 0;
    for folder in drivers {
        for entry in folder.join("recordings").read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "nodes") {
                continue;
            }
            let recording = Recording::read(&path.with_extension("hid")).unwrap();
            for (version, driver) in [(Version::OLDEST, "hid-generic"), (Version::NEWEST, "apple")] {
                let kernel = Kernel { version, driver: driver.to_owned() };
                let fits = Expectation::read(&path, &kernel).and_then(|expectation| expectation.fits(&recording));
                fits.unwrap_or_else(|error| panic!("{}: {error:#}", path.display()));
            }
            read += 1;
        }
    }
    assert!(read > 0, "no expectation was found");
}
