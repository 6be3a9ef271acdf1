//! Changes what a button of a mouse is, while the driver `example-live-buttons` is attached to it.
//!
//! The driver's manifest opens its map `buttons` to the group `input`, so the program needs no root. `hidbpf status`
//! shows where the map is pinned:
//!
//! ```console
//! $ remap_button /sys/fs/bpf/hidbpf/0003_1209_0005_0004/example-live-buttons/buttons 3 1
//! ```

use std::path::Path;
use std::process::ExitCode;

use libbpf_rs::{MapCore, MapFlags, MapHandle};

/// Makes a button act as another one from the next report on. Both are counted from 1.
///
/// # Errors
/// The map is not there, or this process may not open it.
pub fn remap(pin: &Path, button: u32, becomes: u32) -> libbpf_rs::Result<()> {
    let map = MapHandle::from_pinned_path(pin)?;
    let key = button.wrapping_sub(1);
    map.update(&key.to_ne_bytes(), &becomes.to_ne_bytes(), MapFlags::ANY)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<u32> = arguments.iter().skip(1).filter_map(|number| number.parse().ok()).collect();
    let ([pin, _, _], [button, becomes]) = (&arguments[..], &numbers[..]) else {
        eprintln!("usage: remap_button MAP BUTTON BECOMES");
        return ExitCode::from(2);
    };
    match remap(Path::new(pin), *button, *becomes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed to change the map `{pin}`: {error}");
            ExitCode::FAILURE
        }
    }
}
