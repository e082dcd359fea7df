//! Which events are written: some of a kind, and a count of the others.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::limit::Kind;
use super::queue::Queue;
use super::shape;
use crate::harmless;

/// Asked about each event before it is written: what is left out costs no more than a look at the clock.
pub(super) struct Bounded {
    /// Where what is left out is counted.
    pub(super) queue: &'static Queue,
}

impl<S: Subscriber> Layer<S> for Bounded {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        Kind::of(event.metadata()).is_none_or(|kind| self.queue.admits(&kind, || message(event)))
    }
}

/// What an event says, without its values.
fn message(event: &Event<'_>) -> String {
    let mut message = Message(String::new());
    event.record(&mut message);
    message.0
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == shape::MESSAGE {
            self.0 = harmless::one_line(&format!("{value:?}")).into_owned();
        }
    }
}
