//! One suite that every ledger passes: the protocol, whatever keeps its rows.
//!
//! A case is a function that takes what makes a [`Stage`]; [`suite!`] makes each of them a test of one ledger. To add a
//! ledger: write what makes a stage of it, and name it at the end of this file. To add a case: write it in one of the
//! modules, and name it in the macro's list.

pub mod after;
mod astray;
mod batch_journals;
mod cancel;
mod claims;
mod cleanup;
mod entries;
mod events;
mod graphs;
mod histories;
mod limits;
mod minutes;
mod model;
mod own;
mod printed;
mod recovery;
mod reports;
mod rows;
mod schedules;
mod unique;

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use taskqueue::broker::JobId;
use taskqueue::ledger::batch_journal::{self, Journals};
use taskqueue::ledger::memory::Memory;
use taskqueue::ledger::put::{Added, NewTask};
use taskqueue::ledger::read::{Filter, Key, Task};
use taskqueue::ledger::worker::{Me, NewWorker, Registered};
use taskqueue::ledger::{
    Attempt, Claim, DeadAttempt, Durability, Entered, Entry, Error, ForeignJob, JobRef, Ledger,
    Millis, Settlement, TaskRef, sqlite,
};
use taskqueue::lives::{self, Alive, Lives};
use taskqueue::task::command::{Command, Commands, Content};
use taskqueue::task::id::{AttemptId, PutId, TaskId};
use taskqueue::task::output::Captured;
use taskqueue::task::payload::Call;
use taskqueue::task::resources::Resources;
use taskqueue::task::retry::{Budget, Next};
use taskqueue::task::state::Outcome;
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::tube;

/// Makes every case a test of one ledger.
macro_rules! suite {
    ($ledger:ident, $new:path) => {
        suite! { $ledger, $new,
            after::what_becomes_of_a_child_when_its_parents_end,
            after::those_that_wait_for_others_are_counted,
            after::what_had_ended_before_counts_at_once,
            after::an_attempt_that_is_tried_again_is_no_end,
            after::who_waits_has_no_job_and_nobody_looks_for_one,
            after::a_child_keeps_its_due_time_and_priority,
            after::a_regenerated_parent_has_its_children_wait_again,
            after::a_person_is_asked_for_nothing_more,
            after::of_many_children_some_hear_at_once_and_the_others_soon,
            after::what_is_put_together_waits_for_each_other,
            after::who_has_a_key_waits_with_it,
            after::a_parent_stays_while_somebody_waits_for_it,
            after::another_producers_job_may_wait_for_others,
            after::what_is_drawn_has_each_task_below_what_it_waits_for,
            graphs::a_diamond_ends_as_a_model_of_it,
            astray::a_pointer_in_another_tube_is_one_too_many,
            astray::a_copy_by_uuid_in_another_tube_is_one_too_many,
            astray::a_task_that_moved_runs_where_it_is_now,
            astray::a_row_with_a_number_for_a_text_is_the_same_task,
            cancel::what_waits_is_cancelled_and_its_job_is_one_too_many,
            cancel::what_runs_is_cancelled_however_it_ends_but_well,
            cancel::what_a_dead_worker_ran_is_cancelled_and_not_run_again,
            cancel::what_was_claimed_ahead_and_does_not_begin_is_cancelled,
            cancel::of_several_wishes_the_first_counts_and_the_hastiest,
            cancel::what_is_over_is_not_cancelled,
            cancel::a_cancelled_task_is_regenerated_with_a_fresh_budget,
            cancel::several_are_cancelled_in_one_transaction,
            claims::a_task_of_ours_runs_once,
            claims::a_pointer_to_a_row_that_was_cleaned_up_is_deleted,
            claims::a_pointer_to_a_row_that_was_never_here_is_kept,
            claims::a_pointer_to_the_newest_row_is_deleted_if_that_was_cleaned_up,
            claims::a_pointer_to_the_newest_row_is_deleted_if_a_person_deleted_that,
            claims::what_is_not_due_waits_for_the_rest_of_its_delay,
            claims::what_is_kicked_while_it_waits_runs_before_it_is_due,
            claims::a_kick_of_what_waits_for_its_command_runs_nothing,
            claims::a_clock_that_is_set_back_makes_nothing_wait_longer_than_it_was_to,
            claims::a_retry_waits_no_longer_than_it_was_to_when_the_clock_is_set_back,
            claims::a_failed_task_runs_again_only_when_its_job_is_kicked,
            claims::a_kick_is_not_used_up_while_the_command_is_not_configured,
            claims::a_task_waits_a_week_for_its_command_however_old_it_is,
            claims::a_parked_task_runs_at_once_when_its_command_is_back_whatever_the_clock_says,
            claims::only_raw_tasks_of_ours_wait_for_the_command_of_their_tube,
            claims::a_retry_waits_in_the_row,
            claims::an_attempt_is_settled_once,
            claims::a_nameless_job_is_known_by_its_number_its_bytes_and_its_instance_or_birth,
            claims::the_same_bytes_put_twice_are_two_tasks,
            claims::a_uuid_that_comes_again_is_the_same_task,
            claims::other_content_under_a_known_uuid_is_refused_in_a_row_of_its_own,
            claims::what_may_not_run_is_refused_and_says_why,
            claims::a_task_is_added_once,
            claims::only_what_failed_is_regenerated,
            claims::a_job_is_noted_for_the_put_that_it_came_from,
            claims::the_job_that_was_put_last_is_the_one_that_is_shown,
            claims::a_foreign_job_is_known_though_its_task_was_put_again,
            claims::what_was_put_to_run_at_once_runs_though_the_clock_was_set_back,
            recovery::of_two_that_find_a_dead_attempt_one_goes_on,
            recovery::what_was_taken_over_and_could_not_be_ended_is_tried_again,
            recovery::a_living_workers_attempt_is_not_taken_over,
            recovery::who_was_given_up_changes_nothing_any_more,
            recovery::a_task_that_kills_its_workers_fails_in_the_end,
            recovery::what_died_with_the_machine_is_not_counted,
            recovery::what_a_worker_ran_that_was_told_to_go_is_interrupted,
            recovery::what_a_worker_ran_that_hung_is_lost_for_that,
            recovery::how_often_a_task_may_be_lost_says_its_command_or_its_tube,
            recovery::nothing_begins_while_something_of_the_attempt_before_is_left,
            recovery::what_cannot_have_left_anything_is_not_looked_for,
            recovery::a_dead_workers_task_shows_as_stalled,
            recovery::a_claim_that_fails_leaves_nothing,
            batch_journals::what_a_dead_worker_has_noted_is_recorded_as_it_was,
            batch_journals::without_its_batch_journal_a_dead_worker_s_attempts_are_lost,
            batch_journals::a_task_whose_turn_does_not_come_waits_as_before,
            printed::what_a_dead_worker_s_command_had_printed_is_recorded,
            printed::whoever_follows_a_task_is_told_where_it_stands,
            printed::a_worker_that_ends_leaves_only_what_is_not_recorded,
            cleanup::what_ended_before_goes_and_nothing_else,
            cleanup::the_oldest_refused_tasks_are_beyond_what_is_kept,
            cleanup::a_foreign_task_stays_until_its_job_is_known_to_be_gone,
            cleanup::more_than_a_batch_goes_and_progress_is_told,
            cleanup::workers_are_forgotten_when_they_are_dead_and_run_nothing,
            cleanup::a_cleanup_pauses_only_after_what_it_deleted,
            cleanup::workers_are_forgotten_some_at_a_time,
            cleanup::no_more_tasks_of_a_tube_are_counted_than_are_asked_for,
            cleanup::jobs_of_old_tasks_are_looked_up_until_they_are_known_to_be_deleted,
            entries::an_entry_is_written_whole_or_not_at_all,
            entries::what_a_worker_says_goes_with_its_claim,
            entries::of_puts_that_are_asked_for_those_are_granted_that_nobody_else_has,
            entries::a_job_that_is_lost_unclaimed_leads_to_another_of_its_task,
            entries::kicks_that_are_learnt_late_ask_for_nothing,
            entries::a_claim_that_came_to_nothing_is_as_if_it_had_not_been,
            entries::what_ends_for_good_with_a_lost_attempt_is_not_claimed,
            own::what_the_put_says_wins_over_the_command,
            own::what_waits_is_given_other_bounds_within_those_of_its_command,
            own::what_is_tried_without_end_goes_on,
            own::of_very_many_attempts_the_newest_are_kept,
            own::a_variable_comes_to_the_command_and_goes_with_what_replaces_the_task,
            own::what_a_command_finds_is_part_of_the_key_that_is_made,
            own::what_is_beyond_its_bounds_is_refused_when_it_is_claimed,
            own::another_producers_job_says_it_too,
            reports::how_far_an_attempt_is_is_kept_while_it_is_its_worker_s,
            reports::who_was_given_up_says_nothing_any_more,
            reports::a_result_comes_with_its_task_and_goes_with_it,
            reports::no_impossible_report_is_written,
            reports::how_often_a_task_was_put_off_is_remembered_until_it_is_renewed,
            limits::no_more_run_than_are_allowed_and_the_first_that_is_held_goes_next,
            limits::a_place_is_free_at_once_when_its_attempt_is_dead,
            limits::a_dead_attempt_that_is_recorded_lets_the_next_go,
            limits::a_place_that_is_kept_for_nobody_who_comes_is_another_s,
            limits::one_whose_job_is_lost_does_not_keep_the_others_of_its_tube,
            limits::one_that_is_called_off_lets_the_next_go,
            limits::one_that_may_not_run_lets_the_next_go,
            limits::what_is_not_begun_after_all_frees_its_place,
            limits::no_more_begin_in_a_time_than_are_allowed_and_each_at_its_time,
            limits::what_is_held_by_two_limits_waits_for_both,
            limits::another_producer_s_job_is_held_once_its_task_is_recorded,
            limits::what_is_limited_is_not_claimed_ahead,
            limits::what_no_configuration_limits_is_let_go,
            limits::what_is_changed_while_it_is_held_stands_where_it_belongs_then,
            limits::what_is_deleted_while_it_is_held_keeps_nobody,
            limits::a_held_task_that_has_a_key_is_replaced_and_waits_by_a_job,
            limits::tasks_are_told_apart_by_tags_and_commands,
            limits::of_a_flood_as_many_have_jobs_as_may_run,
            limits::whoever_comes_late_stands_behind_those_that_wait,
            limits::nobody_is_held_for_whom_nobody_rings,
            limits::those_that_nobody_comes_for_keep_the_others_for_a_while_only,
            limits::a_put_is_held_by_the_tightest_of_its_limits,
            limits::of_a_flood_as_many_have_jobs_as_may_begin_in_a_time,
            limits::without_a_limit_nothing_is_looked_at,
            limits::what_is_behind_one_that_is_held_is_held_up_to_the_first_that_is_not,
            limits::what_others_have_put_is_recorded_and_held,
            limits::what_is_not_for_a_limit_to_say_is_left_to_a_claim,
            limits::through_crashes_no_more_run_than_are_allowed_and_no_place_is_lost,
            minutes::what_ended_is_counted_with_its_end,
            minutes::what_is_recorded_again_is_not_counted_again,
            minutes::how_long_a_task_waited_is_counted_where_it_is_known,
            minutes::names_that_producers_make_up_are_counted_together,
            minutes::old_minutes_are_forgotten,
            rows::a_transaction_that_fails_leaves_nothing,
            rows::a_part_of_a_transaction_that_fails_leaves_nothing_and_the_rest_stays,
            rows::no_impossible_task_is_written,
            rows::no_impossible_attempt_output_or_worker_is_written,
            rows::lists_are_of_the_newest_that_pass_the_filter,
            rows::what_is_picked_passes_the_filter_oldest_first,
            rows::of_many_attempts_the_newest_are_shown,
            rows::tasks_are_counted_where_they_stand,
            rows::what_waits_is_counted_by_what_it_wants,
            rows::what_may_have_no_job_is_found_a_page_at_a_time,
            rows::what_is_due_much_later_has_no_job_until_it_is_near,
            rows::workers_are_known_with_what_they_have_done,
            schedules::a_step_is_done_by_one_of_those_who_try,
            schedules::no_time_has_two_tasks,
            schedules::the_schedules_of_a_configuration_go_with_it,
            schedules::who_is_paused_makes_nothing_and_is_decided_up_to_its_resumption,
            schedules::a_command_learns_of_which_time_it_came,
            schedules::a_time_whose_key_is_taken_is_passed_over,
            schedules::a_task_that_waits_may_be_given_what_comes_of_a_time,
            schedules::another_producers_job_may_say_when_it_is_to_run,
            events::ends_that_nobody_has_told_of_are_told_some_at_a_time,
            events::each_change_of_a_task_is_one_event_with_the_next_number,
            events::what_is_called_off_refused_given_back_or_deleted_is_an_event,
            events::what_a_dead_worker_ran_is_lost_once,
            events::what_is_undone_is_no_event,
            events::workers_and_schedules_are_told_of,
            events::a_worker_that_died_without_a_word_is_told_of_once,
            events::what_is_cleaned_up_is_told_with_it,
            events::old_events_go_and_their_numbers_never_come_again,
            events::where_events_are_off_there_are_none,
            events::a_hook_is_a_task_that_is_made_with_what_it_is_for,
            events::a_hook_is_for_what_it_is_for_and_made_once,
            events::no_body_names_a_hook,
            unique::a_key_is_its_task_s_until_that_has_ended,
            unique::a_key_of_what_waits_is_free_while_it_runs_and_a_retry_goes_on_without,
            unique::a_retry_has_its_key_again_if_nobody_has_got_it,
            unique::a_key_for_a_time_is_its_task_s_for_that_time_wherever_it_stands,
            unique::what_was_put_and_is_put_again_by_its_uuid_is_known,
            unique::of_two_with_one_key_in_a_transaction_the_first_counts,
            unique::what_is_to_be_refused_is_and_names_the_task,
            unique::what_waits_is_replaced_and_what_runs_is_not,
            unique::what_failed_does_not_wait_again_while_another_has_its_key,
            unique::what_is_edited_has_the_key_of_what_it_is_given_then,
            unique::another_producer_s_job_whose_key_is_taken_is_one_too_many,
            unique::a_key_is_its_task_s_though_its_worker_is_dead,
            rows::a_list_of_a_time_has_all_of_that_time_though_the_clock_was_set_back,
            rows::a_worker_of_a_tube_is_known_while_it_lives_and_for_as_long_as_is_asked_then,
        }
    };
    ($ledger:ident, $new:path, $($module:ident::$case:ident),+ $(,)?) => {
        mod $ledger {
            $(
                #[test]
                fn $case() {
                    super::$module::$case($new);
                }
            )+
        }
    };
}

suite!(on_sqlite, super::on_sqlite);
suite!(in_memory, super::in_memory);

/// When these tests happen.
pub const NOW: Millis = 1_800_000_000_000;

/// Makes an empty ledger.
pub type New = fn() -> Stage;

/// A ledger, a worker, and commands that may run.
pub struct Stage {
    pub db: Ledger,
    pub commands: Arc<Commands>,
    pub me: Me,
    pub lives: Arc<dyn Lives>,
    pub journals: Arc<dyn Journals>,
    another: Box<dyn Fn() -> Ledger>,
    /// What was started before this belongs to another boot of the machine.
    restart: Box<dyn Fn()>,
    _alive: Alive,
    _kept: Option<TempDir>,
}

fn on_sqlite() -> Stage {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.db");
    let another = {
        let path = path.clone();
        move || sqlite::open(&path, Durability::ProcessDeath).unwrap()
    };
    let restart = move || {
        let sqlite = Connection::open(&path).unwrap();
        let another = "UPDATE workers SET boot = 'another'";
        sqlite.execute(another, []).unwrap();
    };
    Stage::over(Box::new(another), Box::new(restart), Some(dir))
}

fn in_memory() -> Stage {
    let memory = Memory::new(Uuid::now_v7());
    let lives = lives::memory::Memory::new();
    let journals = Arc::new(batch_journal::memory::Memory::new());
    let killed = lives.clone();
    let another = move || memory.open(Arc::new(lives.clone()), Arc::clone(&journals) as _);
    Stage::over(Box::new(another), Box::new(move || killed.restart()), None)
}

impl Stage {
    fn over(
        another: Box<dyn Fn() -> Ledger>,
        restart: Box<dyn Fn()>,
        kept: Option<TempDir>,
    ) -> Stage {
        let mut db = another();
        let Registered { me, alive } = register(&mut db, "me");
        let mut commands = Commands::default();
        commands.add("work", Command::new(vec!["/bin/true".into()]));
        assert!(commands.take_raw(tube("t"), "work"));
        Stage {
            lives: Arc::clone(db.lives()),
            journals: Arc::clone(db.journals()),
            db,
            commands: commands.into(),
            me,
            another,
            restart,
            _alive: alive,
            _kept: kept,
        }
    }

    /// Another process's connection.
    pub fn another(&self) -> Ledger {
        (self.another)()
    }

    pub fn restart_machine(&self) {
        (self.restart)();
    }

    pub fn claim(&mut self, job: &JobRef) -> Claim {
        self.claim_at(job, NOW)
    }

    pub fn claim_at(&mut self, job: &JobRef, now: Millis) -> Claim {
        claim(&mut self.db, &self.me, &self.commands, job, now).unwrap()
    }

    /// What a claim names that has been made sure of.
    pub fn claim_at_cleared(&mut self, job: &JobRef, number: i64, now: Millis) -> Claim {
        let cleared = Some(number);
        let job = JobRef {
            cleared,
            ..job.clone()
        };
        self.claim_at(&job, now)
    }

    /// The claim of another worker, which has ended by the time that it is looked at.
    pub fn claim_of_another(&mut self, job: &JobRef, now: Millis) -> Claim {
        let another = register(&mut self.db, "another");
        claim(&mut self.db, &another.me, &self.commands, job, now).unwrap()
    }

    /// A claim that must begin an attempt.
    #[track_caller]
    pub fn begin(&mut self, job: &JobRef) -> Box<Attempt> {
        begun(self.claim(job))
    }

    /// A claim by one who has made sure that nothing is left of the attempt of that number.
    pub fn claim_cleared(&mut self, job: &JobRef, number: i64) -> Claim {
        self.claim_at_cleared(job, number, NOW)
    }

    /// What becomes of the task of an attempt that we took over, when that is lost and the task claimed anew.
    pub fn lose_and_claim(&mut self, dead: &DeadAttempt, job: &JobRef, now: Millis) -> Claim {
        let entry = Entry {
            lose: Some(dead.clone()),
            claim: Some(job.clone()),
            ..Entry::default()
        };
        let entered = self.db.enter(&entry, &self.commands, &self.me, now);
        entered.unwrap().claim.unwrap()
    }

    /// A settlement that must be ours to make.
    #[track_caller]
    pub fn settle(&mut self, attempt: &Attempt, outcome: Outcome, next: Next) {
        let settlement = settlement(attempt, outcome, next);
        assert!(settled(&mut self.db, settlement, &self.me));
    }

    pub fn done(&mut self, attempt: Box<Attempt>) -> TaskId {
        self.settle(&attempt, Outcome::Exited(0), Next::Done);
        attempt.id.task
    }

    pub fn failed(&mut self, attempt: Box<Attempt>) -> TaskId {
        let next = Next::Failed {
            reason: "exit code 1".into(),
        };
        self.settle(&attempt, Outcome::Exited(1), next);
        attempt.id.task
    }

    /// A task, with all there is to know of it.
    #[track_caller]
    pub fn task(&self, task: TaskId) -> Task {
        self.db.show(Key::Id(task)).unwrap().unwrap()
    }

    /// Where a task stands, in a word.
    #[track_caller]
    pub fn status(&self, task: TaskId) -> &'static str {
        self.task(task).status.as_str()
    }

    /// Every task, the newest first.
    pub fn tasks(&self) -> Vec<Task> {
        self.filtered(&Filter::default())
    }

    pub fn filtered(&self, filter: &Filter) -> Vec<Task> {
        let mut tasks = Vec::new();
        let each = |task| {
            tasks.push(task);
            true
        };
        self.db.list(filter, u64::MAX, each).unwrap();
        tasks
    }

    /// How many attempts have ended.
    pub fn attempts(&self) -> usize {
        let attempts = self.tasks().into_iter().flat_map(|task| task.attempts);
        attempts.filter(|one| one.finished.is_some()).count()
    }

    /// How many attempts have printed something.
    pub fn outputs(&self) -> usize {
        let whole = self.tasks().into_iter().map(|task| self.task(task.id));
        let attempts = whole.flat_map(|task| task.attempts);
        attempts.filter(|one| one.output.is_some()).count()
    }
}

pub fn register(db: &mut Ledger, name: &str) -> Registered {
    let worker = NewWorker {
        name: name.into(),
        tube: "t".into(),
        host: "here".into(),
        pid: 1,
    };
    db.register(&worker, NOW).unwrap()
}

#[track_caller]
pub fn begun(claim: Claim) -> Box<Attempt> {
    match claim {
        Claim::Begun(attempt) => attempt,
        other => panic!("{other:?}"),
    }
}

/// What every attempt takes here.
pub fn took() -> Resources {
    Resources {
        user: Duration::from_micros(12_345),
        system: Duration::from_micros(6),
        peak_memory: 7 << 40,
    }
}

pub fn settlement(attempt: &Attempt, outcome: Outcome, next: Next) -> Settlement {
    Settlement {
        id: attempt.id,
        outcome,
        next,
        budget: Budget {
            spent: 1,
            ..attempt.budget
        },
        output: Captured {
            head: b"said".to_vec(),
            ..Captured::default()
        },
        report: None,
        took: Some(took()),
        kicks: None,
        started: None,
        finished: NOW,
        ran: Some(Arc::clone(&attempt.ran)),
    }
}

/// What somebody says in one transaction, none of which depends on what may run.
pub fn enter(db: &mut Ledger, me: &Me, entry: Entry) -> Result<Entered, Error> {
    db.enter(&entry, &Arc::default(), me, NOW)
}

pub fn claim(
    db: &mut Ledger,
    me: &Me,
    commands: &Arc<Commands>,
    job: &JobRef,
    now: Millis,
) -> Result<Claim, Error> {
    let entry = Entry {
        claim: Some(job.clone()),
        ..Entry::default()
    };
    Ok(db.enter(&entry, commands, me, now)?.claim.unwrap())
}

/// Whether a dead attempt is theirs now.
pub fn taken_over(db: &mut Ledger, dead: &DeadAttempt, me: &Me) -> bool {
    let entry = Entry {
        take_over: Some(dead.clone()),
        ..Entry::default()
    };
    enter(db, me, entry).unwrap().taken
}

/// Whether it was theirs to record.
pub fn settled(db: &mut Ledger, settlement: impl Into<Arc<Settlement>>, me: &Me) -> bool {
    let entry = Entry {
        settle: vec![settlement.into()],
        ..Entry::default()
    };
    enter(db, me, entry).unwrap().ours == [true]
}

/// The attempt of a task that has this number.
pub fn nth(task: TaskId, number: i64) -> AttemptId {
    AttemptId { task, number }
}

/// The put of a task that has this number.
pub fn nth_put(task: TaskId, generation: i64) -> PutId {
    PutId { task, generation }
}

pub fn call(argument: &str) -> Call {
    Call {
        command: "work".parse().unwrap(),
        arguments: vec![argument.into()],
        options: Vec::new(),
    }
}

/// Records a task of ours; its row and a job that points to it.
pub fn put(db: &mut Ledger, due: Millis) -> (TaskId, JobRef) {
    put_at(db, due, NOW)
}

/// The same at another time.
pub fn put_at(db: &mut Ledger, due: Millis, now: Millis) -> (TaskId, JobRef) {
    let uuid = Uuid::now_v7();
    let task = NewTask {
        unique: None,
        own: None,
        after: None,
        tags: Vec::new(),
        uuid,
        tube: tube("t"),
        content: Content::Call(call("1")),
        priority: 5,
        ttr: 60,
        due,
    };
    let added = db.add(&[task], now).unwrap();
    let &[Added::New { id } | Added::Later { id }] = added.as_slice() else {
        panic!("{added:?}");
    };
    (id, job_ref(1, TaskRef::Pointer(uuid)))
}

pub fn job_ref(id: JobId, task: TaskRef) -> JobRef {
    let kicks = match &task {
        TaskRef::Pointer(_) => None,
        TaskRef::Named(..) | TaskRef::Nameless(_) => Some(0),
    };
    JobRef {
        tube: tube("t"),
        id,
        kicks,
        task,
        cleared: None,
    }
}

/// A foreign job with a raw body, put into the instance `one` at [`NOW`].
pub fn foreign(body: &str) -> ForeignJob {
    let mut hash = [0; 16];
    for (slot, byte) in hash.iter_mut().zip(body.bytes()) {
        *slot = byte;
    }
    ForeignJob {
        tags: Vec::new(),
        at: None,
        unique: None,
        own: None,
        after: None,
        content: Content::Unread(body.to_owned().into()),
        body: body.to_owned().into(),
        hash,
        instance: "one".into(),
        birth: NOW,
        priority: 9,
        ttr: 30,
    }
}
