//! Workers that have promised no word of how they stand.

use super::*;

/// What is known of a worker that has promised no word.
fn unready(unready: Unready) -> (Rules, Worker) {
    let rules = Rules { unready, ..RULES };
    let mut worker = Worker::new(s(0));
    worker.step(&rules, SPAWNED, s(0)).unwrap();
    (rules, worker)
}

#[test]
fn nobody_is_killed_for_want_of_a_word_that_was_not_promised() {
    let (rules, mut waits) = unready(Unready::Waits);
    assert_eq!(waits.deadline(), None);
    assert_eq!(waits.step(&rules, Event::Due, s(9999)).unwrap(), []);
    // Told to go while it perhaps works, it is given all the time that it takes.
    let mut told = waits;
    told.step(&rules, Event::Retire { why: Why::Surplus }, s(9999))
        .unwrap();
    assert_eq!(told.deadline(), None);
    // Who does not know the link may close it.
    waits.step(&rules, Event::LinkClosed, s(9999)).unwrap();
    assert_eq!(waits.deadline(), None);

    let (rules, mut worker) = unready(Unready::Presumed(s(1)));
    assert_eq!(worker.deadline(), Some(s(1)));
    let effects = worker.step(&rules, Event::Due, s(1)).unwrap();
    assert_eq!(effects, [Effect::Proved]);
    assert!(worker.silent() && worker.class() == Class::Idle);
    assert_eq!(worker.deadline(), None);
    // Perhaps it works: it is told to go, and given all the time that it takes.
    let effects = worker.step(&rules, AGED, s(600)).unwrap();
    let why = Why::Aged;
    assert_eq!(effects, [Effect::Drain { grace: None, why }]);
    assert_eq!(worker.deadline(), None);
    // A shutdown has its grace, also for such a one.
    worker.step(&rules, DRAIN, s(601)).unwrap();
    let end = s(601) + GRACE + TERM_TO_KILL + MARGIN;
    assert_eq!(worker.deadline(), Some(end));
}

#[test]
fn one_that_counts_as_ready_crashes_only_before_that_and_may_still_say_so() {
    let (rules, mut brief) = unready(Unready::Presumed(s(1)));
    let half = Duration::from_millis(500);
    assert_eq!(brief.step(&rules, EXIT_0, half).unwrap(), [Effect::Crashed]);

    let (rules, mut worker) = unready(Unready::Presumed(s(1)));
    worker.step(&rules, Event::Due, s(1)).unwrap();
    assert_eq!(worker.to_string(), "alive");
    let mut speaks = worker;
    assert_eq!(worker.step(&rules, EXIT_1, s(1) + half).unwrap(), []);

    // Whatever starts it may fail with that code, however late: only its own word would make the code its own.
    let mut refuses = speaks;
    assert_eq!(refuses.step(&rules, EXIT_125, s(9)).unwrap(), []);
    let mut refuses = speaks;
    refuses.step(&rules, IDLE, s(9)).unwrap();
    assert_eq!(
        refuses.step(&rules, EXIT_125, s(10)).unwrap(),
        [Effect::Refused]
    );

    assert_eq!(speaks.step(&rules, Event::Ready, s(40)).unwrap(), []);
    assert_eq!(speaks.to_string(), "idle");
    // From its first word on it is known to be idle.
    speaks.step(&rules, AGED, s(41)).unwrap();
    assert_eq!(speaks.deadline(), Some(s(41) + IDLE_PATIENCE));

    let (rules, mut worker) = unready(Unready::Presumed(s(1)));
    worker.step(&rules, BUSY, half).unwrap();
    assert!(!worker.silent() && worker.class() == Class::Busy);
}
