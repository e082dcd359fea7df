//! A look at everything: the tenders, the store and the broker.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::tubes::Tubes;
use crate::address::{BrokerUrl, StoreUrl};
use crate::api::{TaskReport, json as shape};
use crate::cli::Failure;
use crate::cli::reach::{odd, tenders};
use crate::connect;
use crate::control::words::{Status, Worker};
use crate::control::{Answer, Request};
use crate::ledger::counts::Counts;
use crate::ledger::limits::{COUNTED, InUse};
use crate::ledger::read::{line, run};
use crate::task::id::TaskId;
use crate::tube::TubeName;

/// Between two looks.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// What is looked at.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// All tubes if none is named.
    pub tubes: Vec<TubeName>,
    pub store: StoreUrl,
    /// Or why it is not known which.
    pub broker: Result<BrokerUrl, String>,
    /// The names of the limits that are configured, if that is known.
    pub limits: Option<BTreeSet<String>>,
    /// How many tasks of a tube are counted: what shows none of these numbers need not know of millions.
    pub most: u64,
}

/// Everything there is to know at one moment.
#[derive(Debug)]
pub(super) struct Seen {
    pub store: String,
    pub tenders: Vec<Status>,
    /// Those that live and could not be asked, and why.
    pub silent: Vec<(u32, String, String)>,
    pub counts: BTreeMap<String, Counts>,
    /// What commands that run have said of their tasks.
    pub reports: BTreeMap<TaskId, TaskReport>,
    /// The tubes that there is something to say of.
    pub named: BTreeSet<TubeName>,
    pub tubes: Tubes,
    /// How many schedules there are.
    pub schedules: usize,
    /// The limits that hold tasks, as many as are shown.
    pub limits: Vec<InUse>,
    /// Those that are configured, by their names, if that is known.
    pub configured: Option<BTreeSet<String>>,
}

/// So many limits that hold tasks are shown.
const LIMITS: u32 = 20;

/// Looks at everything.
pub(super) fn look(asked: &Asked) -> Result<Seen, Failure> {
    let Asked {
        tubes,
        store,
        broker,
        limits,
        most,
    } = asked;
    let named = |tube: &str| {
        let mut named = tubes.iter();
        tubes.is_empty() || named.any(|name| name.as_str() == tube)
    };
    let mut seen = Seen {
        store: store.to_string(),
        tenders: Vec::new(),
        silent: Vec::new(),
        counts: BTreeMap::new(),
        reports: BTreeMap::new(),
        named: BTreeSet::new(),
        tubes: Tubes::default(),
        schedules: 0,
        limits: Vec::new(),
        configured: limits.clone(),
    };
    for tender in tenders(store, tubes)? {
        match tender.ask(&Request::Status) {
            Ok((_, Answer::Status(mut status))) => {
                status.pools.retain(|pool| named(&pool.tube));
                seen.tenders.push(status);
            }
            Ok((_, other)) => return Err(odd(&other)),
            // It has nothing to say any more.
            Err(_) if tender.leaving && tender.is_gone(store) => {}
            Err(failure) => {
                let reason = failure.to_string();
                seen.silent.push((tender.pid, tender.host, reason));
            }
        }
    }
    if let Some(db) = connect::existing(store)? {
        seen.counts = db.counts_up_to(*most)?;
        seen.counts.retain(|tube, _| named(tube));
        seen.reports = db.reports(&seen.running())?.into_iter().collect();
        seen.tubes.of_store(&db, &seen.counts)?;
        seen.schedules = db.schedules()?.len();
        seen.limits = db.lines_in_use(LIMITS)?;
        seen.tubes.retain(named);
        seen.name_tubes(tubes);
        // Before there is a store, nothing of ours waits anywhere.
        seen.tubes.ask(broker, store, &seen.named);
        // A pool that needs no answer asks for none, and a tube is paused all the same.
        let pools = seen.tenders.iter_mut().flat_map(|tender| &mut tender.pools);
        pools.for_each(|pool| seen.tubes.tell(pool));
    }
    Ok(seen)
}

impl Seen {
    fn name_tubes(&mut self, asked: &[TubeName]) {
        let pools = self.tenders.iter().flat_map(|tender| &tender.pools);
        let pools = pools.map(|pool| pool.tube.as_str());
        let names = pools
            .chain(self.counts.keys().map(String::as_str))
            .chain(self.tubes.names());
        self.named = names.filter_map(|name| name.parse().ok()).collect();
        self.named.extend(asked.iter().cloned());
    }

    /// What the command that a worker runs has said of its attempt.
    pub fn said(&self, worker: &Worker) -> Option<&TaskReport> {
        self.reports.get(&TaskId(worker.task?))
    }

    /// The tasks that workers of these tenders run.
    fn running(&self) -> Vec<TaskId> {
        let pools = self.tenders.iter().flat_map(|tender| &tender.pools);
        let workers = pools.flat_map(|pool| &pool.workers);
        workers.filter_map(|one| one.task.map(TaskId)).collect()
    }

    fn is_up(&self) -> bool {
        !self.tenders.is_empty() && self.silent.is_empty()
    }

    /// Whether all tenders that there are answer, and there are any.
    pub fn exit_code(&self) -> ExitCode {
        match self.is_up() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }

    /// That schedules make nothing, where that is so.
    pub fn of_schedules(&self) -> Option<String> {
        if self.schedules == 0 || !self.tenders.is_empty() || !self.silent.is_empty() {
            return None;
        }
        let count = match self.schedules {
            1 => "1 schedule".to_owned(),
            count => format!("{count} schedules"),
        };
        Some(format!(
            "nothing comes of {count}: no tender is up that would make their tasks"
        ))
    }

    fn is_configured(&self, limit: &str) -> Option<bool> {
        let configured = self.configured.as_ref();
        configured.map(|configured| configured.contains(limit))
    }

    /// What limits hold, a sentence each.
    pub fn of_limits(&self) -> impl Iterator<Item = String> {
        let said = self.limits.iter().map(|InUse { held, running }| {
            let of = line(
                &held.line.limit,
                held.label.as_deref(),
                held.line.key.as_str(),
            );
            let tasks = match held.held {
                1 => "1 task".to_owned(),
                count if count >= u64::from(COUNTED) => format!("{COUNTED} tasks or more"),
                count => format!("{count} tasks"),
            };
            let rate = held.bounds.rate.map(|rate| rate.to_string());
            let why: Vec<String> = run(running, held.bounds).into_iter().chain(rate).collect();
            let next = match self.is_configured(&held.line.limit) {
                Some(false) => "; it is no limit by this configuration, and the tenders of its tubes let them go",
                Some(true) | None => "",
            };
            format!("limit {of} holds {tasks} ({}){next}", why.join(", "))
        });
        let is_cut = self.limits.len() >= usize::try_from(LIMITS).unwrap_or(usize::MAX);
        said.chain(is_cut.then(|| format!("the first {LIMITS} limits that hold tasks are shown")))
    }

    /// In the shape of `--json`.
    pub fn json(&self) -> Value {
        let silent = |(pid, host, reason): &(u32, String, String)| -> Value {
            json!({ "pid": pid, "host": host, "reason": reason })
        };
        let counts = self.counts.iter();
        let tasks: Vec<_> = counts
            .map(|(tube, counts)| shape::Counts::of(tube, counts))
            .collect();
        let reports = self.reports.iter();
        let reports: Vec<_> = reports
            .map(|(task, said)| shape::Reported::of(*task, said))
            .collect();
        let limits = self.limits.iter();
        let limits: Vec<_> = limits
            .map(|line| shape::InUse::of(line, self.is_configured(&line.held.line.limit)))
            .collect();
        json!({
            "store": self.store,
            "tenders": self.tenders,
            "silent": self.silent.iter().map(silent).collect::<Vec<_>>(),
            "tasks": tasks,
            "reports": reports,
            "tubes": self.tubes.json(&self.named),
            "lately": self.tubes.within(),
            "commands": self.tubes.commands(),
            "unknown": self.tubes.unknown,
            "schedules": self.schedules,
            "limits": limits,
        })
    }
}
