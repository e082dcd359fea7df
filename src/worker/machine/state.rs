//! All that a worker has in mind: where its job stands, what it has of the broker, what it has to say.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::batch::Batch;
use super::event::{Effect, Now, ToDelete};
use super::heard::Heard;
use super::lacks::Lacks;
use super::mode::Mode;
use super::outage::Outage;
use super::pace::{Pace, PrefetchSize, Sift};
use super::phase::Phase;
use super::vain::Vain;
use crate::broker::{Held, JobId, Reservation};
use crate::crash::Point;
use crate::ledger::announce::Again;
use crate::ledger::{Claim, Entry, JobRef, Jobless};
use crate::task::command::Commands;
use crate::task::id::{AttemptId, TaskId};
use crate::task::refused::Counted;
use crate::task::report::Progress;
use crate::tube::TubeName;

/// Between two passes of reconciliation, and how long one reserve waits for a job.
pub const EVERY: Duration = Duration::from_secs(30);

/// When no job comes for so long, what is to be noted is noted.
pub const QUIET: Duration = Duration::from_millis(50);

/// A worker that has waited so long for its next job is idle. Before that its tender is told only now and then how many
/// jobs it has had: a job in a full tube takes little longer than hearing of it.
pub const IDLE: Duration = Duration::from_millis(2);
pub const NOW_AND_THEN: Duration = Duration::from_millis(100);

/// When a job has been worked at for so long, the jobs before it need not wait for the next reserve to be deleted,
/// those that were to be next are for others, and what there is of a batch is recorded.
pub const ALONE_AFTER: Duration = Duration::from_millis(20);

/// Between two tries to record.
pub const AGAIN: Duration = Duration::from_secs(1);

/// How long a job is left alone when its task cannot be looked at, or not be freed of what runs.
pub const LEAVE_ALONE: Duration = Duration::from_secs(5);

/// Where a job's TTR is not known, the shortest that there is.
pub const SHORTEST_TTR: u32 = 1;

/// What does not change in a worker's life.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The store that our pointers name.
    pub store: Uuid,
    /// The tube that is served.
    pub tube: TubeName,
    /// A tender reconciles for the worker.
    pub has_tender: bool,
    /// The worker leaves after so many jobs.
    pub max_jobs: Option<u64>,
    /// An entry may be tried at once.
    pub ledger_is_local: bool,
}

/// A worker.
#[derive(Debug)]
pub struct Machine {
    pub rules: Rules,
    pub commands: Arc<Commands>,
    pub mode: Mode,
    pub heard: Heard,
    pub phase: Phase,
    pub batch: Batch,
    /// The next job, claimed in the transaction that recorded the one before it.
    pub claimed: Option<Box<(Reservation, JobRef, Claim)>>,
    /// Reserved jobs whose turn has not come.
    pub next: VecDeque<Reservation>,
    /// Jobs whose ends are recorded.
    pub to_delete: Vec<ToDelete>,
    pub notes: Notes,
    /// What the broker is asked.
    pub broker: Option<Asked>,
    /// What the ledger is told.
    pub ledger: Option<Entering>,
    pub keep_alive: Option<KeepAlive>,
    /// Since when the worker has been at the job that it serves.
    pub busy_since: Duration,
    /// A batch that could not be recorded beside a command is not tried again before then, and whether that was said.
    pub batch_not_before: Duration,
    pub batch_in_trouble: bool,
    /// Notes beside a command that could not be made are not tried again before then, and whether that was said.
    pub note_not_before: Duration,
    pub notes_in_trouble: bool,
    /// The configuration was read again since the last claims were asked for.
    pub configured_since: bool,
    pub pace: Pace,
    pub prefetch: PrefetchSize,
    pub sift: Sift,
    pub rest: Rest,
    pub lacks: Lacks,
    pub stuck: StuckOnes,
    /// Pointers into other stores that were buried.
    pub buried_elsewhere: u64,
    pub jobs: u64,
    pub output: u64,
    pub told: Told,
    /// The tender takes the worker for busy, perhaps with another task.
    pub taken_for_busy: bool,
    /// When it believes that the command's time is up.
    pub believed_over_at: Option<Duration>,
    pub wake: Option<Duration>,
}

/// What is to go with the next entry, and what came of it.
#[derive(Debug, Default)]
pub struct Notes {
    /// Tasks whose producers' own jobs are deleted.
    pub deleted: Vec<TaskId>,
    /// Kicks of failed tasks' jobs.
    pub kicks: Vec<(TaskId, u64)>,
    /// Tasks whose jobs are lost.
    pub again: Vec<Jobless>,
    /// The worker was told to go.
    pub told: bool,
    /// How far the command of an attempt says that it is.
    pub progress: Option<(AttemptId, Progress)>,
    /// Puts that were granted, to be announced.
    pub puts: Vec<Again>,
}

/// Keeping a reservation: a long job is not a lost job.
#[derive(Debug, Clone, Copy)]
pub struct KeepAlive {
    pub held: Held,
    /// Of the job's TTR.
    pub third: Duration,
    /// `None`: the reservation is lost, or a touch is under way.
    pub touch_at: Option<Duration>,
}

/// A worker without a job.
#[derive(Debug, Default)]
pub struct Rest {
    /// Since when.
    pub since: Duration,
    /// How the worker stands with its broker.
    pub outage: Outage,
    /// The broker's answers in a row that led to nothing.
    pub vain: Vain,
    /// No job is taken before then.
    pub pause_until: Option<Duration>,
    /// When the tube is to be put right; `None`: that is a tender's.
    pub reconcile_at: Option<Duration>,
    /// The ledger is in trouble; when an entry is tried again.
    pub prove_at: Option<Duration>,
    /// What was refused since it was looked at how much of that is kept; `None`: that was never looked at.
    pub refused: Option<Counted>,
    /// That is to be looked at.
    pub keeps_some: bool,
    /// The latest claim could not be made, which was said.
    pub claims_fail: bool,
}

/// Attempts of which something could not be ended, which was said.
#[derive(Debug, Default)]
pub struct StuckOnes(BTreeSet<AttemptId>);

impl StuckOnes {
    /// As many as are remembered; where there are more, some are said again.
    const MOST: usize = 100;

    /// Whether it is to be said.
    pub fn insert(&mut self, attempt: AttemptId) -> bool {
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        self.0.insert(attempt)
    }

    /// Whether it was said.
    pub fn contains(&self, attempt: AttemptId) -> bool {
        self.0.contains(&attempt)
    }

    /// Nothing of the attempt is left.
    pub fn remove(&mut self, attempt: AttemptId) {
        self.0.remove(&attempt);
    }
}

/// What the tender knows of what a worker has done.
#[derive(Debug, Clone, Copy)]
pub enum Told {
    All,
    /// Not the latest; when it began not to be told.
    NotSince(Duration),
}

impl Machine {
    /// A worker that has just begun.
    pub fn new(rules: Rules, commands: Arc<Commands>, now: Now) -> Machine {
        let rest = Rest {
            since: now.at,
            // What was left by those before it is put right before anything else.
            reconcile_at: (!rules.has_tender).then_some(now.at),
            ..Rest::default()
        };
        Machine {
            rules,
            commands,
            mode: Mode::Working,
            heard: Heard::default(),
            phase: Phase::Idle,
            batch: Batch::default(),
            claimed: None,
            next: VecDeque::new(),
            to_delete: Vec::new(),
            notes: Notes::default(),
            broker: None,
            ledger: None,
            keep_alive: None,
            busy_since: now.at,
            batch_not_before: Duration::ZERO,
            batch_in_trouble: false,
            note_not_before: Duration::ZERO,
            notes_in_trouble: false,
            configured_since: false,
            pace: Pace::default(),
            prefetch: PrefetchSize::default(),
            sift: Sift::default(),
            rest,
            lacks: Lacks::default(),
            stuck: StuckOnes::default(),
            buried_elsewhere: 0,
            jobs: 0,
            output: 0,
            told: Told::All,
            taken_for_busy: false,
            believed_over_at: None,
            wake: None,
        }
    }
}

/// What is to be done, in this order.
pub type Effects = Vec<Effect>;

/// What the broker is asked, as far as the answer does not say it.
#[derive(Debug)]
pub enum Asked {
    /// [`Ask::Reserve`]
    Reserve {
        /// Since when.
        at: Duration,
        /// How long the broker is to wait for a job.
        wait: Duration,
    },
    /// [`Ask::Exchange`]: how many jobs.
    Exchange(usize),
    /// [`Ask::Know`]
    Know(About),
    /// [`Ask::KnowAll`]: of these.
    KnowAll(Vec<JobId>),
    /// [`Ask::Touch`]
    Touch(Held),
    /// [`Ask::Release`] or [`Ask::Bury`] of the job that is served.
    Dispose {
        /// The job.
        job: JobId,
        /// Which task is to be put again if the job is lost.
        waiting: Option<Jobless>,
        /// The job is released, not buried.
        is_release: bool,
    },
    /// [`Ask::Release`] of a job whose turn has not come.
    GiveBack {
        /// The job.
        job: JobId,
        /// Which task is to be put again if the job is lost.
        waiting: Option<Jobless>,
    },
    /// [`Ask::Announce`]
    Announce,
    /// [`Ask::Reconcile`]
    Reconcile,
    /// [`Ask::KeepSome`]
    KeepSome,
}

/// What the broker is asked about a job for.
#[derive(Debug)]
pub enum About {
    /// Which task a foreign job is that is to be served.
    Job,
    /// How often the job was kicked that is to be claimed.
    Claim,
    /// How often the job of a task had been kicked that has failed.
    Failed(TaskId),
}

impl Asked {
    /// Nothing is lost but the connection if the answer is not waited for.
    pub fn can_be_interrupted(&self) -> bool {
        match self {
            Asked::Reserve { .. } | Asked::Reconcile | Asked::KeepSome => true,
            Asked::Exchange(_)
            | Asked::Know(_)
            | Asked::KnowAll(_)
            | Asked::Touch(_)
            | Asked::Dispose { .. }
            | Asked::GiveBack { .. }
            | Asked::Announce => false,
        }
    }
}

/// What the ledger is told.
#[derive(Debug)]
pub enum Entering {
    /// A job's task is claimed, or a dead attempt taken over for it.
    Claim(Arc<Entry>),
    /// An outcome is recorded, and the next jobs are claimed.
    Together(Arc<Entry>),
    /// What has ended is recorded.
    Record(Arc<Entry>),
    /// What there is of a batch is recorded beside a command.
    Batch(Arc<Entry>),
    /// What can wait is noted.
    Note(Arc<Entry>),
    /// It is proved whether the ledger takes anything.
    Proof,
    /// Nobody waits for the answer any more.
    Forgotten,
}

impl Entering {
    /// Nobody waits for the answer from now on. What was to be entered may be entered.
    pub fn forget(&mut self) {
        *self = Entering::Forgotten;
    }

    /// Whether the answer may grant puts.
    pub fn leads_to_puts(&self) -> bool {
        match self {
            Entering::Claim(entry)
            | Entering::Together(entry)
            | Entering::Record(entry)
            | Entering::Batch(entry)
            | Entering::Note(entry) => !entry.again.is_empty(),
            Entering::Proof | Entering::Forgotten => false,
        }
    }

    /// Whether the answer is waited for.
    pub fn is_awaited(&self) -> bool {
        match self {
            Entering::Forgotten => false,
            Entering::Claim(_)
            | Entering::Together(_)
            | Entering::Record(_)
            | Entering::Batch(_)
            | Entering::Note(_)
            | Entering::Proof => true,
        }
    }
}

impl Notes {
    /// Of an entry that was not made.
    pub fn take_back(&mut self, entry: &Entry) {
        self.deleted.extend(&entry.deleted);
        self.kicks.extend(&entry.kicks);
        self.again.extend(entry.again.iter().cloned());
        self.told |= entry.told;
        // What was said since counts.
        if self.progress.is_none() {
            self.progress.clone_from(&entry.progress);
        }
    }
}

impl KeepAlive {
    /// From now on, by the job's TTR in seconds.
    pub fn begin(reservation: &Reservation, ttr: Option<u32>, now: Now) -> KeepAlive {
        let third = Duration::from_secs(ttr.unwrap_or(SHORTEST_TTR).max(1).into()) / 3;
        KeepAlive {
            held: reservation.held(),
            third,
            touch_at: Some(now.at.saturating_add(third)),
        }
    }
}

/// A gap in which tests let the worker die.
pub fn gap(point: Point) -> Effect {
    Effect::Gap(point)
}
