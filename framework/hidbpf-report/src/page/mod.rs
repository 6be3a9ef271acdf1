//! Writes the page. Everything from outside is escaped by the macro `html`.

mod device;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hidbpf_descriptor::Printable;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::model::Page;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

pub fn render(page: &Page) -> String {
    let title = if page.title.is_empty() { "HID device" } else { &page.title };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(page.made_by);
                title { (printable(title)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                @if page.devices.len() > 1 { (contents(page)) }
                main {
                    @for (index, device) in page.devices.iter().enumerate() { (device::section(index, device)) }
                }
                footer { "Made by " (page.made_by) ". This page loads nothing from elsewhere." }
                @for (index, device) in page.devices.iter().enumerate() {
                    script type="application/json" id={ "data-" (index) } { (PreEscaped(in_script(&device.log.data))) }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
}

fn contents(page: &Page) -> Markup {
    html! {
        nav aria-label="Devices" {
            ul {
                @for (index, device) in page.devices.iter().enumerate() {
                    li { a href={ "#device-" (index) } { (printable(&device.name)) } }
                }
            }
        }
    }
}

/// Returns the rules by which a browser refuses to load anything, and to run any other script than the page's own.
fn policy() -> String {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    format!(
        "default-src 'none'; script-src {}; style-src {}; base-uri 'none'; form-action 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
}

/// Returns JSON that can't end the element that it is in.
fn in_script(json: &str) -> String {
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// Returns a text from outside without invisible characters.
fn printable(text: &str) -> String {
    Printable(text).to_string()
}
