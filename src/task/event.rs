//! What is told of tasks, and of those who run them: each change of a task's status is one event.

use super::Millis;

/// RFC 3339, in UTC, with milliseconds.
pub fn rfc3339(at: Millis) -> String {
    let (days, rest) = (at.div_euclid(86_400_000), at.rem_euclid(86_400_000));
    // Counted from the first of March of the year 0, so that the day that is put in is a year's last.
    let since = days.saturating_add(719_468);
    let (era, day) = (since.div_euclid(146_097), since.rem_euclid(146_097));
    let of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * of_era + of_era / 4 - of_era / 100);
    let from_march = (5 * day + 2) / 153;
    let day = day - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12 + 1;
    let year = of_era + era.saturating_mul(400) + i64::from(month <= 2);
    let (seconds, millis) = (rest / 1000, rest % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum What {
    /// A task was recorded.
    Put,
    /// An attempt has begun.
    Started,
    /// An attempt has failed, and the task waits for its next one.
    Retried,
    /// An attempt's command said "not now", and the task waits.
    Deferred,
    /// A task is done.
    Done,
    /// A task has failed.
    Failed,
    /// A task was called off.
    Cancelled,
    /// An attempt was cut short since its worker had to go, and the task waits.
    Interrupted,
    /// An attempt's worker died, and the task waits.
    Lost,
    /// An attempt was claimed and did not begin, and the task waits as before.
    Withdrawn,
    /// A task that had failed, or was cancelled, waits again.
    Regenerated,
    /// Somebody has deleted a task.
    Deleted,
    /// Some tasks that ended long ago were deleted, in one transaction.
    CleanedUp,
    /// A task came of a schedule.
    Fired,
    /// A worker has begun.
    WorkerStart,
    /// A worker has ended: in good order, or it was found dead.
    WorkerFinished,
    /// A worker was killed since it hung.
    WorkerKilled,
    /// A tube gives no jobs.
    Paused,
    /// A tube gives jobs again.
    Resumed,
    /// A time of a schedule made no task, for this one has the key.
    PassedOver,
}

/// Each with its number in a row, and its word. Neither is ever given to another.
const WORDS: [(What, i64, &str); 20] = [
    (What::Put, 1, "put"),
    (What::Started, 2, "started"),
    (What::Retried, 3, "retried"),
    (What::Deferred, 4, "deferred"),
    (What::Done, 5, "done"),
    (What::Failed, 6, "failed"),
    (What::Cancelled, 7, "cancelled"),
    (What::Interrupted, 8, "interrupted"),
    (What::Lost, 9, "lost"),
    (What::Withdrawn, 10, "withdrawn"),
    (What::Regenerated, 11, "regenerated"),
    (What::Deleted, 12, "deleted"),
    (What::CleanedUp, 13, "cleaned_up"),
    (What::Fired, 14, "fired"),
    (What::WorkerStart, 15, "worker_start"),
    (What::WorkerFinished, 16, "worker_finished"),
    (What::WorkerKilled, 17, "worker_killed"),
    (What::Paused, 18, "paused"),
    (What::Resumed, 19, "resumed"),
    (What::PassedOver, 20, "passed_over"),
];

/// What the systems that this one succeeds call some of them.
const ALIASES: [(&str, What); 5] = [
    ("worker.start", What::WorkerStart),
    ("worker.finished", What::WorkerFinished),
    ("task.fetched", What::Started),
    ("task.executed", What::Done),
    ("task.failed", What::Failed),
];

impl What {
    /// All of them, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = What> {
        WORDS.iter().map(|(what, ..)| *what)
    }

    fn row(self) -> (i64, &'static str) {
        let row = WORDS.iter().find(|(what, ..)| *what == self);
        row.map_or((0, "unknown"), |(_, number, word)| (*number, *word))
    }

    /// Its number in a row.
    pub fn number(self) -> i64 {
        self.row().0
    }

    /// Its word.
    pub fn as_str(self) -> &'static str {
        self.row().1
    }

    /// What a row's number means; `None`: a later version wrote it.
    pub fn from_number(number: i64) -> Option<What> {
        let row = WORDS.iter().find(|(_, known, _)| *known == number);
        row.map(|(what, ..)| *what)
    }

    /// What a word means, also one of the ancestors'.
    pub fn from_word(word: &str) -> Option<What> {
        let row = WORDS.iter().find(|(.., known)| *known == word);
        let alias = || ALIASES.iter().find(|(alias, _)| *alias == word);
        row.map(|(what, ..)| *what)
            .or_else(|| alias().map(|(_, what)| *what))
    }

    /// It is the end of an attempt, or of a task.
    pub fn is_an_end(self) -> bool {
        match self {
            What::Retried
            | What::Deferred
            | What::Done
            | What::Failed
            | What::Cancelled
            | What::Interrupted
            | What::Lost => true,
            What::Put
            | What::Started
            | What::Withdrawn
            | What::Regenerated
            | What::Deleted
            | What::Fired
            | What::CleanedUp
            | What::WorkerStart
            | What::WorkerFinished
            | What::WorkerKilled
            | What::Paused
            | What::Resumed
            | What::PassedOver => false,
        }
    }

    /// It is about one task.
    pub fn is_of_a_task(self) -> bool {
        match self {
            What::Put
            | What::Started
            | What::Retried
            | What::Deferred
            | What::Done
            | What::Failed
            | What::Cancelled
            | What::Interrupted
            | What::Lost
            | What::Withdrawn
            | What::Regenerated
            | What::Deleted
            | What::Fired
            | What::PassedOver => true,
            What::CleanedUp
            | What::WorkerStart
            | What::WorkerFinished
            | What::WorkerKilled
            | What::Paused
            | What::Resumed => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (at, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_800_000_000_123, "2027-01-15T08:00:00.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(at), expected);
        }
    }

    #[test]
    fn words_and_numbers_are_read_back_and_are_nobody_elses() {
        for (at, what) in What::all().enumerate() {
            assert_eq!(What::from_word(what.as_str()), Some(what));
            assert_eq!(What::from_number(what.number()), Some(what));
            assert_eq!(what.number(), at as i64 + 1);
        }
        assert_eq!(What::from_word("task.fetched"), Some(What::Started));
        assert_eq!(What::from_word("worker.start"), Some(What::WorkerStart));
        assert_eq!(What::from_word("on_done"), None);
        assert_eq!(What::from_number(0), None);
    }
}
