//! `[events]`, and what is run when something has happened: `[hooks]` and the like tables of commands and tubes.

use std::collections::BTreeMap;
use std::iter;
use std::time::Duration;

use super::argv::may_be_started;
use super::error::{Error, Wrong};
use super::file::{Events, File, HookTable, Mode, Tube};
use super::near;
use crate::task::command::Command;
use crate::task::event::What;
use crate::task::hooks::{Hook, Hooks, Keeping, Of, Telling};
use crate::task::retry::{GrowingWait, Rules};
use crate::tube::{BadTubeName, TubeName};

/// Where hooks wait unless it is said otherwise.
const TUBE: &str = "hooks";

/// How long a hook may run unless it is said otherwise.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How often a hook is tried unless it is said otherwise.
const ATTEMPTS: u32 = 3;

/// As many hooks run at once, where nothing is said of their tube.
const WORKERS: u32 = 2;

/// What is said of the hooks' tube where nothing is said of it: its workers come when there is something to do.
pub fn on_demand() -> Tube {
    Tube {
        mode: Some(Mode::Ondemand),
        max_workers: Some(WORKERS),
        ..Tube::default()
    }
}

/// How long events are kept.
pub(super) fn keeping(given: Events) -> Keeping {
    let usual = Keeping::default();
    Keeping {
        keep: given.keep.map_or(usual.keep, |span| span.0),
        most: given.most.unwrap_or(usual.most),
    }
}

/// What is told of what happens.
pub(super) fn telling(
    file: &File,
    wrong: &Wrong<'_>,
) -> Result<(Telling, BTreeMap<String, Command>), Error> {
    let given = &file.hooks;
    let tube = given.tube.as_deref().unwrap_or(TUBE);
    let bad_tube = |e: BadTubeName| wrong("hooks.tube".into(), e.to_string());
    let tube: TubeName = tube.parse().map_err(bad_tube)?;
    let of_all = table("hooks", &given.all, &Of::All);
    let mut found = vec![of_all];
    for (tag, of_it) in &given.tags {
        let at = format!("hooks.tags.{tag:?}");
        let tag = tag.parse().map_err(|e| wrong(at.clone(), format!("{e}")))?;
        found.push(table(&at, of_it, &Of::Tag(tag)));
    }
    for (name, command) in &file.commands {
        let at = format!("commands.\"{name}\".hooks");
        found.push(table(&at, &command.hooks, &Of::Command(name.clone())));
    }
    for (name, of_it) in &file.tubes {
        let at = format!("tubes.\"{name}\".hooks");
        // Its name was judged before.
        let of = name.parse().map_or(Of::All, Of::Tube);
        found.push(table(&at, &of_it.hooks, &of));
    }
    let timeout = given.timeout.map_or(TIMEOUT, |span| span.0);
    if timeout.is_zero() {
        return Err(wrong(
            "hooks.timeout".into(),
            "must be more than 0; leave it out for a minute".into(),
        ));
    }
    let max_attempts = given.max_attempts.unwrap_or(ATTEMPTS);
    if max_attempts == 0 {
        return Err(wrong(
            "hooks.max_attempts".into(),
            "must be at least 1; leave it out for the default".into(),
        ));
    }
    let (mut hooks, mut commands) = (Vec::<Hook>::new(), BTreeMap::new());
    for (key, what, of, argv) in found.into_iter().flatten() {
        let what = what.map_err(|why| wrong(key.clone(), why))?;
        may_be_started(&argv).map_err(|why| wrong(key.clone(), why.into()))?;
        if !what.is_of_a_task() && matches!(of, Of::Command(_) | Of::Tag(_)) {
            let why = "is of no task, and so of no command and no tag: write it into [hooks], or into a tube's";
            return Err(wrong(key, why.into()));
        }
        if hooks
            .iter()
            .any(|hook| (hook.what, &hook.of) == (what, &of))
        {
            let why = format!(
                "is on_{} by another name, and that is there too",
                what.as_str()
            );
            return Err(wrong(key, why));
        }
        let command = Command {
            timeout: Some(timeout),
            retry: Rules {
                max_attempts: max_attempts.into(),
                backoff: GrowingWait::default(),
                ..Rules::default()
            },
            ..Command::new(argv)
        };
        let hook = Hook { what, of };
        commands.insert(hook.name(), command);
        hooks.push(hook);
    }
    let telling = Telling {
        events: keeping(file.events).is_on(),
        hooks: Hooks::new(tube, hooks),
    };
    Ok((telling, commands))
}

/// Its key in full, which event it is for or why none, of what, and what is run.
type Found = (String, Result<What, String>, Of, Vec<String>);

fn table(at: &str, table: &HookTable, of: &Of) -> Vec<Found> {
    let found = table.iter().map(|(key, argv)| {
        let in_full = match key.contains('.') {
            true => format!("{at}.\"{key}\""),
            false => format!("{at}.{key}"),
        };
        (in_full, read(key), of.clone(), argv.clone())
    });
    found.collect()
}

/// `on_done`, or a name of the ancestors'.
fn read(key: &str) -> Result<What, String> {
    let known = match key.strip_prefix("on_") {
        Some(word) => What::from_word(word).filter(|what| what.as_str() == word),
        None => What::from_word(key).filter(|_| key.contains('.')),
    };
    let keys = || What::all().map(|what| format!("on_{}", what.as_str()));
    known.ok_or_else(|| {
        let all: Vec<String> = keys().chain(iter::once("tube".into())).collect();
        match near::near(key, all.iter().map(String::as_str)).first() {
            Some(near) => format!("is no event; is {near} meant?"),
            None => format!("is no event; there are {}", all.join(", ")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::read;

    #[test]
    fn hooks_are_read_from_wherever_they_may_stand() {
        let config = read(
            r#"
            [events]
            keep = "1d"
            most = 5
            [hooks]
            on_failed = ["./page", "--loud"]
            "worker.start" = ["./note"]
            timeout = "5s"
            max_attempts = 7
            [hooks.tags."customer=7"]
            on_retried = ["./call"]
            [commands.mail]
            run = ["./mail"]
            before = ["./up", "{command}"]
            after = ["./down"]
            [commands.mail.hooks]
            on_done = ["./tell"]
            [tubes.t.hooks]
            "task.failed" = ["./t"]
            "#,
        )
        .unwrap();
        assert_eq!(
            (config.events.keep.as_secs(), config.events.most),
            (86_400, 5)
        );
        let telling = config.commands.telling();
        assert!(telling.events);
        let hooks: Vec<_> = config
            .commands
            .hooks()
            .map(|(hook, command)| (hook.name(), hook.key(), command.run.join(" ")))
            .collect();
        let expected = [
            ("@on_failed", "hooks.on_failed", "./page --loud"),
            ("@on_worker_start", "hooks.on_worker_start", "./note"),
            (
                "@tags.customer=7.on_retried",
                "hooks.tags.\"customer=7\".on_retried",
                "./call",
            ),
            (
                "@commands.mail.on_done",
                "commands.\"mail\".hooks.on_done",
                "./tell",
            ),
            ("@tubes.t.on_failed", "tubes.\"t\".hooks.on_failed", "./t"),
        ];
        let expected = expected.map(|(name, key, run)| (name.into(), key.into(), run.into()));
        assert_eq!(hooks, expected);
        let (_, command) = config.commands.hooks().next().unwrap();
        assert_eq!(command.timeout, Some(Duration::from_secs(5)));
        assert_eq!(command.retry.max_attempts, 7.into());
        assert_eq!(telling.hooks.tube, "hooks".parse().ok());
        let mail = config.commands.find("mail").unwrap();
        assert_eq!(mail.before.as_deref().unwrap(), ["./up", "{command}"]);
        assert_eq!(mail.after.as_deref().unwrap(), ["./down"]);
    }

    #[test]
    fn without_hooks_there_is_no_tube_for_them_and_events_may_be_off() {
        let config = read("[events]\nkeep = 0\n[hooks]\ntube = \"h\"\n").unwrap();
        assert!(config.tubes.is_empty());
        assert!(!config.commands.telling().events);
        assert_eq!(config.commands.telling().hooks.tube, None);
        assert!(read("").unwrap().commands.telling().events);
    }

    #[test]
    fn what_is_wrong_with_them_is_named() {
        let run = "[commands.a]\nrun = [\"a\"]\n";
        for (text, key, why) in [
            (
                "[hooks]\non_faild = [\"a\"]",
                "hooks.on_faild",
                "is on_failed meant?",
            ),
            (
                "[hooks]\nstarted = [\"a\"]",
                "hooks.started",
                "there are on_put",
            ),
            (
                "[hooks]\n\"task.done\" = [\"a\"]",
                "hooks.\"task.done\"",
                "is no event",
            ),
            (
                "[hooks]\non_done = []",
                "hooks.on_done",
                "no program is named",
            ),
            ("[hooks]\ntube = \"a b\"", "hooks.tube", ""),
            ("[hooks]\ntimeout = 0", "hooks.timeout", "more than 0"),
            (
                "[hooks]\nmax_attempts = 0",
                "hooks.max_attempts",
                "at least 1",
            ),
            (
                "[hooks]\non_failed = [\"a\"]\n\"task.failed\" = [\"b\"]",
                "hooks.\"task.failed\"",
                "by another name",
            ),
            (
                "[hooks.tags.x]\non_worker_start = [\"a\"]",
                "hooks.tags.\"x\".on_worker_start",
                "is of no task",
            ),
            (
                "[commands.a.hooks]\non_paused = [\"a\"]",
                "commands.\"a\".hooks.on_paused",
                "is of no task",
            ),
            (
                "[tubes.t.hooks]\non_ = [\"a\"]",
                "tubes.\"t\".hooks.on_",
                "is no event",
            ),
            (
                "[commands.b]\nrun = [\"b\"]\nafter = []",
                "commands.\"b\".after",
                "no program",
            ),
        ] {
            let text = match text.starts_with("[commands.a") {
                true => format!("{run}{text}"),
                false => format!("{text}\n{run}"),
            };
            match read(&text) {
                Err(Error::Value {
                    key: found, reason, ..
                }) => {
                    assert_eq!(found, key, "{text}");
                    assert!(reason.contains(why), "{text}: {reason}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
