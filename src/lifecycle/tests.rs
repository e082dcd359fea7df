use super::*;

mod histories;
mod pulse;
mod silent;

const RULES: Rules = Rules {
    max_age: Duration::from_secs(600),
    max_output: 1000,
    max_jobs: 50,
    max_memory: 1 << 20,
    unready: Unready::Killed(Duration::from_secs(20)),
    kill_after: Duration::ZERO,
};
const GRACE: Duration = Duration::from_secs(30);

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A worker to which these happened, a second apart unless they say otherwise.
fn after(events: &[Event]) -> (Worker, Vec<Effect>) {
    let mut worker = Worker::new(s(0));
    let mut effects = Vec::new();
    for event in events {
        effects = worker.step(&RULES, *event, s(0)).unwrap();
    }
    (worker, effects)
}

const SPAWNED: Event = Event::Spawned { jitter: Jitter(0) };
const BUSY: Event = Event::Busy { task: 7, group: 70 };
const IDLE: Event = Event::Idle { jobs: 0, output: 0 };
const DONE: Event = Event::Idle {
    jobs: 1,
    output: 10,
};
const TROUBLED: Event = Event::Troubled { task: 7 };
const MEASURED: Event = Event::Measured {
    memory: 99,
    printed: 0,
};
const WATCHED: Event = Event::Watched {
    left: Some(Duration::from_secs(3)),
};
const LOOKED: Event = Event::Looked { is_stopped: true };
const DRAIN: Event = Event::Drain { grace: GRACE };
const AGED: Event = Event::Retire { why: Why::Aged };
const EXIT_0: Event = Event::Ended(Ended::Exited(0));
const EXIT_1: Event = Event::Ended(Ended::Exited(1));
const EXIT_125: Event = Event::Ended(Ended::Exited(NEVER_AGAIN));
const KILLED: Event = Event::Ended(Ended::Signalled(9));
const SEGV: Event = Event::Ended(Ended::Signalled(11));

#[test]
fn every_state_meets_every_event() {
    let roads: [(&str, &[Event]); 7] = [
        ("spawning", &[]),
        ("starting", &[SPAWNED]),
        ("idle", &[SPAWNED, Event::Ready]),
        ("busy", &[SPAWNED, Event::Ready, BUSY]),
        ("stopping", &[SPAWNED, Event::Ready, AGED]),
        ("killed", &[SPAWNED, Event::Ready]),
        ("gone", &[SPAWNED, Event::Ready, EXIT_0]),
    ];
    let events = [
        SPAWNED,
        Event::CouldNotSpawn,
        Event::Ready,
        BUSY,
        IDLE,
        TROUBLED,
        MEASURED,
        AGED,
        DRAIN,
        Event::Stop,
        Event::Due,
        Event::LinkClosed,
        WATCHED,
        Event::Answered,
        LOOKED,
        EXIT_0,
    ];
    // s: to stopping, i: idle, b: busy, g: gone, t: starting, .: stays, !: illegal
    let table = [
        "tg!!!!!!!!.!!!!!",
        "!!ibib.ssS.s...g",
        "!!!bib.ssS.s...g",
        "!!!bib.ssS.s...g",
        "!!.......S.....g",
        "!!.............g",
        "!!.............!",
    ];
    for ((name, road), row) in roads.iter().zip(table) {
        for (event, expected) in events.iter().zip(row.chars()) {
            let (mut worker, _) = after(road);
            if *name == "killed" {
                worker.step(&RULES, Event::Stop, s(0)).unwrap();
                worker.step(&RULES, Event::Due, s(7)).unwrap();
            }
            let before = *worker.state();
            let answer = worker.step(&RULES, *event, s(0));
            let now = match (&answer, worker.state()) {
                (Err(_), _) => '!',
                (Ok(_), State::Starting { .. }) if before == State::Spawning => 't',
                (Ok(_), State::Gone) if before != State::Gone => 'g',
                (Ok(effects), State::Stopping { .. }) if effects.contains(&Effect::Stop) => 'S',
                (Ok(_), State::Stopping { .. }) if *name != "stopping" => 's',
                (Ok(_), State::Idle { .. })
                    if matches!(event, Event::Ready | Event::Idle { .. }) =>
                {
                    'i'
                }
                (Ok(_), State::Busy { .. })
                    if matches!(event, Event::Busy { .. } | Event::Troubled { .. }) =>
                {
                    'b'
                }
                (Ok(_), _) => '.',
            };
            assert_eq!(
                now,
                expected,
                "{name} × {event}: {answer:?} → {}",
                worker.state()
            );
        }
    }
}

#[test]
fn an_illegal_event_names_both_and_changes_nothing() {
    let (mut worker, _) = after(&[SPAWNED, Event::Ready, BUSY]);
    let before = worker;
    let error = worker.step(&RULES, Event::Ready, s(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "'ready' cannot happen to a worker that is busy with task 7"
    );
    assert_eq!(worker, before);
}

#[test]
fn who_crashed_and_who_did_not() {
    let none: &[Effect] = &[];
    let table: [(&str, &[Event], &[Effect]); 13] = [
        (
            "before it was ready",
            &[SPAWNED, EXIT_0],
            &[Effect::Crashed],
        ),
        (
            "killed before it was ready",
            &[SPAWNED, KILLED],
            &[Effect::Crashed],
        ),
        (
            "not even spawned",
            &[Event::CouldNotSpawn],
            &[Effect::Crashed],
        ),
        (
            "just after it was ready",
            &[SPAWNED, Event::Ready, EXIT_0],
            &[Effect::Crashed],
        ),
        (
            "link first",
            &[SPAWNED, Event::Ready, Event::LinkClosed, EXIT_1],
            &[Effect::Crashed],
        ),
        (
            "its own fault",
            &[SPAWNED, Event::Ready, SEGV],
            &[Effect::Crashed],
        ),
        ("killed when ready", &[SPAWNED, Event::Ready, KILLED], none),
        (
            "did its one job",
            &[SPAWNED, Event::Ready, BUSY, DONE, EXIT_0],
            none,
        ),
        (
            "failed after its job",
            &[SPAWNED, Event::Ready, BUSY, DONE, EXIT_1],
            &[Effect::Crashed],
        ),
        ("told to go", &[SPAWNED, DRAIN, EXIT_1], none),
        (
            "refused",
            &[SPAWNED, Event::Ready, EXIT_125],
            &[Effect::Refused],
        ),
        (
            "not come so far as to refuse",
            &[SPAWNED, EXIT_125],
            &[Effect::Crashed],
        ),
        (
            "refused when told to go",
            &[SPAWNED, Event::Ready, AGED, EXIT_125],
            &[Effect::Refused],
        ),
    ];
    for (name, events, expected) in table {
        let (worker, effects) = after(events);
        assert_eq!(effects, expected, "{name}");
        assert_eq!(worker.class(), Class::Gone, "{name}");
    }
    let (mut worker, _) = after(&[SPAWNED, Event::Ready]);
    assert_eq!(
        worker.step(&RULES, EXIT_1, s(1)).unwrap(),
        none,
        "a second later"
    );
}

#[test]
fn one_that_may_have_crashed_is_not_replaced_before_that_is_known() {
    let (worker, _) = after(&[SPAWNED, Event::LinkClosed]);
    assert_eq!(worker.class(), Class::Starting);
    let (worker, _) = after(&[SPAWNED, Event::Ready, BUSY, DONE, Event::LinkClosed]);
    assert_eq!(worker.class(), Class::Stopping);
}

#[test]
fn it_proves_itself_once_by_a_job_or_by_a_second() {
    let (mut worker, effects) = after(&[SPAWNED, Event::Ready, BUSY, DONE]);
    assert_eq!(effects, [Effect::Proved]);
    assert_eq!(worker.step(&RULES, Event::Due, s(5)).unwrap(), []);
    let (mut worker, _) = after(&[SPAWNED, Event::Ready]);
    assert_eq!(worker.deadline(), Some(PROVING));
    assert_eq!(
        worker.step(&RULES, Event::Due, PROVING).unwrap(),
        [Effect::Proved]
    );
    assert_eq!(worker.deadline(), None);
}

#[test]
fn it_is_recycled_only_when_idle_by_age_or_output() {
    let (mut worker, _) = after(&[
        Event::Spawned {
            jitter: Jitter(128),
        },
        Event::Ready,
    ]);
    assert_eq!(worker.recycle_at(&RULES), Some(s(570)));
    assert_eq!(worker.overdue(&RULES, s(569)), None);
    assert_eq!(worker.overdue(&RULES, s(570)), Some(Why::Aged));
    worker.step(&RULES, BUSY, s(600)).unwrap();
    assert_eq!(worker.overdue(&RULES, s(700)), None);
    let enough = Event::Idle {
        jobs: 3,
        output: 1000,
    };
    worker.step(&RULES, enough, s(1)).unwrap();
    assert_eq!(worker.overdue(&RULES, s(1)), Some(Why::Output));
    let any = Rules::default();
    assert_eq!(worker.overdue(&any, s(1)), None);
    assert_eq!(any.age_limit(Jitter(9)), None);
}

#[test]
fn its_own_output_its_jobs_and_its_memory_recycle_it_too() {
    let idle = |jobs, output| Event::Idle { jobs, output };
    let measured = |memory, printed| Event::Measured { memory, printed };
    let table = [
        (measured(0, 500), idle(1, 499), None),
        (measured(0, 500), idle(1, 500), Some(Why::Output)),
        (measured(0, 0), idle(50, 0), Some(Why::Jobs)),
        (measured((1 << 20) - 1, 0), idle(49, 0), None),
        (measured(1 << 20, 0), idle(1, 0), Some(Why::Memory)),
    ];
    for (measured, idle, expected) in table {
        let (mut worker, _) = after(&[SPAWNED, Event::Ready, BUSY, measured]);
        assert_eq!(worker.overdue(&RULES, s(0)), None, "{measured}, busy");
        worker.step(&RULES, idle, s(0)).unwrap();
        assert_eq!(worker.overdue(&RULES, s(0)), expected, "{measured}, {idle}");
    }
}

#[test]
fn one_that_is_never_ready_is_killed_and_has_crashed() {
    let (mut worker, _) = after(&[SPAWNED]);
    assert_eq!(worker.deadline(), Some(s(20)));
    assert_eq!(worker.step(&RULES, Event::Due, s(19)).unwrap(), []);
    assert_eq!(
        worker.step(&RULES, Event::Due, s(20)).unwrap(),
        [Effect::Kill, Effect::Crashed]
    );
    assert_eq!(worker.state().to_string(), "killed (was not ready in time)");
    assert_eq!(worker.step(&RULES, KILLED, s(20)).unwrap(), []);
    let mut patient = Worker::new(s(0));
    patient.step(&Rules::default(), SPAWNED, s(0)).unwrap();
    assert_eq!(patient.deadline(), None);
}

#[test]
fn one_that_cannot_record_is_busy_until_it_can() {
    for road in [
        &[SPAWNED, TROUBLED][..],
        &[SPAWNED, Event::Ready, BUSY, TROUBLED],
    ] {
        let (mut worker, _) = after(road);
        assert!(worker.troubled());
        assert_eq!(worker.class(), Class::Busy);
        assert_eq!(worker.running().map(|running| running.task), Some(7));
        worker.step(&RULES, AGED, s(1)).unwrap();
        assert!(worker.troubled());
        assert_eq!(worker.deadline(), None, "it is given all the time it takes");
        worker.step(&RULES, DONE, s(2)).unwrap();
        assert!(!worker.troubled());
    }
}

#[test]
fn what_it_ran_is_said_when_it_ends() {
    let (worker, _) = after(&[SPAWNED, Event::Ready, BUSY, Event::LinkClosed]);
    assert_eq!(
        worker.state().to_string(),
        "stopping (closed its link), busy with task 7"
    );
    assert_eq!(worker.deadline(), None, "it finishes its command");
    let (worker, _) = after(&[SPAWNED, Event::Ready, Event::LinkClosed]);
    assert_eq!(worker.deadline(), Some(IDLE_PATIENCE));
}

#[test]
fn a_recycled_worker_that_took_a_job_meanwhile_is_not_cut() {
    let (mut worker, effects) = after(&[SPAWNED, Event::Ready, AGED]);
    assert_eq!(
        effects,
        [Effect::Drain {
            grace: None,
            why: Why::Aged
        }]
    );
    assert_eq!(worker.deadline(), Some(IDLE_PATIENCE));
    worker.step(&RULES, BUSY, s(1)).unwrap();
    assert_eq!(worker.deadline(), None);
    worker.step(&RULES, DONE, s(5000)).unwrap();
    assert_eq!(worker.deadline(), Some(s(5000) + IDLE_PATIENCE));
}

/// Whatever it says, and though it was told to go without haste before.
#[test]
fn one_that_works_on_after_it_was_told_to_stop_is_killed_and_left() {
    let (mut worker, _) = after(&[SPAWNED, Event::Ready, BUSY, AGED, Event::Stop]);
    for second in 1..7 {
        assert_eq!(worker.step(&RULES, BUSY, s(second)).unwrap(), []);
        assert_eq!(worker.deadline(), Some(s(7)));
    }
    assert_eq!(
        worker.step(&RULES, Event::Due, s(7)).unwrap(),
        [Effect::Kill]
    );
    assert_eq!(worker.step(&RULES, BUSY, s(8)).unwrap(), []);
    assert_eq!(worker.deadline(), Some(s(12)));
    assert_eq!(
        worker.step(&RULES, Event::Due, s(12)).unwrap(),
        [Effect::Leave]
    );
    assert_eq!(worker.class(), Class::Gone);
}

/// As long as its tender stays, it counts.
#[test]
fn one_that_was_killed_is_left_only_by_a_tender_that_ends() {
    let (mut worker, _) = after(&[SPAWNED]);
    worker.step(&RULES, Event::Due, s(20)).unwrap();
    assert_eq!(worker.deadline(), None);
    assert_eq!(worker.step(&RULES, Event::Due, s(5000)).unwrap(), []);
    assert_eq!(worker.class(), Class::Stopping);
    assert_eq!(worker.step(&RULES, DRAIN, s(5000)).unwrap(), []);
    assert_eq!(worker.deadline(), Some(s(5000) + KILLED_PATIENCE));
    // It stays after all.
    worker.stay();
    assert_eq!(worker.deadline(), None);
    assert_eq!(worker.step(&RULES, Event::Due, s(6000)).unwrap(), []);
    assert_eq!(worker.class(), Class::Stopping);
}

#[test]
fn a_shutdown_ends_in_a_kill() {
    let (mut worker, effects) = after(&[SPAWNED, Event::Ready, BUSY, AGED, DRAIN]);
    assert_eq!(
        effects,
        [Effect::Drain {
            grace: Some(GRACE),
            why: Why::Shutdown
        }]
    );
    assert_eq!(worker.deadline(), Some(s(37)));
    assert_eq!(
        worker.step(&RULES, Event::Stop, s(10)).unwrap(),
        [Effect::Stop]
    );
    assert_eq!(worker.deadline(), Some(s(17)));
    assert_eq!(worker.step(&RULES, Event::Due, s(16)).unwrap(), []);
    assert_eq!(
        worker.step(&RULES, Event::Due, s(17)).unwrap(),
        [Effect::Kill]
    );
    assert_eq!(worker.step(&RULES, Event::Due, s(18)).unwrap(), []);
    assert_eq!(worker.step(&RULES, KILLED, s(18)).unwrap(), []);
}

/// Commands that may take long between TERM and KILL are not cut short by a tender that is in no hurry.
#[test]
fn a_shutdown_waits_for_as_long_as_commands_may_take_to_end() {
    for (kill_after, patience) in [(s(0), s(5)), (s(3), s(5)), (s(60), s(60))] {
        let rules = Rules {
            kill_after,
            ..RULES
        };
        let mut worker = Worker::new(s(0));
        for event in [SPAWNED, Event::Ready, BUSY, DRAIN] {
            worker.step(&rules, event, s(1)).unwrap();
        }
        let end = s(1) + GRACE + patience + MARGIN;
        assert_eq!(worker.deadline(), Some(end), "{kill_after:?}");
    }
}
