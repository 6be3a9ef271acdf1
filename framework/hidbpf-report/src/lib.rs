//! One HTML page about HID devices, to attach to a bug report: findings, descriptor, the bits of each report, values over time, and
//! all reports.
//!
//! The page is one file. It loads nothing and works without a network. Tables work without JavaScript.
//!
//! The way to it has three rooms. [`Subject`] is what is known about a device. The module `model` computes from it all that is shown,
//! and `page` writes that as HTML, with `page.css` and `page.js`.
//!
//! Nothing here hides anything. Callers pass a recording from which [`hidbpf_descriptor::privacy`] has removed what its owner does not
//! want to publish.

mod model;
mod page;
mod subject;

pub use subject::{Driven, Subject};

/// Returns the page about these devices. `made_by` names the program that asks for it.
pub fn page(subjects: &[Subject], made_by: &str) -> String {
    page::render(&model::Page::of(subjects, made_by))
}
