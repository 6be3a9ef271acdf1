//! What `hidbpf report` must not publish: two recordings that differ only in it make the same page.

mod common;

use std::fs;
use std::path::Path;

use common::{stderr, with_drivers};

/// A keyboard with modifiers, a reserved byte, lights and six keys, and a mouse beside it.
const KEYBOARD: &str = "05 01 09 06 a1 01 85 01 05 07 19 e0 29 e7 15 00 25 01 75 01 95 08 81 02 75 08 95 01 81 03 19 00 29 65 25 65 95 06 81 00 c0 \
    05 01 09 02 a1 01 85 02 09 30 09 31 15 81 25 7f 75 08 95 02 81 06 c0";

/// Makes a page about a recording, which has the same name each time.
fn page(recording: &str, arguments: &[&str]) -> String {
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let (file, page) = (scratch.path().join("keys.hid"), scratch.path().join("page.html"));
    fs::write(&file, recording).expect("the recording can be written");
    let paths = ["report", text(&file), "-o", text(&page)];
    let output = with_drivers(&[&paths, arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    fs::read_to_string(page).expect("the page can be read")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

/// A recording in which these bytes were typed: modifiers, the reserved byte, a key, a report that is too long, an undeclared one, and a
/// movement of the mouse.
fn typed(modifiers: u8, reserved: u8, key: u8) -> String {
    format!(
        "R: 64 {KEYBOARD}\nN: Maker Keyboard\nI: 3 046d c077\n\
         E: 000000.000000 9 01 {modifiers:02x} {reserved:02x} {key:02x} 00 00 00 00 00\n\
         E: 000000.100000 9 01 00 00 00 00 00 00 00 00\n\
         E: 000000.200000 11 01 {modifiers:02x} 00 {key:02x} {key:02x} 00 00 00 00 {key:02x} {reserved:02x}\n\
         E: 000000.300000 3 07 {key:02x} {reserved:02x}\n\
         E: 000000.400000 3 02 05 fb\n"
    )
}

#[test]
fn no_key_is_in_the_page_unless_it_is_asked_for() {
    let [one, other] = [typed(0x02, 0, 0x04), typed(0x11, 0x31, 0xf0)];
    assert_eq!(page(&one, &[]), page(&other, &[]));
    assert_ne!(page(&one, &["--show-keys"]), page(&other, &["--show-keys"]));
    assert!(page(&one, &["--show-keys"]).contains("Keyboard A"));
    // The movement of the mouse is still there.
    assert!(page(&one, &[]).contains("X: 5, Y: -5"));
}

#[test]
fn no_driver_brings_a_key_back() {
    let name = "../drivers/huion-inspiroy-2-s/recordings/firmware-mode-pad.hid";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let recording = fs::read_to_string(path).expect("the recording can be read");
    // The bytes of the keyboard's reports, in which the buttons of this tablet are shortcuts.
    let other: String = recording
        .lines()
        .map(|line| match line.strip_prefix("E: ").filter(|line| line.contains(" 8 03 ")) {
            Some(line) => format!(
                "E: {}\n",
                line.split(" 8 03 ").next().unwrap_or_default().to_owned() + " 8 03 01 2c 00 00 00 00 00"
            ),
            None => format!("{line}\n"),
        })
        .collect();
    assert_ne!(recording, other);
    let with = ["--driver", "huion-inspiroy-2-s"];
    assert_eq!(page(&recording, &with), page(&other, &with));
    assert_ne!(
        page(&recording, &[&with[..], &["--show-keys"]].concat()),
        page(&other, &[&with[..], &["--show-keys"]].concat())
    );
}

#[test]
fn no_serial_number_is_in_the_page_unless_it_is_asked_for() {
    let of = |address: &str| {
        format!(
            "R: 64 {KEYBOARD}\nN: Keyboard {address}\nP: {address}\nI: 5 046d c077\n# property HID_UNIQ={address}\n"
        )
    };
    let [one, other] = ["e4:5f:01:aa:bb:cc", "00:1f:20:11:22:33"].map(of);
    assert_eq!(page(&one, &[]), page(&other, &[]));
    assert!(page(&one, &["--show-serials"]).contains("Keyboard e4:5f:01:aa:bb:cc"));
}

/// Files as they were posted, in `../shared/reports`. Whatever `diagnose` reads, `report` reads.
#[test]
fn posted_files_have_a_page() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reports/forms");
    let Ok(entries) = fs::read_dir(&folder) else {
        eprintln!("skipped: posted_files_have_a_page: there is no ../shared/reports/forms");
        return;
    };
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let page = scratch.path().join("page.html");
    let mut pages = 0;
    for entry in entries {
        let path = entry.expect("an entry can be read").path();
        let is_read = with_drivers(&["diagnose", text(&path)]).stdout.starts_with(path.as_os_str().as_encoded_bytes());
        let output = with_drivers(&["report", text(&path), "-o", text(&page)]);
        assert_eq!(output.status.code(), Some(if is_read { 0 } else { 1 }), "{}: {}", path.display(), stderr(&output));
        pages += usize::from(is_read);
    }
    assert!(pages > 10, "{pages} pages were made");
}
