//! The machine in made-up surroundings: long random histories in which a broker, a ledger and commands answer whatever
//! they may, and the rules of `machine.rs` are checked at every step; and the table of what may happen when.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;

use super::event::{Answer, Ask, By, Event, How};
use super::mode::Mode;
use super::state::LEAVE_ALONE;
use super::table::{EventKind, PhaseKind, may_happen};
use crate::broker as broker_port;
use crate::ledger::{Claim, Jobless, TaskRef};
use crate::link::Report;
use crate::process::lack::Lack;
use crate::task::id::{AttemptId, PutId, TaskId};
use crate::task::state::{Exit, Outcome};

mod broker;
mod dice;
mod model;
mod script;
mod stage;
mod world;

use model::{Kind, Model, Tally};
use script::Script;
use stage::at;
use world::World;

proptest! {
    // A tape means what it means only in the surroundings of today.
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_hold_in_every_history(tape in proptest::collection::vec(any::<u8>(), 0..1500)) {
        World::new(tape).play();
    }
}

/// Far longer histories than shrinking could handle; the seed is all there is to a failure.
#[test]
fn the_rules_hold_in_long_histories() {
    let steps = (1..=60).map(|seed| World::from_seed(seed, 100_000).play());
    let steps: u64 = steps.sum();
    assert!(steps > 200_000, "only {steps} steps");
}

/// Every phase is come to, by random histories too: or they would show nothing of it.
#[test]
fn histories_come_everywhere() {
    let mut seen: HashMap<(PhaseKind, EventKind), u64> = HashMap::new();
    for seed in 100..=105 {
        let mut world = World::from_seed(seed, 60_000);
        world.play();
        for (key, count) in world.seen {
            *seen.entry(key).or_default() += count;
        }
    }
    for phase in stage::PHASES {
        assert!(
            phase == PhaseKind::Gone || seen.keys().any(|(at, _)| *at == phase),
            "no history came to {phase:?}"
        );
    }
    for event in stage::EVENTS {
        assert!(
            seen.keys().any(|(_, kind)| *kind == event),
            "{event:?} never happened"
        );
    }
}

/// What the table allows is taken in, and all else is refused, by name, and changes nothing.
#[test]
fn the_table_says_what_may_happen() {
    for phase in stage::PHASES {
        for event in stage::EVENTS {
            let mut machine = script::machine_in(phase);
            assert_eq!(machine.phase.kind(), phase);
            let before = format!("{machine:?}");
            let now = at(1_000_000);
            let stepped = machine.step(stage::event(event), now);
            let allowed = may_happen(event, phase) && stage::is_answer_awaited(event, phase);
            match stepped {
                Ok(_) => assert!(allowed, "{event:?} was taken in while {phase:?}"),
                Err(illegal) => {
                    assert!(!allowed, "{event:?} was refused while {phase:?}");
                    assert_eq!((illegal.event, illegal.phase), (event, phase));
                    assert_eq!(format!("{machine:?}"), before, "{event:?} while {phase:?}");
                }
            }
        }
    }
}

/// An outcome is recorded within 20 ms of a broker that says nothing, whatever there is to be asked.
#[test]
fn an_outcome_does_not_wait_for_a_silent_broker() {
    for exit in [0, 1] {
        let mut script = Script::running();
        script.ends(exit, at(100_000));
        assert!(
            script.asked().is_some(),
            "the broker is asked what comes next"
        );
        assert_eq!(script.entered(), None);
        let due = script.machine.deadline().unwrap();
        assert!(due <= Duration::from_millis(120), "{due:?}");
        script.due(due);
        assert_eq!(script.entered(), Some(1), "recorded without the broker");
    }
}

/// A touch that the broker does not answer keeps nothing from being recorded.
#[test]
fn an_outcome_does_not_wait_for_a_touch() {
    let mut script = Script::running();
    let due = script.machine.deadline().unwrap();
    script.due(due);
    assert!(matches!(script.asked(), Some(Ask::Touch(_))));
    script.ends(0, at(30_000_000));
    let due = script.machine.deadline().unwrap();
    script.due(due);
    assert_eq!(script.entered(), Some(1));
}

/// What is known of deleted jobs goes with the very next entry.
#[test]
fn what_is_deleted_goes_with_the_next_entry() {
    let mut script = Script::running_foreign();
    script.ends(0, at(1_000));
    script.answer_exchange(0);
    script.answer_entered();
    // Deleted, since no other job came.
    script.answer_exchange(0);
    script.reserves_pointer();
    let entry = script.last_entry().unwrap();
    assert!(entry.claim.is_some());
    assert_eq!(entry.deleted, [TaskId(1)]);
}

/// A broker that cannot say how often a job was kicked has not said that it was not.
#[test]
fn an_unknown_kick_is_not_taken_for_none() {
    let mut script = Script::new();
    script.reserves_pointer();
    script.claim_says(Claim::AskForKicks);
    assert!(matches!(script.asked(), Some(Ask::Know(_))));
    script.step(Event::Answered(Answer::Known(
        Err(stage::lost_connection()),
    )));
    match script.asked() {
        Some(Ask::Release { delay, .. }) => assert_eq!(*delay, LEAVE_ALONE),
        other => panic!("{other:?}"),
    }
}

/// A task that waits and whose job was lost is put again, and no job is taken before that is said.
#[test]
fn a_job_that_is_lost_when_it_is_released_is_put_again() {
    let mut script = Script::new();
    script.reserves_pointer();
    let put = PutId {
        task: TaskId(1),
        generation: 4,
    };
    script.claim_says(Claim::Later {
        put,
        delay: Duration::from_secs(1),
        priority: 1024,
    });
    assert!(matches!(script.asked(), Some(Ask::Release { .. })));
    script.step(Event::Answered(Answer::Settled(Err(
        broker_port::Error::NotFound,
    ))));
    assert!(is_put_again(&script, put));
    assert!(script.asked().is_none(), "{:?}", script.asked());
}

/// A broker without room takes a job off its connection and leaves it nowhere, also one that nobody has claimed.
#[test]
fn a_job_that_is_lost_unclaimed_is_put_again() {
    let full = || Event::Answered(Answer::Settled(Err(broker_port::Error::OutOfMemory)));
    let pointer = |script: &Script| match script.last_entry().unwrap().again.as_slice() {
        [Jobless::Job(job)] => match &job.task {
            TaskRef::Pointer(uuid) => *uuid,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    // Whose kicks are not known.
    let mut script = Script::new();
    script.reserves_pointer();
    script.claim_says(Claim::AskForKicks);
    script.step(Event::Answered(Answer::Known(
        Err(stage::lost_connection()),
    )));
    script.step(full());
    assert_eq!(pointer(&script), Uuid::from_u128(1));

    // Whose turn has not come.
    let mut script = Script::running();
    script.ends_quickly(at(1_000));
    script.answer_exchange(2);
    script.claims();
    let due = script.machine.deadline().unwrap();
    script.due(due);
    // The job before is deleted first.
    script.answer_exchange(0);
    assert!(
        matches!(script.asked(), Some(Ask::Release { .. })),
        "{:?}",
        script.asked()
    );
    script.step(full());
    assert_eq!(pointer(&script), Uuid::from_u128(3));
}

fn is_put_again(script: &Script, put: PutId) -> bool {
    let again = &script.last_entry().unwrap().again;
    matches!(again.as_slice(), [Jobless::Put(one)] if *one == put)
}

/// A worker that finds out whether the ledger is well, which may take as long as a lock is held, goes when it is told
/// to.
#[test]
fn a_worker_in_trouble_goes_when_it_is_told_to() {
    let mut script = Script::new();
    script.reserves_pointer();
    script.is_refused("the disk is full");
    script.step(Event::Answered(Answer::Settled(Ok(()))));
    let due = script.machine.deadline().unwrap();
    script.due(due);
    script.step(stage::told(Mode::Draining { until: None }));
    assert!(script.machine.is_gone());
}

/// A command that had ended before it could be asked to is judged by its exit, whatever was to be sent.
#[test]
fn what_ended_by_itself_is_judged_by_its_exit() {
    for by_itself in [true, false] {
        let mut script = Script::running();
        script.step(stage::told(Mode::Stopping));
        script.answer_entered();
        script.ends_as(by_itself, at(1_000));
        let due = script.machine.deadline().unwrap_or_default();
        script.due(due);
        let outcome = script.last_entry().unwrap().settle[0].outcome.clone();
        let expected = match by_itself {
            true => Outcome::Exited(0),
            false => Outcome::Interrupted(Exit::Code(0)),
        };
        assert_eq!(outcome, expected);
    }
}

/// A TERM that is sent to all may end the command before the worker has heard its own.
#[test]
fn what_is_ended_by_a_signal_may_have_been_told_with_its_worker() {
    for is_told in [true, false] {
        let mut script = Script::running();
        script.ends_by(stage::TERM, at(100_000));
        assert_eq!(script.machine.phase.kind(), PhaseKind::Held);
        let due = script.machine.deadline().unwrap();
        assert_eq!(due, Duration::from_millis(350));
        if is_told {
            script.step(stage::told(Mode::Draining { until: None }));
        } else {
            script.due(due);
            let due = script.machine.deadline().unwrap();
            script.due(due);
        }
        let outcome = script.last_entry().unwrap().settle[0].outcome.clone();
        let expected = match is_told {
            true => Outcome::Interrupted(Exit::Signal(stage::TERM)),
            false => Outcome::Signalled(stage::TERM),
        };
        assert_eq!(outcome, expected);
    }
}

/// A command that exits with 0 for the TERM that all were sent is not done; where the worker alone was sent one, the
/// command is.
#[test]
fn an_exit_is_not_believed_after_a_signal_to_all() {
    for all in [true, false] {
        let mut script = Script::running();
        let (mode, ticket, by) = (Mode::Draining { until: None }, None, By::Signal);
        script.step(Event::Told { mode, ticket, by });
        script.answer_entered();
        script.ends(0, at(1_000));
        assert_eq!(script.machine.phase.kind(), PhaseKind::Held);
        match all {
            true => script.step(Event::ToldAll),
            false => {
                let due = script.machine.deadline().unwrap();
                assert!(due <= Duration::from_millis(250), "{due:?}");
                script.due(due);
            }
        }
        let outcome = script.last_entry().unwrap().settle[0].outcome.clone();
        let expected = match all {
            true => Outcome::Interrupted(Exit::Code(0)),
            false => Outcome::Exited(0),
        };
        assert_eq!(outcome, expected);
    }
}

/// So that a KILL before the command has ended is not taken for a death of its making.
#[test]
fn that_a_worker_was_told_to_go_is_noted_while_its_command_runs() {
    let mut script = Script::running();
    script.step(stage::told(Mode::Draining { until: None }));
    assert!(script.last_entry().unwrap().told);
    // Said once, unless it could not be noted.
    script.is_refused("the disk is full");
    let due = script.machine.deadline().unwrap();
    script.due(due.max(Duration::from_secs(1)));
    assert!(script.last_entry().unwrap().told);
    script.answer_entered();
    script.step(stage::told(Mode::Stopping));
    assert!(!script.has_entry(), "said again");
}

/// Also while the next command runs, for hours perhaps.
#[test]
fn a_task_whose_job_is_lost_does_not_wait_for_the_next_command() {
    let mut script = Script::running();
    script.ends_quickly(at(1_000));
    script.answer_exchange(1);
    let put = PutId {
        task: TaskId(9),
        generation: 2,
    };
    script.claims_although_lost(put);
    let due = script.machine.deadline().unwrap();
    script.due(due);
    assert!(is_put_again(&script, put));
}

/// After trouble the tender is told that the worker is idle, also where it had just been told so.
#[test]
fn trouble_that_is_over_is_reported() {
    let mut script = Script::running();
    script.reports.clear();
    script.ends(0, at(200_000));
    script.answer_exchange(0);
    script.is_refused("the disk is full");
    assert!(matches!(
        script.reports.last(),
        Some(Report::Troubled { .. })
    ));
    let due = script.machine.deadline().unwrap();
    script.due(due);
    script.answer_entered();
    script.answer_exchange(0);
    let due = script.machine.deadline().unwrap();
    script.due(due);
    assert!(
        matches!(script.reports.last(), Some(Report::Idle { .. })),
        "{:?}",
        script.reports
    );
}

/// A tender reconciles for its workers, also after an outage.
#[test]
fn a_worker_with_a_tender_does_not_reconcile() {
    for has_tender in [true, false] {
        let mut script = Script::with(|rules| rules.has_tender = has_tender);
        if !has_tender {
            assert!(matches!(script.asked(), Some(Ask::Reconcile)));
            script.step(Event::Answered(Answer::Reconciled));
        }
        assert!(matches!(script.asked(), Some(Ask::Reserve { .. })));
        script.step(Event::Answered(Answer::Reserved(Err(
            stage::lost_connection(),
        ))));
        let due = script.machine.deadline().unwrap();
        script.due(due);
        match script.asked() {
            Some(Ask::Reserve { wait }) => assert!(has_tender && wait.is_zero()),
            Some(Ask::Reconcile) => assert!(!has_tender),
            other => panic!("{other:?}"),
        }
    }
}

/// Attempts that were claimed ahead and do not begin have let their locks go by the time their tasks wait again.
#[test]
fn locks_of_what_does_not_begin_are_free_before_it_waits() {
    let mut script = Script::running();
    let ids = script.ends_with_batch(3, at(1_000));
    for id in &ids[1..] {
        assert!(script.holds(*id), "claimed ahead: {id}");
    }
    script.step(stage::told(Mode::Draining { until: None }));
    script.answer_entered();
    script.ends(1, at(2_000));
    let due = script.machine.deadline().unwrap_or_default();
    script.due(due);
    script.answer_known();
    let entry = script.last_entry().unwrap();
    assert_eq!(entry.unclaim, ids[1..]);
    for id in &ids[1..] {
        assert!(!script.holds(*id), "{id}");
    }
}

/// Told to go while an outcome is being journaled: the job whose turn was next is given back with the others.
#[test]
fn a_turn_that_does_not_come_is_given_back() {
    let mut script = Script::running();
    let ids = script.ends_with_batch(3, at(1_000));
    script.writes_journal = false;
    script.ends_quickly(at(2_000));
    script.step(stage::told(Mode::Stopping));
    script.step(Event::Journaled(true));
    assert_eq!(script.last_entry().unwrap().unclaim, ids[1..]);
}

/// What all of them together keep, whatever goes wrong: no task is lost, none runs twice at once, none runs again that
/// is done, and a death costs one attempt.
#[test]
fn workers_that_are_killed_in_every_gap_keep_the_promises() {
    let kind = Kind {
        tasks: 300,
        foreign: 0,
        workers: 3,
        kills: 40,
        forgets: true,
        is_local: true,
    };
    let kinds = [
        kind,
        Kind {
            is_local: false,
            ..kind
        },
        Kind {
            workers: 1,
            kills: 100,
            ..kind
        },
        Kind {
            tasks: 150,
            foreign: 150,
            forgets: false,
            ..kind
        },
        Kind {
            tasks: 100,
            foreign: 200,
            forgets: false,
            is_local: false,
            workers: 6,
            ..kind
        },
    ];
    let mut all = Tally::default();
    for kind in kinds {
        for seed in 1..=20 {
            println!("seed {seed}, {kind:?}");
            let tally = Model::new(seed, kind).play();
            all.steps += tally.steps;
            all.kills += tally.kills;
            all.restarts += tally.restarts;
            all.attempts += tally.attempts;
            all.lost += tally.lost;
            all.unstarted += tally.unstarted;
            all.stopped += tally.stopped;
            all.cut_off += tally.cut_off;
        }
    }
    println!("{all:?}");
    assert!(
        all.kills > 2_000
            && all.restarts > 100
            && all.lost > 1_000
            && all.unstarted > 1_000
            && all.stopped > 200
            && all.cut_off > 10,
        "too little went wrong: {all:?}"
    );
}

/// The command could not be started for want of a process.
fn without_room() -> Event {
    let mut ended = stage::ended(0, false, false);
    ended.how = How::NotStarted {
        lack: Lack::Room,
        reason: "no process to spare".into(),
    };
    Event::Ended(ended)
}

/// With a batch: what has ended is settled, what could not be started and what was to come after it wait again.
#[test]
fn what_a_worker_lacks_costs_no_task_anything() {
    let mut script = Script::running();
    let ids = script.ends_with_batch(3, at(1_000));
    script.starts_commands = false;
    script.ends_quickly(at(2_000));
    assert_eq!(script.begun(), Some(ids[1]), "its turn");
    script.lets_go();
    script.step(without_room());
    let entry = script.last_entry().unwrap();
    let settled: Vec<_> = entry.settle.iter().map(|one| one.id).collect();
    assert_eq!((settled, entry.begun), (vec![ids[0]], None));
    assert_eq!(entry.unclaim, [ids[2], ids[1]]);
    for id in &ids {
        assert!(!script.holds(*id), "{id}");
    }
    match script.reports.last() {
        Some(Report::Troubled { task: 0, reason }) => assert_eq!(reason, "no process to spare"),
        other => panic!("{other:?}"),
    }
    script.answer_entered();
    script.answer_exchange(0);
    match script.asked() {
        Some(Ask::Release { delay, .. }) => assert_eq!(*delay, Duration::ZERO),
        other => panic!("{other:?}"),
    }
}

/// It reserves nothing before its pause is over; then its tender hears that it waits.
#[test]
fn a_worker_that_lacks_something_pauses_and_tries_again() {
    let mut script = Script::new();
    script.starts_commands = false;
    let mut pauses = Vec::new();
    for number in 1..=3 {
        script.reserves_pointer();
        let id = AttemptId {
            task: TaskId(number),
            number: 1,
        };
        script.begins(id, false);
        script.lets_go();
        script.step(without_room());
        script.answer_entered();
        assert!(matches!(script.asked(), Some(Ask::Release { .. })));
        script.step(Event::Answered(Answer::Settled(Ok(()))));
        assert!(script.asked().is_none(), "{:?}", script.asked());
        let (now, due) = (script.now.at, script.machine.deadline().unwrap());
        pauses.push((due - now).as_millis());
        script.due(due);
        assert!(matches!(script.asked(), Some(Ask::Reserve { .. })));
        assert!(matches!(
            script.reports.last(),
            Some(Report::Troubled { .. })
        ));
    }
    // Half of what they are at most, by chance.
    assert_eq!(pauses, [500, 1000, 2000]);
    let due = script.machine.deadline().unwrap();
    script.due(due);
    assert!(matches!(script.reports.last(), Some(Report::Idle { .. })));
    assert_eq!(script.machine.jobs(), 0, "none of them was one");
}

/// A worker that is told to go while it pauses goes at once.
#[test]
fn a_worker_that_pauses_goes_when_it_is_told_to() {
    let mut script = Script::new();
    script.starts_commands = false;
    script.reserves_pointer();
    let id = AttemptId {
        task: TaskId(1),
        number: 1,
    };
    script.begins(id, false);
    script.lets_go();
    script.step(without_room());
    script.answer_entered();
    script.step(Event::Answered(Answer::Settled(Ok(()))));
    script.step(stage::told(Mode::Draining { until: None }));
    assert!(script.machine.is_gone());
}
