//! The pages of `hidbpf report`, opened in a headless Chromium. Without one, the tests are reported as skipped.

#[path = "common/browser.rs"]
mod browser;
mod common;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};

use browser::Browser;
use common::with_drivers;

/// A gamepad: report 1 with 16 buttons, four axes of 16 bits and a hat.
const PAD: &str = "05 01 09 05 a1 01 85 01 05 09 19 01 29 10 15 00 25 01 75 01 95 10 81 02 05 01 09 30 09 31 09 32 09 35 16 00 80 26 ff 7f \
    75 10 95 04 81 02 09 39 15 00 25 07 75 04 95 01 81 42 75 04 81 03 c0";

/// A name that would do harm if it was written into the page as it is.
const EVIL: &str = "Pad </script><script>alert(1)</script><img src=https://example.org/x onerror=alert(2)> & \"co\"";

type Test = fn(&mut Browser, &Path) -> Result<(), Box<dyn std::error::Error>>;

const TESTS: [(&str, Test); 7] = [
    ("a_page_is_complete_without_errors_and_loads_nothing", is_complete),
    ("plots_are_zoomed_by_buttons_keys_and_mouse", zooms),
    ("dark_mode_is_dark", is_dark),
    ("names_from_outside_are_text", is_escaped),
    ("the_script_decodes_as_the_command_does", decodes_alike),
    ("ten_thousand_reports_are_paged", is_paged),
    ("tables_need_no_script", needs_no_script),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let started = if arguments.list { None } else { Browser::start() };
    let trials = match started {
        None => TESTS.iter().map(|(name, _)| {
            if !arguments.list {
                eprintln!("skipped: {name}: there is no chromium");
            }
            Trial::test(*name, || Ok(())).with_ignored_flag(true)
        }),
        Some(_) => return with_browser(&arguments, started),
    };
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Runs the tests one after the other, in one browser.
fn with_browser(arguments: &Arguments, started: Option<Result<Browser, Box<dyn std::error::Error>>>) -> ExitCode {
    let browser = match started {
        Some(Ok(browser)) => Arc::new(Mutex::new(browser)),
        Some(Err(error)) => {
            eprintln!("failed to start chromium: {error}");
            return ExitCode::FAILURE;
        }
        None => return ExitCode::FAILURE,
    };
    let trials = TESTS.iter().map(|(name, test)| {
        let browser = Arc::clone(&browser);
        Trial::test(*name, move || {
            let scratch = tempfile::tempdir()?;
            let mut browser = browser.lock().unwrap_or_else(PoisonError::into_inner);
            test(&mut browser, scratch.path()).map_err(|error| Failed::from(error.to_string()))
        })
    });
    libtest_mimic::run(arguments, trials.collect()).exit_code()
}

/// Writes a recording of the gamepad, in which everything moves.
fn recording(folder: &Path, reports: usize) -> PathBuf {
    let mut text = format!("R: 63 {PAD}\nN: {EVIL}\nP: usb-0000:00:14.0-1/input0\nI: 3 046d c077\n");
    for index in 0..reports {
        let axis = |factor: usize| ((index * factor) % 60_000) as u16;
        let mut bytes = vec![1, u8::from(index % 50 == 0), (index / 7 % 3) as u8];
        bytes.extend([37, 91, 113, 7].into_iter().flat_map(|factor| axis(factor).to_le_bytes()));
        bytes.push(if index % 300 == 0 { 8 } else { 2 });
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = writeln!(text, "E: {:06}.{:06} {} {}", index / 250, index % 250 * 4000, bytes.len(), hex.join(" "));
    }
    let path = folder.join("pad.hid");
    fs::write(&path, text).expect("the recording can be written");
    path
}

/// Makes the page about files.
fn page(folder: &Path, arguments: &[&str]) -> PathBuf {
    let path = folder.join("page.html");
    let output = ["report", "-o", path.to_str().expect("the path is text")];
    let made = with_drivers(&[&output, arguments].concat());
    assert_eq!(made.status.code(), Some(0), "{}", common::stderr(&made));
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

fn driver_file(name: &str) -> String {
    format!("{}/../drivers/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Returns an error unless the two are equal.
fn expect(found: &Value, expected: Value) -> Result<(), Box<dyn std::error::Error>> {
    if *found == expected { Ok(()) } else { Err(format!("found {found}, expected {expected}").into()) }
}

fn is_complete(browser: &mut Browser, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let pad = driver_file("huion-inspiroy-2-s/recordings/firmware-mode-pad.hid");
    let path = page(folder, &[&pad, "--driver", "huion-inspiroy-2-s", "--show-keys"]);
    browser.open(&path)?;
    let headings = browser.value("[...document.querySelectorAll('h2')].map((it) => it.textContent)")?;
    expect(&headings, json!(["Findings", "Values over time", "Bits", "Report descriptor", "Reports"]))?;
    let columns = browser.value("[...document.querySelectorAll('.reports th')].map((it) => it.textContent)")?;
    expect(&columns, json!(["no.", "seconds", "sent", "values", "after huion-inspiroy-2-s", "values"]))?;
    let traces = browser.value(
        "['sent', 'fixed'].map((side) => [...document.querySelectorAll(`[data-side=${side}] .trace p`)]\
        .map((it) => it.firstChild.textContent).includes(side === 'sent' ? 'Keyboard A (report 3)' : 'Wheel'))",
    )?;
    expect(&traces, json!([true, true]))?;
    // Something is drawn in each plot.
    let blank = browser.value(
        "[...document.querySelectorAll('canvas')].filter((it) => \
        !it.getContext('2d').getImageData(0, 0, it.width, it.height).data.some(Boolean)).length",
    )?;
    expect(&blank, json!(0))?;
    // The bits that changed most are the darkest.
    let heat = browser.value(
        "document.querySelectorAll('.cells .h5').length > 0 && document.querySelectorAll('.cells .h0').length > 0",
    )?;
    expect(&heat, json!(true))?;
    expect(&json!(browser.complaints()), json!([]))?;
    expect(&json!(browser.requests()), json!([format!("file://{}", path.display())]))?;
    // Even if a script tried to, nothing could be loaded.
    let tried = "fetch('https://example.org/').then(() => 'loaded', () => 'refused')";
    expect(&browser.value(tried)?, json!("refused"))
}

fn zooms(browser: &mut Browser, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let path = page(folder, &[text(&recording(folder, 1000))]);
    browser.open(&path)?;
    let span =
        "(() => { const at = document.querySelector('.plots').dataset; return [Number(at.from), Number(at.to)]; })()";
    let seen = |browser: &mut Browser| -> Result<(f64, f64), Box<dyn std::error::Error>> {
        let value = browser.value(span)?;
        Ok((value[0].as_f64().ok_or("no time")?, value[1].as_f64().ok_or("no time")?))
    };
    let is_near = |found: (f64, f64), expected: (f64, f64)| match found {
        (from, to) if (from - expected.0).abs() < 0.05 && (to - expected.1).abs() < 0.05 => Ok(()),
        _ => Err(format!("found {found:?}, expected {expected:?}")),
    };
    is_near(seen(browser)?, (0.0, 3.996))?;
    browser.value("document.querySelector('.plots [data-do=in]').click()")?;
    is_near(seen(browser)?, (0.999, 2.997))?;
    browser.value("document.querySelector('.plots .traces').focus()")?;
    for (key, expected) in [
        ("ArrowLeft", (0.4995, 2.4975)),
        ("ArrowLeft", (0.0, 1.998)),
        ("ArrowLeft", (0.0, 1.998)),
        ("+", (0.4995, 1.4985)),
        ("-", (0.0, 1.998)),
        ("0", (0.0, 3.996)),
    ] {
        browser.key(key)?;
        is_near(seen(browser)?, expected).map_err(|error| format!("{key}: {error}"))?;
    }
    // Drags over the second quarter of the first plot.
    browser.value("document.querySelector('canvas').scrollIntoView()")?;
    let place = browser.value(
        "(() => { const it = document.querySelector('canvas').getBoundingClientRect(); \
        return [it.left, it.top, it.width, it.height]; })()",
    )?;
    let number = |index: usize| place[index].as_f64().ok_or("no number");
    let (left, y, width) = (number(0)?, number(1)? + number(3)? / 2.0, number(2)?);
    browser.mouse("mousePressed", left + width * 0.25, y)?;
    browser.mouse("mouseMoved", left + width * 0.4, y)?;
    browser.mouse("mouseReleased", left + width * 0.5, y)?;
    is_near(seen(browser)?, (0.999, 1.998))?;
    // A click shows the reports of that time.
    browser.mouse("mousePressed", left + width * 0.5, y)?;
    browser.mouse("mouseReleased", left + width * 0.5, y)?;
    let here = browser.value("document.querySelector('.reports .here').cells[1].textContent")?;
    let here: f64 = here.as_str().ok_or("no report is marked")?.parse()?;
    is_near((here, 0.0), (1.4985, 0.0))?;
    expect(&json!(browser.complaints()), json!([]))
}

fn is_dark(browser: &mut Browser, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    browser.open(&page(folder, &[text(&recording(folder, 20))]))?;
    // The background, the text and the first line of a plot, as sums of red, green and blue.
    let colours = "(() => { const sum = (text) => text.match(/\\d+/g).slice(0, 3).map(Number).reduce((a, b) => a + b); \
        const style = getComputedStyle(document.body); \
        const canvas = [...document.querySelectorAll('canvas')].find((it) => it.height > 30); \
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data; \
        const at = data.findIndex((value, index) => index % 4 === 3 && value === 255); \
        return [sum(style.backgroundColor), sum(style.color), data[at - 3] + data[at - 2] + data[at - 1]]; })()";
    let mut shades = Vec::new();
    for mode in ["light", "dark"] {
        let features = json!([{ "name": "prefers-color-scheme", "value": mode }]);
        browser.ask("Emulation.setEmulatedMedia", json!({ "features": features }))?;
        let seen: Vec<u64> = serde_json::from_value(browser.value(colours)?)?;
        shades.push(seen);
    }
    browser.ask("Emulation.setEmulatedMedia", json!({ "features": [] }))?;
    let [light, dark] = shades.as_slice() else { return Err("two modes were tried".into()) };
    let is_as_expected =
        light[0] > 600 && light[1] < 200 && dark[0] < 200 && dark[1] > 600 && light[2] < 350 && dark[2] > 350;
    if is_as_expected { Ok(()) } else { Err(format!("light {light:?}, dark {dark:?}").into()) }
}

fn is_escaped(browser: &mut Browser, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let path = page(folder, &[text(&recording(folder, 20)), &driver_file("mouse-invert-y/recordings/mouse.hid")]);
    browser.open(&path)?;
    expect(&browser.value("document.querySelector('h1').textContent")?, json!(EVIL))?;
    expect(&browser.value("document.querySelector('nav a').textContent")?, json!(EVIL))?;
    expect(&browser.value("document.title.startsWith('Pad </script>')")?, json!(true))?;
    expect(
        &browser.value("document.querySelectorAll('img').length + document.querySelectorAll('body script').length")?,
        json!(3),
    )?;
    expect(&json!(browser.complaints()), json!([]))?;
    expect(&json!(browser.requests()), json!([format!("file://{}", path.display())]))
}

/// The command writes the first rows of each table, and the script writes them again.
fn decodes_alike(browser: &mut Browser, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let drivers = fs::read_dir(driver_file(""))?;
    let mut tables = 0;
    for driver in drivers {
        let driver = driver?.path();
        let name = driver.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let Ok(recordings) = fs::read_dir(driver.join("recordings")) else { continue };
        let mut files: Vec<String> = recordings
            .filter_map(|entry| Some(entry.ok()?.path().to_str()?.to_owned()))
            .filter(|path| path.ends_with(".hid") && !path.ends_with(".expected.hid"))
            .collect();
        files.sort();
        let mut arguments: Vec<&str> = files.iter().map(String::as_str).collect();
        arguments.extend(["--driver", &name, "--show-keys"]);
        browser.open(&page(folder, &arguments))?;
        let differing = browser.value(
            "[...document.querySelectorAll('.log')].map((log) => { \
            const body = log.querySelector('tbody'); const before = body.innerHTML; \
            log.querySelector('select').dispatchEvent(new Event('change')); \
            const text = (html) => html.replace(/<tr[^>]*>/g, '\\n').replace(/&nbsp;/g, ' '); \
            const [one, other] = [before, body.innerHTML].map((html) => text(html).split('\\n')); \
            const at = one.findIndex((row, index) => row !== other[index]); \
            return at < 0 ? null : [one[at], other[at] ?? '']; })",
        )?;
        let differing = differing.as_array().ok_or("no tables")?;
        tables += differing.len();
        if let Some(rows) = differing.iter().find(|rows| !rows.is_null()) {
            return Err(format!("{name}: {rows}").into());
        }
        expect(&json!(browser.complaints()), json!([])).map_err(|error| format!("{name}: {error}"))?;
    }
    if tables > 80 { Ok(()) } else { Err(format!("only {tables} tables were compared").into()) }
}

fn is_paged(browser: &mut Browser, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let path = page(folder, &[text(&recording(folder, 10_000))]);
    let size = fs::metadata(&path)?.len();
    if size > 2_000_000 {
        return Err(format!("the page has {size} bytes").into());
    }
    browser.open(&path)?;
    let shown = "[document.querySelector('.log output').textContent, document.querySelector('.reports tbody').rows.length, \
        document.querySelector('.reports tbody').rows[0].cells[0].textContent]";
    expect(&browser.value(shown)?, json!(["1 to 100 of 10000", 100, "1"]))?;
    browser.value("document.querySelector('.log [data-do=later]').click()")?;
    expect(&browser.value(shown)?, json!(["101 to 200 of 10000", 100, "101"]))?;
    browser.value("document.querySelector('.log [data-do=last]').click()")?;
    expect(&browser.value(shown)?, json!(["9901 to 10000 of 10000", 100, "9901"]))?;
    expect(&browser.value("document.querySelector('.log [data-do=later]').disabled")?, json!(true))?;
    // From the navigation to the end of loading. A slow machine is no failure.
    let took = browser.value("performance.getEntriesByType('navigation')[0].loadEventEnd")?;
    println!("10,000 reports: {size} bytes, open after {took} ms");
    expect(&json!(browser.complaints()), json!([]))
}

fn needs_no_script(browser: &mut Browser, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let path = page(folder, &[text(&recording(folder, 150))]);
    browser.ask("Emulation.setScriptExecutionDisabled", json!({ "value": true }))?;
    let opened = browser.open(&path);
    // A page without scripts still answers questions of the protocol.
    let seen = browser.value_now(
        "[document.querySelector('.reports tbody').rows.length, document.querySelector('.items tbody').rows.length > 20, \
          document.querySelector('.plots').hidden, document.querySelector('noscript').textContent.includes('need JavaScript')]",
    );
    browser.ask("Emulation.setScriptExecutionDisabled", json!({ "value": false }))?;
    opened?;
    expect(&seen?, json!([100, true, true, true]))
}
