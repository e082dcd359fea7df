//! One suite that every broker passes.
//!
//! A case is an async function that takes a [`Harness`]; [`conformance!`] makes each of them a test
//! of one broker. What a broker says it cannot do ([`Capabilities`]), or its harness cannot bring about,
//! its tests skip, and print so.
//!
//! To add a broker: implement [`Harness`] for it and name it at the end of this file. To add a case: write
//! it in one of the modules and name it in the macro's list.
//!
//! [`Capabilities`]: taskqueue::broker::Capabilities

mod bodies;
mod puts;
mod reserving;
mod settling;
mod tubes;

use async_trait::async_trait;
use rustix::process::Signal;
use taskqueue::broker::Broker;
use taskqueue::broker::embedded::{Embedded, Settings};
use tempfile::TempDir;

use crate::support::Beanstalkd;

/// A broker with nothing in it, for one case.
#[async_trait(?Send)]
pub trait Harness {
    /// The largest body that the broker takes, in bytes.
    const LARGEST: usize;

    /// Starts one.
    fn start() -> Self
    where
        Self: Sized;

    /// A new session.
    fn session(&mut self) -> Box<dyn Broker>;

    /// Tells the broker to take no new jobs. Only asked of those that can.
    async fn drain(&mut self);

    /// Breaks every session's connection, and keeps the jobs. `false` if there are none to break.
    async fn sever(&mut self) -> bool;
}

/// Prints why a case proves nothing about a broker.
fn skip(why: &str) {
    eprintln!("SKIPPED: {why}");
}

/// Makes every case a test of one broker.
macro_rules! conformance {
    ($broker:ident, $harness:ty) => {
        conformance! { $broker, $harness,
            bodies::every_size_up_to_the_limit_comes_back,
            bodies::every_byte_comes_back,
            bodies::a_body_too_big_is_refused_alone,
            puts::thousands_are_answered_in_order,
            puts::an_empty_batch_has_no_answers,
            puts::what_is_delivered_is_where_it_is_said_to_be,
            puts::a_dropped_put_leaves_the_session_usable,
            puts::delayed_jobs_wait,
            puts::a_draining_broker_takes_nothing_new,
            reserving::the_most_urgent_comes_first_then_the_oldest,
            reserving::urgency_counts_across_tubes,
            reserving::nothing_is_reserved_from_other_tubes,
            reserving::no_tubes_never_have_a_job,
            reserving::a_waiting_reserve_gets_a_job_at_once,
            reserving::a_reserve_that_finds_nothing_waits_its_time,
            reserving::a_reserved_job_is_nobody_elses,
            reserving::the_last_second_is_announced,
            reserving::a_job_whose_time_ran_out_is_ready_again,
            reserving::an_abandoned_reservation_is_ready_at_once,
            reserving::a_dropped_reserve_leaves_the_session_usable,
            reserving::a_dropped_reserve_loses_no_job,
            settling::touch_prolongs,
            settling::release_sets_priority_and_delay,
            settling::a_buried_job_waits_for_a_kick,
            settling::kick_takes_buried_jobs_before_delayed_ones,
            settling::kick_job_makes_one_ready,
            settling::jobs_are_deleted_and_the_next_reserved,
            settling::what_became_of_the_deleted_is_told_whatever_comes_next,
            settling::a_job_that_is_not_there_is_not_found,
            settling::another_sessions_job_cannot_be_removed,
            settling::jobs_that_nobody_holds_can_be_removed,
            settling::jobs_are_found_one_after_the_other_and_removed_together,
            settling::a_reservation_of_a_lost_connection_is_refused,
            tubes::every_good_name_is_taken,
            tubes::bad_names_do_not_exist,
            tubes::a_paused_tube_gives_nothing,
            tubes::the_end_of_a_pause_wakes_those_who_wait,
            tubes::a_job_is_described,
            tubes::a_tube_is_described,
            tubes::an_instance_stays_the_same,
            tubes::no_session_names_an_instance_that_has_gone,
        }
    };
    ($broker:ident, $harness:ty, $($module:ident::$case:ident),+ $(,)?) => {
        mod $broker {
            use super::*;
            $(
                #[tokio::test]
                async fn $case() {
                    super::$module::$case(&mut <$harness>::start()).await;
                }
            )+
        }
    };
}

struct OnBeanstalkd(Beanstalkd);

#[async_trait(?Send)]
impl Harness for OnBeanstalkd {
    const LARGEST: usize = 65535;

    fn start() -> Self {
        // Only with a binlog does a job survive the restart that breaks all connections.
        Self(Beanstalkd::with_binlog())
    }

    fn session(&mut self) -> Box<dyn Broker> {
        Box::new(self.0.client())
    }

    async fn drain(&mut self) {
        self.0.signal(Signal::USR1);
    }

    async fn sever(&mut self) -> bool {
        self.0.restart();
        true
    }
}

conformance!(beanstalkd, OnBeanstalkd);

struct OnEmbedded(TempDir);

#[async_trait(?Send)]
impl Harness for OnEmbedded {
    // It takes far more, at which the suite would write for minutes.
    const LARGEST: usize = 65535;

    fn start() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn session(&mut self) -> Box<dyn Broker> {
        let settings = Settings {
            max_job_size: Self::LARGEST,
        };
        Box::new(Embedded::with_settings(
            &self.0.path().join("t.db"),
            settings,
        ))
    }

    async fn drain(&mut self) {
        unreachable!("it says that it cannot");
    }

    async fn sever(&mut self) -> bool {
        false
    }
}

conformance!(embedded, OnEmbedded);
