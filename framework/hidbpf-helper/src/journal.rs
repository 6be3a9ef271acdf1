//! Sends the library's log to the journal, or to standard error if there is no journal.
//!
//! The journal accepts an entry as one datagram of lines `FIELD=value`. A value with line breaks has its size before it
//! instead (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>).

use std::fmt::{Debug, Write as _};
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

const SOCKET: &str = "/run/systemd/journal/socket";

/// Starts to forward the library's log.
pub fn start() {
    let journal = UnixDatagram::unbound().and_then(|socket| {
        socket.connect(SOCKET)?;
        Ok(socket)
    });
    // There can't be another subscriber yet. Without one the log would be lost, but not the work.
    let _ = tracing::subscriber::set_global_default(Journal(journal.ok()));
}

/// The fields that name an entry's subject.
const ABOUT: [&str; 2] = ["DEVICE", "DRIVER"];

struct Journal(Option<UnixDatagram>);

/// An entry under construction.
struct Entry {
    fields: Vec<u8>,
    message: String,
    /// Its subject, for readers who don't see the fields.
    about: String,
}

impl Entry {
    /// Syslog's priority numbers.
    fn new(level: Level) -> Entry {
        let priority = match level {
            Level::ERROR => 3,
            Level::WARN => 4,
            _ => 6,
        };
        let fields = format!("PRIORITY={priority}\nSYSLOG_IDENTIFIER=hidbpf\n").into_bytes();
        Entry { fields, message: String::new(), about: String::new() }
    }

    fn put(&mut self, name: &str, value: &str) {
        self.fields.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            self.fields.push(b'\n');
            self.fields.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            self.fields.push(b'=');
        }
        self.fields.extend_from_slice(value.as_bytes());
        self.fields.push(b'\n');
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            name => {
                self.put(&format!("HIDBPF_{name}"), value);
                if ABOUT.contains(&name) {
                    self.about = format!("{}{value}: ", self.about);
                }
            }
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = write!(text, "{value:?}");
        self.record_str(field, &text);
    }
}

impl Subscriber for Journal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::INFO
    }

    fn event(&self, event: &Event<'_>) {
        let mut entry = Entry::new(*event.metadata().level());
        event.record(&mut entry);
        let message = std::mem::take(&mut entry.message);
        entry.put("MESSAGE", &message);
        let sent = self.0.as_ref().is_some_and(|socket| socket.send(&entry.fields).is_ok());
        if !sent {
            // Nothing can be done if standard error is closed.
            let _ = std::io::stderr().write_all(format!("hidbpf: {}{message}\n", entry.about).as_bytes());
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_the_message_and_a_field_for_each_thing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let server = UnixDatagram::bind(&path).unwrap();
        let client = UnixDatagram::unbound().unwrap();
        client.connect(&path).unwrap();
        tracing::subscriber::with_default(Journal(Some(client)), || {
            tracing::debug!("not sent");
            tracing::info!(DRIVER = "x-y", "attached `{}`", "x-y");
            tracing::error!("two\nlines");
        });
        let mut buffer = [0; 256];
        let mut receive = || {
            let size = server.recv(&mut buffer).unwrap();
            buffer[..size].to_vec()
        };
        let expected = "PRIORITY=6\nSYSLOG_IDENTIFIER=hidbpf\nHIDBPF_DRIVER=x-y\nMESSAGE=attached `x-y`\n";
        assert_eq!(String::from_utf8(receive()).unwrap(), expected);
        let expected = b"PRIORITY=3\nSYSLOG_IDENTIFIER=hidbpf\nMESSAGE\n\x09\0\0\0\0\0\0\0two\nlines\n";
        assert_eq!(receive(), expected);
    }
}
