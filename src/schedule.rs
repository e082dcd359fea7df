//! Schedules: tasks that are made at given times. Which times these are, and what is to be done about them now.
//!
//! ```text
//! cron      five fields, or @daily ──▶ sets of minutes, hours, days, months, weekdays
//! calendar  sets + a zone's offsets ──▶ the instants at which they come, in their order
//! words     sets ──▶ a sentence for people
//! spec      when, what is done when that did not go as planned, and what is made; as JSON in a row
//! decide    a spec and where it stands, now ──▶ one step: fire, pass over, hold; or when to look again
//! ```
//!
//! A *nominal* time is one of the times that a schedule names, to the millisecond since 1970. No clock is read here and
//! no database of zones: `now` and the [`Offsets`](calendar::Offsets) of a zone are arguments.

pub mod calendar;
pub mod cron;
pub mod decide;
pub mod spec;
mod words;
