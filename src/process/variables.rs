//! What each command, and each cleanup, has in its environment as its own.

pub use super::table::{ATTEMPT_VARIABLE, STORE_VARIABLE, UUID_VARIABLE};
/// Holds the number of the descriptor through which the command reports. A cleanup has none.
pub use crate::task::report::VARIABLE as REPORT_VARIABLE;

/// Holds the task's number.
pub const TASK_VARIABLE: &str = "TASKQUEUE_TASK_ID";
/// Names the tube of the task.
pub const TUBE_VARIABLE: &str = "TASKQUEUE_TUBE";
/// Holds the number of the job that the attempt came by.
pub const JOB_VARIABLE: &str = "TASKQUEUE_JOB_ID";
/// Names the command.
pub const COMMAND_VARIABLE: &str = "TASKQUEUE_COMMAND";
/// Names the schedule that the task came of, if it came of one.
pub const SCHEDULE_VARIABLE: &str = "TASKQUEUE_SCHEDULE";
/// Holds the time of the schedule that the task was made for.
pub const SCHEDULED_FOR_VARIABLE: &str = "TASKQUEUE_SCHEDULED_FOR";
/// Is 1 if that time was missed, and is made up for.
pub const BACKFILLED_VARIABLE: &str = "TASKQUEUE_BACKFILLED";

/// Holds the numbers of the tasks that the task has waited for, with spaces between them, if it has waited for any.
pub const PARENTS_VARIABLE: &str = "TASKQUEUE_PARENTS";

/// All of them. What says whose a process is cannot be withheld, nor is it anybody else's.
pub const OWN_VARIABLES: [&str; 12] = [
    TASK_VARIABLE,
    STORE_VARIABLE,
    UUID_VARIABLE,
    TUBE_VARIABLE,
    JOB_VARIABLE,
    ATTEMPT_VARIABLE,
    COMMAND_VARIABLE,
    PARENTS_VARIABLE,
    BACKFILLED_VARIABLE,
    REPORT_VARIABLE,
    SCHEDULED_FOR_VARIABLE,
    SCHEDULE_VARIABLE,
];
