//! Tubes whose workers are another program: no task of ours is recorded there, and no pointer is put.

use std::io::Write;

use serde_json::json;

use crate::broker::NewJob;
use crate::cli::Failure;
use crate::cli::configured::{block_on, broker};
use crate::cli::out::out;
use crate::config::Config;
use crate::errno;
use crate::tube::TubeName;

/// Why no task can be put into that tube, if its workers would not know what to do with one.
pub fn refusal(config: &Config, tube: &TubeName) -> Option<Failure> {
    let command = config.foreign_worker(tube)?;
    let program = command.first().map_or("", String::as_str);
    Some(
        Failure::usage(format!(
            "the tube {tube} is served by another program, its worker_command {program}, for which a task of ours \
             means nothing; nothing was put"
        ))
        .next(format!(
            "put the body that the program expects: taskqueue put --use-tube {tube} --stdin\n  \
             or, if it starts taskqueue worker, say worker_protocol = \"own\" in [tubes.{tube}]"
        )),
    )
}

/// Puts a job as it is, and records nothing.
pub fn put(config: &Config, tube: &TubeName, job: NewJob, as_json: bool) -> Result<(), Failure> {
    let answers = block_on(async { Ok(broker(config).put(tube, &[job]).await) })?;
    for answer in answers {
        let job = answer.map_err(|error| {
            let failure = Failure::from(error);
            Failure::new(format!(
                "the body may not have been put, and nothing is recorded of it, for another program serves the tube \
                 {tube}: {failure}"
            ))
        })?;
        let mut out = out(as_json);
        // A bare number would be taken for a task's.
        let printed = match as_json {
            true => writeln!(out, "{}", json!({ "id": null, "job": job, "uuid": null })),
            false => writeln!(out, "job {job}"),
        };
        printed.map_err(|error| {
            Failure::new(format!(
                "the job {job} is put; its number could not be printed: {}",
                errno::said(&error)
            ))
        })?;
    }
    Ok(())
}
