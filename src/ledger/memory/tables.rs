//! Tables that can be put back as they were.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::ledger::error::Failed;
use crate::ledger::rows::{Awaiting, Ends, EventRow, HeldRow, Kin, Line, Of, ScheduleRow};
use crate::task::Millis;
use crate::task::after::ParentEnd;
use crate::task::id::{AttemptId, TaskId, WorkerId};
use crate::task::output::Captured;
use crate::task::unique::{Hold, Key};

use super::checks;
use super::records::{AttemptRow, Fire, ReportRow, TaskRow, WorkerRow};

/// A table, and what of it was otherwise when the transaction began.
#[derive(Debug, Clone)]
pub(super) struct Table<K, V> {
    rows: BTreeMap<K, V>,
    before: Vec<(K, Option<V>)>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Table<K, V> {
        Table {
            rows: BTreeMap::new(),
            before: Vec::new(),
        }
    }
}

impl<K: Clone + Ord, V: Clone> Table<K, V> {
    pub fn rows(&self) -> &BTreeMap<K, V> {
        &self.rows
    }

    pub fn get(&self, key: K) -> Option<&V> {
        self.rows.get(&key)
    }

    /// Writes a row, or removes it.
    fn put(&mut self, key: K, row: Option<V>) {
        let before = match row {
            Some(row) => self.rows.insert(key.clone(), row),
            None => self.rows.remove(&key),
        };
        self.before.push((key, before));
    }

    /// What was written after the first of these is as it was.
    fn undo(&mut self, first: usize) {
        while self.before.len() > first
            && let Some((key, row)) = self.before.pop()
        {
            match row {
                Some(row) => self.rows.insert(key, row),
                None => self.rows.remove(&key),
            };
        }
    }
}

/// All of them. What is written is checked when it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    tasks: Table<TaskId, TaskRow>,
    attempts: Table<AttemptId, AttemptRow>,
    output: Table<AttemptId, Captured>,
    reports: Table<TaskId, ReportRow>,
    workers: Table<WorkerId, WorkerRow>,
    /// No two tasks have one.
    uuids: Table<Uuid, TaskId>,
    /// The numbers given last, never given again.
    numbers: Table<(), (i64, i64)>,
    /// When the newest was recorded of those that were deleted.
    deleted: Table<(), Millis>,
    ends: Table<Of, Ends>,
    schedules: Table<String, ScheduleRow>,
    fires: Table<TaskId, Fire>,
    awaiting: Table<TaskId, Awaiting>,
    /// By parent and child.
    edges: Table<(TaskId, TaskId), Option<ParentEnd>>,
    /// By child and parent.
    parents: Table<(TaskId, TaskId), ()>,
    unheard: Table<TaskId, TaskId>,
    held: Table<TaskId, HeldRow>,
    places: Table<(Line, TaskId), i64>,
    /// Until when they count.
    starts: Table<(Line, Millis, AttemptId), Millis>,
    events: Table<i64, EventRow>,
}

/// How much of each was written since the last commit.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Written {
    tasks: usize,
    attempts: usize,
    output: usize,
    reports: usize,
    workers: usize,
    uuids: usize,
    numbers: usize,
    deleted: usize,
    ends: usize,
    schedules: usize,
    fires: usize,
    awaiting: usize,
    edges: usize,
    parents: usize,
    unheard: usize,
    held: usize,
    places: usize,
    starts: usize,
    events: usize,
}

impl Tables {
    pub fn tasks(&self) -> &BTreeMap<TaskId, TaskRow> {
        self.tasks.rows()
    }

    pub fn task(&self, task: TaskId) -> Option<&TaskRow> {
        self.tasks.get(task)
    }

    pub fn by_uuid(&self, uuid: Uuid) -> Option<(TaskId, &TaskRow)> {
        let id = *self.uuids.get(uuid)?;
        Some((id, self.task(id)?))
    }

    /// The row that has a key now, and how.
    pub fn holder(&self, key: &Key) -> Option<(TaskId, &Hold)> {
        let mut rows = self.tasks().iter();
        rows.find_map(|(id, row)| {
            let hold = row.hold.as_ref()?;
            (row.holds() == Some(key)).then_some((*id, hold))
        })
    }

    pub fn attempts(&self) -> &BTreeMap<AttemptId, AttemptRow> {
        self.attempts.rows()
    }

    pub fn attempt(&self, attempt: AttemptId) -> Option<&AttemptRow> {
        self.attempts.get(attempt)
    }

    pub fn output(&self, attempt: AttemptId) -> Option<&Captured> {
        self.output.get(attempt)
    }

    pub fn report(&self, task: TaskId) -> Option<&ReportRow> {
        self.reports.get(task)
    }

    pub fn workers(&self) -> &BTreeMap<WorkerId, WorkerRow> {
        self.workers.rows()
    }

    pub fn worker(&self, worker: WorkerId) -> Option<&WorkerRow> {
        self.workers.get(worker)
    }

    pub fn add_task(&mut self, row: TaskRow) -> Result<Option<TaskId>, Failed> {
        if self.uuids.get(row.uuid).is_some() {
            return Ok(None);
        }
        if let Some(key) = row.holds()
            && self.holder(key).is_some()
        {
            return Err(Failed::row(
                None,
                format!("two tasks cannot have the key {key}"),
            ));
        }
        let (task, worker) = self.numbers.get(()).copied().unwrap_or_default();
        let id = TaskId(task.saturating_add(1));
        self.numbers.put((), Some((id.0, worker)));
        self.uuids.put(row.uuid, Some(id));
        self.write_task(id, row)?;
        Ok(Some(id))
    }

    /// A row the key of which another has got meanwhile is written without.
    pub fn write_task(&mut self, id: TaskId, mut row: TaskRow) -> Result<(), Failed> {
        let of_another = |key| self.holder(key).is_some_and(|(other, _)| other != id);
        if row.holds().is_some_and(of_another) {
            row.hold = None;
        }
        checks::task(id, &row)?;
        self.tasks.put(id, Some(row));
        Ok(())
    }

    pub fn deleted(&self) -> Option<Millis> {
        self.deleted.get(()).copied()
    }

    /// With its attempts and what they printed.
    pub fn delete_task(&mut self, id: TaskId) {
        let of = |attempt: &AttemptId| attempt.task == id;
        let attempts: Vec<AttemptId> = self.attempts().keys().copied().filter(of).collect();
        for attempt in attempts {
            self.attempts.put(attempt, None);
            self.output.put(attempt, None);
        }
        if let Some((uuid, created)) = self.task(id).map(|row| (row.uuid, row.created)) {
            self.uuids.put(uuid, None);
            self.deleted.put((), self.deleted().max(Some(created)));
        }
        if self.fires.get(id).is_some() {
            self.fires.put(id, None);
        }
        if self.task(id).is_some_and(|row| row.kin.has_parents) {
            let parents: Vec<TaskId> = self.parents_of(id, TaskId::BEFORE_ALL).collect();
            for parent in parents {
                self.edges.put((parent, id), None);
                self.parents.put((id, parent), None);
            }
            self.awaiting.put(id, None);
        }
        self.reports.put(id, None);
        if self.held.get(id).is_some() {
            self.held.put(id, None);
        }
        self.free_places(id);
        self.tasks.put(id, None);
    }

    pub fn add_attempt(&mut self, id: AttemptId, row: AttemptRow) -> Result<(), Failed> {
        let is_new = self.attempt(id).is_none() && self.task(id.task).is_some();
        checks::attempt(id, &row, is_new)?;
        self.attempts.put(id, Some(row));
        Ok(())
    }

    /// With what they printed.
    pub fn forget_attempts(&mut self, last: AttemptId) {
        let first = AttemptId { number: 0, ..last };
        let of = self.attempts().range(first..=last);
        let forgotten: Vec<AttemptId> = of.map(|(id, _)| *id).collect();
        for attempt in forgotten {
            self.attempts.put(attempt, None);
            self.output.put(attempt, None);
        }
    }

    pub fn add_output(&mut self, id: AttemptId, output: Captured) -> Result<(), Failed> {
        let is_new = self.output(id).is_none() && self.attempt(id).is_some();
        checks::output(id, &output, is_new)?;
        self.output.put(id, Some(output));
        Ok(())
    }

    pub fn set_report(&mut self, id: TaskId, row: ReportRow) -> Result<(), Failed> {
        checks::report(id, &row, self.task(id).is_some())?;
        self.reports.put(id, Some(row));
        Ok(())
    }

    pub fn add_worker(&mut self, row: WorkerRow) -> Result<WorkerId, Failed> {
        checks::worker(&row)?;
        let (task, worker) = self.numbers.get(()).copied().unwrap_or_default();
        let id = WorkerId(worker.saturating_add(1));
        self.numbers.put((), Some((task, id.0)));
        self.workers.put(id, Some(row));
        Ok(id)
    }

    pub fn write_worker(&mut self, id: WorkerId, row: Option<WorkerRow>) {
        self.workers.put(id, row);
    }

    pub fn ends(&self) -> &BTreeMap<Of, Ends> {
        self.ends.rows()
    }

    pub fn write_ends(&mut self, of: Of, ends: Option<Ends>) {
        self.ends.put(of, ends);
    }

    pub fn schedules(&self) -> &BTreeMap<String, ScheduleRow> {
        self.schedules.rows()
    }

    pub fn write_schedule(&mut self, name: &str, row: Option<ScheduleRow>) {
        self.schedules.put(name.to_owned(), row);
    }

    pub fn fires(&self) -> &BTreeMap<TaskId, Fire> {
        self.fires.rows()
    }

    pub fn events(&self) -> &BTreeMap<i64, EventRow> {
        self.events.rows()
    }

    /// With a number greater than all others'.
    pub fn add_event(&mut self, event: EventRow) {
        let newest = self.events().last_key_value();
        let number = newest.map_or(1, |(number, _)| number.saturating_add(1));
        self.events.put(number, Some(EventRow { number, ..event }));
    }

    pub fn forget_events(&mut self, up_to: i64) -> u64 {
        let gone: Vec<i64> = self.events().range(..=up_to).map(|(n, _)| *n).collect();
        for number in &gone {
            self.events.put(*number, None);
        }
        gone.len() as u64
    }

    pub fn set_fire(&mut self, task: TaskId, fire: Fire) -> Result<(), Failed> {
        let is_same = |(of, other): (&TaskId, &Fire)| {
            *of != task
                && fire.nominal.is_some()
                && (&other.schedule, other.nominal) == (&fire.schedule, fire.nominal)
        };
        let is_new = !self.fires().iter().any(is_same);
        checks::fire(task, is_new, self.task(task).is_some())?;
        self.fires.put(task, Some(fire));
        Ok(())
    }

    pub fn kin(&self, task: TaskId) -> Option<Kin> {
        self.task(task).map(|row| row.kin)
    }

    pub fn awaiting(&self, child: TaskId) -> Option<&Awaiting> {
        self.awaiting.get(child)
    }

    pub fn set_awaiting(&mut self, child: TaskId, awaiting: Awaiting) -> Result<(), Failed> {
        let Some(mut row) = self.task(child).cloned() else {
            return Err(Failed::row(child, format!("there is no task {child}")));
        };
        if !row.kin.has_parents {
            row.kin.has_parents = true;
            self.write_task(child, row)?;
        }
        self.awaiting.put(child, Some(awaiting));
        Ok(())
    }

    pub fn edges(&self) -> &BTreeMap<(TaskId, TaskId), Option<ParentEnd>> {
        self.edges.rows()
    }

    pub fn write_edge(&mut self, parent: TaskId, child: TaskId, ended: Option<ParentEnd>) {
        self.edges.put((parent, child), Some(ended));
        self.parents.put((child, parent), Some(()));
    }

    pub fn parents_of(
        &self,
        child: TaskId,
        behind: TaskId,
    ) -> impl Iterator<Item = TaskId> + use<'_> {
        let parents = self.parents.rows().range((child, behind.next())..);
        let parents = parents.take_while(move |((other, _), ())| *other == child);
        parents.map(|((_, parent), ())| *parent)
    }

    /// Somebody waits for it, or has begun to run after it.
    pub fn is_needed(&self, parent: TaskId) -> bool {
        let edges = self.edges().range((parent, TaskId::BEFORE_ALL)..);
        let mut children = edges.take_while(|((other, _), _)| *other == parent);
        children.any(|((_, child), _)| {
            let row = self.task(*child);
            row.is_some_and(|row| row.finished.is_none())
        })
    }

    pub fn unheard(&self) -> &BTreeMap<TaskId, TaskId> {
        self.unheard.rows()
    }

    pub fn set_unheard(&mut self, parent: TaskId, behind: Option<TaskId>) {
        self.unheard.put(parent, behind);
    }

    pub fn held(&self) -> &BTreeMap<TaskId, HeldRow> {
        self.held.rows()
    }

    pub fn write_held(&mut self, task: TaskId, row: Option<HeldRow>) {
        self.held.put(task, row);
    }

    pub fn places(&self) -> &BTreeMap<(Line, TaskId), i64> {
        self.places.rows()
    }

    pub fn take_place(&mut self, line: &Line, attempt: AttemptId) {
        self.places
            .put((line.clone(), attempt.task), Some(attempt.number));
    }

    /// Where a task had one, and its attempt.
    pub fn free_places(&mut self, task: TaskId) -> Vec<(Line, AttemptId)> {
        let places = self.places.rows().iter();
        let its = places.filter(|((_, of), _)| *of == task);
        let its: Vec<(Line, AttemptId)> = its
            .map(|((line, _), number)| {
                let number = *number;
                (line.clone(), AttemptId { task, number })
            })
            .collect();
        for (line, _) in &its {
            self.places.put((line.clone(), task), None);
        }
        its
    }

    pub fn starts(&self) -> &BTreeMap<(Line, Millis, AttemptId), Millis> {
        self.starts.rows()
    }

    pub fn write_start(&mut self, of: (Line, Millis, AttemptId), until: Option<Millis>) {
        self.starts.put(of, until);
    }

    /// What was written since the last commit stands.
    pub fn commit(&mut self) {
        let Tables {
            tasks,
            attempts,
            output,
            reports,
            workers,
            uuids,
            numbers,
            deleted,
            ends,
            schedules,
            fires,
            awaiting,
            edges,
            events,
            held,
            parents,
            places,
            starts,
            unheard,
        } = self;
        tasks.before.clear();
        attempts.before.clear();
        output.before.clear();
        reports.before.clear();
        workers.before.clear();
        uuids.before.clear();
        numbers.before.clear();
        deleted.before.clear();
        ends.before.clear();
        schedules.before.clear();
        fires.before.clear();
        awaiting.before.clear();
        edges.before.clear();
        parents.before.clear();
        unheard.before.clear();
        held.before.clear();
        places.before.clear();
        starts.before.clear();
        events.before.clear();
    }

    /// What was written since the last commit is as it was.
    pub fn undo(&mut self) {
        self.undo_to(Written::default());
    }

    /// How much was written since the last commit.
    pub fn written(&self) -> Written {
        Written {
            tasks: self.tasks.before.len(),
            attempts: self.attempts.before.len(),
            output: self.output.before.len(),
            reports: self.reports.before.len(),
            workers: self.workers.before.len(),
            uuids: self.uuids.before.len(),
            numbers: self.numbers.before.len(),
            deleted: self.deleted.before.len(),
            ends: self.ends.before.len(),
            schedules: self.schedules.before.len(),
            fires: self.fires.before.len(),
            awaiting: self.awaiting.before.len(),
            edges: self.edges.before.len(),
            parents: self.parents.before.len(),
            unheard: self.unheard.before.len(),
            held: self.held.before.len(),
            places: self.places.before.len(),
            starts: self.starts.before.len(),
            events: self.events.before.len(),
        }
    }

    /// What was written since then is as it was.
    pub fn undo_to(&mut self, written: Written) {
        let Tables {
            tasks,
            attempts,
            output,
            reports,
            workers,
            uuids,
            numbers,
            deleted,
            ends,
            schedules,
            fires,
            awaiting,
            edges,
            events,
            held,
            parents,
            places,
            starts,
            unheard,
        } = self;
        tasks.undo(written.tasks);
        attempts.undo(written.attempts);
        output.undo(written.output);
        reports.undo(written.reports);
        workers.undo(written.workers);
        uuids.undo(written.uuids);
        numbers.undo(written.numbers);
        deleted.undo(written.deleted);
        ends.undo(written.ends);
        schedules.undo(written.schedules);
        fires.undo(written.fires);
        awaiting.undo(written.awaiting);
        edges.undo(written.edges);
        parents.undo(written.parents);
        unheard.undo(written.unheard);
        held.undo(written.held);
        places.undo(written.places);
        starts.undo(written.starts);
        events.undo(written.events);
    }
}
