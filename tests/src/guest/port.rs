//! The serial port on which messages go to the host.

use std::fs::File;
use std::io::Write;

use anyhow::{Context, Result};
use rustix::termios::{OptionalActions, tcdrain, tcgetattr, tcsetattr};

use crate::protocol::{Message, PORT};

/// The open port.
pub struct Port(File);

impl Port {
    /// Opens the port and turns off all line processing.
    ///
    /// # Errors
    /// The machine has no second serial port.
    pub fn open() -> Result<Port> {
        let file = File::options().write(true).open(PORT).with_context(|| format!("failed to open `{PORT}`"))?;
        let mut settings = tcgetattr(&file).with_context(|| format!("failed to read the settings of `{PORT}`"))?;
        settings.make_raw();
        tcsetattr(&file, OptionalActions::Now, &settings).with_context(|| format!("failed to set up `{PORT}`"))?;
        Ok(Port(file))
    }

    /// Sends one message.
    ///
    /// # Errors
    /// The port is gone.
    pub fn send(&mut self, message: &Message) -> Result<()> {
        let line = serde_json::to_string(message).context("failed to encode a message")? + "\n";
        self.0.write_all(line.as_bytes()).with_context(|| format!("failed to write to `{PORT}`"))
    }

    /// Sends a line for users.
    ///
    /// # Errors
    /// The port is gone.
    pub fn say(&mut self, text: &str) -> Result<()> {
        self.send(&Message::Say { text: text.to_owned() })
    }

    /// Waits until the last byte has left.
    ///
    /// # Errors
    /// The port is gone.
    pub fn drain(&self) -> Result<()> {
        tcdrain(&self.0).with_context(|| format!("failed to drain `{PORT}`"))
    }
}
