//! A headless Chromium, driven by the DevTools protocol over a socket: one JSON message after the other, each ended by a 0 byte.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// How long the browser may need for an answer. It starts beside other tests.
const PATIENCE: Duration = Duration::from_secs(120);

/// The arguments: no network of its own, and no profile.
const ARGUMENTS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-device-scale-factor=1",
    "--remote-debugging-pipe",
];

type Answer<T> = Result<T, Box<dyn std::error::Error>>;

/// The browser, with one page.
pub struct Browser {
    child: Child,
    to: UnixStream,
    from: BufReader<UnixStream>,
    session: String,
    next: u64,
    /// The events that were not waited for.
    events: Vec<Value>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts the browser. `None` if there is none on this machine.
    pub fn start() -> Option<Answer<Browser>> {
        let is_there = Command::new("chromium").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        is_there.is_ok_and(|status| status.success()).then(Browser::launch)
    }

    fn launch() -> Answer<Browser> {
        let profile = tempfile::tempdir()?;
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        // The browser reads from descriptor 3, and writes to descriptor 4.
        let child = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&0 </dev/null", "sh", "chromium"])
            .args(ARGUMENTS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let from = BufReader::new(ours.try_clone()?);
        let mut browser =
            Browser { child, to: ours, from, session: String::new(), next: 0, events: Vec::new(), _profile: profile };
        let target = browser.ask("Target.createTarget", json!({ "url": "about:blank" }))?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.ask("Target.attachToTarget", attach)?;
        browser.session = attached["sessionId"].as_str().ok_or("the browser names no session")?.to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.ask(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(browser)
    }

    fn read(&mut self) -> Answer<Value> {
        let mut message = Vec::new();
        self.from.read_until(0, &mut message)?;
        message.pop().ok_or("the browser ended")?;
        Ok(serde_json::from_slice(&message)?)
    }

    /// Sends a command and waits for the answer.
    pub fn ask(&mut self, method: &str, parameters: Value) -> Answer<Value> {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.to.write_all(format!("{message}\0").as_bytes())?;
        loop {
            let heard = self.read()?;
            match heard["id"].as_u64() {
                Some(id) if id == self.next && heard["error"].is_null() => return Ok(heard["result"].clone()),
                Some(id) if id == self.next => return Err(format!("{method}: {}", heard["error"]).into()),
                _ => self.events.push(heard),
            }
        }
    }

    /// Opens a file, and waits until it is loaded.
    pub fn open(&mut self, path: &Path) -> Answer<()> {
        self.events.clear();
        self.ask("Page.navigate", json!({ "url": format!("file://{}", path.display()) }))?;
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.read()?;
            self.events.push(event);
        }
        Ok(())
    }

    /// Evaluates an expression in the page, once it has drawn what was asked for before.
    pub fn value(&mut self, expression: &str) -> Answer<Value> {
        // A change of colours takes a frame to be noticed, and another one to be drawn.
        self.value_now(&format!(
            "new Promise((done) => {{ let left = 4; const wait = () => left-- ? requestAnimationFrame(wait) : done({expression}); wait(); }})"
        ))
    }

    /// Evaluates an expression in the page. Works in a page without scripts too, which never draws for one.
    pub fn value_now(&mut self, expression: &str) -> Answer<Value> {
        let parameters = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.ask("Runtime.evaluate", parameters)?;
        match &answer["exceptionDetails"] {
            Value::Null => Ok(answer["result"]["value"].clone()),
            fault => Err(format!("{expression}: {fault}").into()),
        }
    }

    /// Moves, presses or releases the mouse.
    pub fn mouse(&mut self, kind: &str, x: f64, y: f64) -> Answer<()> {
        let parameters = json!({ "type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1 });
        self.ask("Input.dispatchMouseEvent", parameters).map(drop)
    }

    /// Presses and releases a key.
    pub fn key(&mut self, key: &str) -> Answer<()> {
        let text = if key.chars().count() == 1 { key } else { "" };
        self.ask("Input.dispatchKeyEvent", json!({ "type": "keyDown", "key": key, "text": text }))?;
        self.ask("Input.dispatchKeyEvent", json!({ "type": "keyUp", "key": key })).map(drop)
    }

    /// Returns everything that the page has written to the console, and every error, since it was opened.
    pub fn complaints(&self) -> Vec<String> {
        let is_complaint = |event: &&Value| {
            let method = event["method"].as_str().unwrap_or_default();
            ["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Page.javascriptDialogOpening"]
                .contains(&method)
        };
        self.events.iter().filter(is_complaint).map(Value::to_string).collect()
    }

    /// Returns the addresses that the page has asked for since it was opened.
    pub fn requests(&self) -> Vec<String> {
        let requests = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        requests.map(|event| event["params"]["request"]["url"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.ask("Browser.close", json!({}));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
