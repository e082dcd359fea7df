//! Over long random histories, most of which no process could have.

use proptest::prelude::*;

use super::*;

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        any::<u8>().prop_map(|jitter| Event::Spawned {
            jitter: Jitter(jitter)
        }),
        Just(Event::CouldNotSpawn),
        Just(Event::Ready),
        (any::<i64>(), any::<i32>()).prop_map(|(task, group)| Event::Busy { task, group }),
        (any::<u64>(), any::<u64>()).prop_map(|(jobs, output)| Event::Idle { jobs, output }),
        any::<i64>().prop_map(|task| Event::Troubled { task }),
        (any::<u64>(), any::<u64>())
            .prop_map(|(memory, printed)| Event::Measured { memory, printed }),
        prop::option::of(0_u64..100).prop_map(|left| Event::Watched { left: left.map(s) }),
        Just(Event::Answered),
        any::<bool>().prop_map(|is_stopped| Event::Looked { is_stopped }),
        Just(AGED),
        (0_u64..100).prop_map(|grace| Event::Drain { grace: s(grace) }),
        Just(Event::Stop),
        Just(Event::Due),
        Just(Event::LinkClosed),
        (-1_i32..130).prop_map(|code| Event::Ended(Ended::Exited(code))),
        (1_i32..32).prop_map(|signal| Event::Ended(Ended::Signalled(signal))),
    ]
}

/// Whether the drawing has an arrow from one to the other; staying needs none.
fn is_arrow(from: &State, to: &State) -> bool {
    match from {
        State::Spawning => matches!(to, State::Spawning | State::Starting { .. } | State::Gone),
        State::Starting { .. } => !matches!(to, State::Spawning),
        State::Idle { .. } | State::Busy { .. } => matches!(
            to,
            State::Idle { .. }
                | State::Busy { .. }
                | State::Stopping { .. }
                | State::Killed { .. }
                | State::Gone
        ),
        State::Stopping { .. } => matches!(
            to,
            State::Stopping { .. } | State::Killed { .. } | State::Gone
        ),
        State::Killed { .. } => matches!(to, State::Killed { .. } | State::Gone),
        State::Gone => *to == State::Gone,
    }
}

/// Whether nobody does it twice to one worker.
fn is_done_once(effect: Effect) -> bool {
    match effect {
        Effect::Drain { grace, .. } => grace.is_none(),
        Effect::Stop | Effect::Ping | Effect::Look | Effect::Unresponsive | Effect::Responsive => {
            false
        }
        Effect::Kill | Effect::Leave | Effect::Proved | Effect::Crashed | Effect::Refused => true,
    }
}

/// What a worker says of itself that cannot all be true.
fn contradiction(worker: &Worker) -> Option<&'static str> {
    let said = worker.jobs() > 0 || worker.proved() || worker.troubled();
    let wrong = match *worker.state() {
        State::Spawning => [
            (
                worker.ready_at.is_some() || said,
                "it works without a process",
            ),
            (
                worker.recycle_at(&RULES).is_some(),
                "it ages without a process",
            ),
        ],
        State::Starting { .. } => [
            (
                worker.ready_at.is_some() || said,
                "it works and is not ready",
            ),
            (worker.recycle_at(&RULES).is_none(), "it does not age"),
        ],
        State::Idle { .. } => [
            (worker.ready_at.is_none(), "it waits and was never ready"),
            (worker.troubled(), "it waits and could not record"),
        ],
        State::Busy { .. } => [
            (worker.ready_at.is_none(), "it runs and was never ready"),
            (worker.running().is_none(), "it is busy with nothing"),
        ],
        State::Stopping {
            why,
            running,
            kill_at,
        } => [
            (
                kill_at.is_none() && !(running.is_some() && steps::unhurried(why)),
                "nothing ends it",
            ),
            (
                worker.troubled() && running.is_none(),
                "it is in trouble and counts as idle",
            ),
        ],
        State::Killed { why, leave_at, .. } => [
            (
                leave_at.is_none() && why == Why::Shutdown,
                "its tender waits for it for ever",
            ),
            (
                worker.recycle_at(&RULES).is_none(),
                "it was killed without a process",
            ),
        ],
        State::Gone => [
            (worker.deadline().is_some(), "something is to come of it"),
            (worker.running().is_some(), "it still runs something"),
        ],
    };
    let (_, what) = wrong.into_iter().find(|(is_so, _)| *is_so)?;
    Some(what)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens and whatever is illegal: a shutdown ends in an exit or, in time, a kill.
    #[test]
    fn every_shutdown_ends(history in prop::collection::vec((0_u64..40, event()), 0..60), later in event()) {
        let (mut worker, mut now) = (Worker::new(s(0)), s(0));
        worker.step(&RULES, SPAWNED, now).unwrap();
        for (wait, event) in history {
            now += s(wait);
            let before = worker;
            if worker.step(&RULES, event, now).is_err() {
                prop_assert_eq!(worker, before);
            }
        }
        worker.step(&RULES, DRAIN, now).unwrap();
        let _ = worker.step(&RULES, later, now);
        while let Some(at) = worker.deadline() {
            prop_assert!(at <= now + s(100) + TERM_TO_KILL + MARGIN + KILLED_PATIENCE);
            worker.step(&RULES, Event::Due, at).unwrap();
        }
        let ended = *worker.state() == State::Gone;
        prop_assert!(ended, "{}", worker.state());
    }

    /// Only along the arrows of the drawing, never into a state that contradicts itself, and nothing is ordered twice
    /// that can be done once.
    #[test]
    fn no_illegal_state_is_reached(history in prop::collection::vec((0_u64..40, event()), 0..120)) {
        let (mut worker, mut now) = (Worker::new(s(0)), s(0));
        let mut once: Vec<Effect> = Vec::new();
        for (wait, event) in history {
            now += s(wait);
            let before = worker;
            let effects = worker.step(&RULES, event, now).unwrap_or_default();
            let what = format!("{} × {event} → {}", before.state(), worker.state());
            prop_assert!(is_arrow(before.state(), worker.state()), "no arrow: {what}");
            prop_assert_eq!(contradiction(&worker), None, "{}", what);
            prop_assert!(worker.jobs() >= before.jobs() && worker.output() >= before.output(), "forgot: {what}");
            prop_assert!(worker.proved() || !before.proved(), "unproved: {what}");
            for effect in effects {
                prop_assert!(*before.state() != State::Gone, "{effect:?} for nobody: {what}");
                if is_done_once(effect) {
                    prop_assert!(!once.contains(&effect), "twice {effect:?}: {what}");
                    once.push(effect);
                }
            }
        }
        let killed = once.contains(&Effect::Kill);
        prop_assert!(killed || !matches!(worker.state(), State::Killed { .. }), "nobody killed it");
        let judged = [Effect::Crashed, Effect::Refused];
        prop_assert!(!judged.iter().all(|one| once.contains(one)), "one end is judged once");
    }
}
