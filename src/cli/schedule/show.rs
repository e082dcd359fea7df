//! `taskqueue schedule list` and `taskqueue schedule show`

use std::io::Write;

use clap::Args;
use serde_json::{Value, json};

use super::of::{queue, queue_of};
use crate::api::Schedule;
use crate::cli::Failure;
use crate::cli::configured::block_on;
use crate::cli::out::out;
use crate::clock;
use crate::config::Config;
use crate::harmless::one_line;
use crate::schedule::spec::{From, Missed, Rules, Spec, Template, Timing};
use crate::task::Millis;
use crate::task::command::Content;
use crate::task::id::TaskId;
use crate::task::unique::{IfExists, Scope, Unique};
use crate::zone::Zone;

/// So many of the next times are shown, and of the newest tasks.
const SHOWN: usize = 5;

#[derive(Debug, Args)]
pub struct ListFlags {
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct ShowFlags {
    /// Its name
    name: String,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub fn list(flags: &ListFlags, config: &Config) -> Result<(), Failure> {
    let mut all = Vec::new();
    if let Some(queue) = queue(config)? {
        block_on(async {
            for schedule in queue.schedules().await? {
                let holder = queue.key_holder(&schedule).await?;
                all.push((schedule, holder));
            }
            Ok(())
        })?;
    }
    let mut out = out(flags.json);
    if flags.json {
        let all = all.iter().map(|(one, holder)| as_json(one, *holder));
        return Ok(writeln!(out, "{}", Value::from_iter(all))?);
    }
    let rows: Vec<[String; 5]> = all.iter().map(|(one, _)| row(one)).collect();
    let heads = ["NAME", "WHEN", "NEXT", "TASK", "STATE"].map(str::to_owned);
    let rows: Vec<[String; 5]> = [heads].into_iter().chain(rows).collect();
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in rows {
        let cells = row.iter().zip(widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        writeln!(out, "{}", line.join("  ").trim_end())?;
    }
    Ok(())
}

fn row(schedule: &Schedule) -> [String; 5] {
    let next = schedule
        .next(clock::now(), 1)
        .first()
        .map(|at| schedule.zone().rfc3339(*at));
    let when = schedule
        .spec()
        .map_or_else(|_| "?".into(), |spec| when(spec, &schedule.zone()));
    let task = schedule.tasks.first().map(|(task, _)| task.to_string());
    [
        one_line(&schedule.name).into_owned(),
        one_line(&when).into_owned(),
        next.unwrap_or_else(|| "-".into()),
        task.unwrap_or_else(|| "-".into()),
        one_line(&state(schedule)).into_owned(),
    ]
}

fn state(schedule: &Schedule) -> String {
    match (schedule.spec(), schedule.paused) {
        (Err(why), _) => format!("makes no sense: {why}"),
        (Ok(_), Some(_)) => "paused".into(),
        (Ok(_), None) if schedule.waits_for_an_end() => "waits for its task to end".into(),
        (Ok(_), None) if schedule.next(clock::now(), 1).is_empty() => "over".into(),
        (Ok(_), None) => "on".into(),
    }
}

/// As it was written.
fn when(spec: &Spec, zone: &Zone) -> String {
    match &spec.timing {
        Timing::Cron { cron, .. } => cron.to_string(),
        Timing::Every { period: 0, .. } => "at once again".into(),
        Timing::Every { period, from, .. } => {
            let from = match from {
                From::Start => "",
                From::End => " from the end",
            };
            format!("every {}{from}", length(*period))
        }
        Timing::At(at) => format!("at {}", zone.rfc3339(*at)),
    }
}

/// For people.
fn in_words(spec: &Spec, zone: &Zone) -> String {
    match &spec.timing {
        Timing::Cron { cron, zone } => {
            let whose = match zone {
                Some(zone) => format!("by the clock of {zone}"),
                None => "by the clock of the machine".into(),
            };
            format!("{}, {whose}", cron.in_words())
        }
        Timing::Every { period: 0, .. } => "at once again, whenever its task has ended".into(),
        Timing::Every {
            period,
            from,
            first,
        } => {
            let from = match from {
                From::Start => "counted from the start of the one before",
                From::End => "counted from the end of its task, with all attempts",
            };
            let first = first.map(|at| format!(", first at {}", zone.rfc3339(at)));
            format!(
                "every {}, {from}{}",
                length(*period),
                first.unwrap_or_default()
            )
        }
        Timing::At(at) => format!("once, at {}", zone.rfc3339(*at)),
    }
}

/// `1h 30m`
fn length(millis: Millis) -> String {
    let (mut left, mut parts) = (millis, Vec::new());
    for (unit, name) in [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1000, "s"),
        (1, "ms"),
    ] {
        let count = left / unit;
        left %= unit;
        if count > 0 {
            parts.push(format!("{count}{name}"));
        }
    }
    parts.join(" ")
}

pub fn show(flags: &ShowFlags, config: &Config) -> Result<(), Failure> {
    let name = &flags.name;
    let queue = queue_of(name, config)?;
    let (schedule, holder) = block_on(async {
        let found = queue.schedule(name).await?;
        let schedule = found.ok_or_else(|| crate::api::Error::NoSchedule { name: name.clone() })?;
        let holder = queue.key_holder(&schedule).await?;
        Ok((schedule, holder))
    })?;
    let mut out = out(flags.json);
    if flags.json {
        return Ok(writeln!(out, "{}", as_json(&schedule, holder))?);
    }
    let zone = schedule.zone();
    let mut say = |key: &str, value: &str| writeln!(out, "{key:9} {}", one_line(value));
    say("schedule", &schedule.name)?;
    say("state", &state(&schedule))?;
    let made = schedule
        .source
        .as_ref()
        .map(|file| format!("it stands in {file}"));
    say(
        "of",
        &made.unwrap_or_else(|| "taskqueue schedule add".into()),
    )?;
    let Ok(spec) = schedule.spec() else {
        return Ok(());
    };
    say("when", &when(spec, &zone))?;
    say("in words", &in_words(spec, &zone))?;
    say("makes", &makes(&spec.template))?;
    if let Some(own) = &spec.template.own {
        let env = match own.names() {
            names if names.is_empty() => String::new(),
            names => format!("env {}", names.join(",")),
        };
        let asks = [own.words(), env];
        let asks: Vec<String> = asks.into_iter().filter(|said| !said.is_empty()).collect();
        say("asks for", &asks.join(", "))?;
    }
    if let Some(unique) = &spec.template.unique {
        say("unique", &unique_in_words(unique))?;
        let stands = holder.map_or_else(
            || "no task".into(),
            |task| format!("task {task}, {}", meanwhile(unique.if_exists)),
        );
        say("key of", &stands)?;
    }
    say("missed", &missed(&spec.rules))?;
    say("overlap", &spec.rules.overlap.to_string())?;
    if spec.rules.jitter > 0 {
        let (late, most) = (length(schedule.lateness()), length(spec.rules.jitter));
        say("jitter", &format!("{late} of at most {most}, by its name"))?;
    }
    for (at, next) in schedule.next(clock::now(), SHOWN).into_iter().enumerate() {
        say(if at == 0 { "next" } else { "" }, &zone.rfc3339(next))?;
    }
    for (at, (task, nominal)) in schedule.tasks.iter().take(SHOWN).enumerate() {
        let of = nominal.map_or_else(
            || "by hand".into(),
            |nominal| format!("for {}", zone.rfc3339(nominal)),
        );
        say(if at == 0 { "tasks" } else { "" }, &format!("{task} {of}"))?;
    }
    Ok(())
}

fn unique_in_words(unique: &Unique) -> String {
    let key = unique.key.as_ref().map_or_else(
        || "a key of what it asks for".into(),
        |key| format!("the key {key}"),
    );
    let scope = match unique.scope {
        Scope::Waiting => "while it waits".into(),
        Scope::Unfinished => "until it has ended".into(),
        Scope::For(millis) => format!("for {}", length(millis)),
    };
    format!("each has {key} {scope}")
}

/// What comes of a time while another task has the key.
fn meanwhile(if_exists: IfExists) -> &'static str {
    match if_exists {
        IfExists::Keep => "and times are passed over meanwhile",
        IfExists::Replace => "which is given what comes meanwhile, if it waits",
        IfExists::Refuse => "and times are passed over meanwhile, with a warning",
    }
}

fn missed(rules: &Rules) -> String {
    let window = rules
        .window
        .map(|window| format!(", of the last {}", length(window)));
    let window = window.unwrap_or_default();
    match rules.missed {
        Missed::One => format!("one: the newest is made up for{window}"),
        Missed::Skip => "skip: none is made up for".into(),
        Missed::All => format!("all: the newest {} are made up for{window}", rules.limit),
    }
}

fn makes(template: &Template) -> String {
    let tube = &template.tube;
    match &template.content {
        Content::Call(call) => {
            let (arguments, options) = (call.arguments_json(), call.options_json());
            format!("{} {arguments} {options} in the tube {tube}", call.command)
        }
        Content::Raw(body) | Content::Unread(body) => {
            format!("a body of {} bytes in the tube {tube}", body.len())
        }
    }
}

fn as_json(schedule: &Schedule, holder: Option<TaskId>) -> Value {
    let zone = schedule.zone();
    let next: Vec<String> = schedule
        .next(clock::now(), SHOWN)
        .into_iter()
        .map(|at| zone.rfc3339(at))
        .collect();
    let tasks: Vec<Value> = schedule
        .tasks
        .iter()
        .take(SHOWN)
        .map(|(task, nominal)| json!({ "id": task.0, "scheduled_for": nominal.map(|at| zone.rfc3339(at)) }))
        .collect();
    let mut object = json!({
        "name": schedule.name,
        "source": schedule.source,
        "state": state(schedule),
        "paused": schedule.paused.map(|at| zone.rfc3339(at)),
        "next": next,
        "tasks": tasks,
    });
    if let (Ok(spec), Some(object)) = (schedule.spec(), object.as_object_mut()) {
        object.insert("when".into(), when(spec, &zone).into());
        object.insert("words".into(), in_words(spec, &zone).into());
        object.insert("tube".into(), spec.template.tube.to_string().into());
        object.insert("missed".into(), spec.rules.missed.to_string().into());
        object.insert("overlap".into(), spec.rules.overlap.to_string().into());
        let unique = spec.template.unique.as_ref().map(|unique| {
            json!({
                "key": spec.template.key().map(|key| key.to_string()),
                "while": unique.scope.to_string(),
                "if_exists": unique.if_exists.to_string(),
                "held_by": holder.map(|task| task.0),
            })
        });
        object.insert("unique".into(), unique.into());
    }
    object
}
