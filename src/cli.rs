//! The command line: one file a subcommand.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::process::{folder, program};
use crate::signals;

mod absent;
mod backup;
mod began;
mod bulk;
mod cancel;
mod check;
mod cleanup;
mod complete;
mod completions;
mod configured;
mod delete;
mod demo;
mod edit;
mod environment;
mod events;
mod example;
mod explain;
mod failure;
mod filter;
mod flush;
mod global;
mod guard;
mod help;
mod list;
mod log;
mod logs;
mod man;
mod number;
mod out;
mod pause;
mod ping;
mod print;
mod put;
mod reach;
mod reconcile;
mod regenerate;
mod reload;
mod report;
mod run_now;
mod scale;
mod schedule;
mod show;
mod status;
mod stop;
mod tender;
mod usage;
mod variables;
mod wait;
mod why;
mod worker;

pub use failure::Failure;
pub use man::page as man_page;

use global::Global;

/// Tends worker processes for beanstalkd tubes and records what became of every job
#[derive(Debug, Parser)]
#[command(name = "taskqueue", version)]
#[command(after_help = "\
Examples:
  taskqueue tender --use-tube invoices
  taskqueue worker --use-tube mail -- ./send-mail
  taskqueue put --use-tube invoices invoice:send 12 --option format=pdf
  taskqueue list --status failed
  taskqueue regenerate --id 5,6

See taskqueue(1), taskqueue.toml(5) and taskqueue-payload(7).")]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keep the right number of workers alive for each tube
    Tender(tender::Flags),
    /// Reserve jobs from a tube and run a command for each
    Worker(worker::Flags),
    /// Tell how tenders, their workers and the tasks stand
    Status(status::Flags),
    /// Tell why a pool is as big as it is
    Explain(explain::Flags),
    /// Give a pool other limits
    Scale(scale::Flags),
    /// Let nobody have a job of a tube
    Pause(pause::PauseFlags),
    /// End a pause
    Resume(pause::ResumeFlags),
    /// Let a tender read its configuration again
    Reload(reload::Flags),
    /// Look whether the configuration can be used
    Check(check::Flags),
    /// Let a tender and its workers end, and wait for it
    Stop(stop::Flags),
    /// Record a task and put its job into a tube
    Put(put::Flags),
    /// List tasks, the newest first
    List(list::Flags),
    /// Show one task with its attempts and what they printed
    Show(show::Flags),
    /// Print what a task's command prints, also while it runs
    Logs(logs::Flags),
    /// Tell what has happened, and what happens
    Events(events::Flags),
    /// Say why a task does not run, or no more
    Why(why::Flags),
    /// Wait until tasks have ended
    Wait(wait::Flags),
    /// Call tasks off, whether they wait or run
    Cancel(cancel::Flags),
    /// Let failed or cancelled tasks run again
    Regenerate(regenerate::Flags),
    /// Let tasks that wait be due now
    RunNow(run_now::Flags),
    /// Change tasks that wait
    Edit(edit::Flags),
    /// Delete tasks that do not run
    Delete(delete::Flags),
    /// Delete what waits in a tube, whoever put it
    Flush(flush::Flags),
    /// Make tasks at given times
    Schedule(schedule::Flags),
    /// Recover tasks of dead workers, and put jobs that are missing
    Reconcile(reconcile::Flags),
    /// Delete tasks that ended long ago
    Cleanup(cleanup::Flags),
    /// Say, as a task's command, how far it is
    Report(report::Flags),
    /// Write a copy of the store while it is used
    Backup(backup::BackupFlags),
    /// Put a backup in the store's place
    Restore(backup::RestoreFlags),
    /// Make a round trip through the broker
    Ping(ping::Flags),
    /// Queue example tasks, to see that everything works
    AddExampleTask(example::AddFlags),
    /// Do the work of an example task
    ExampleTaskWorker(example::WorkFlags),
    /// See a tender, its workers and a few dozen tasks at work
    Demo(demo::Flags),
    /// Print what a shell needs to complete the command line
    Completions(completions::Flags),
    /// Print what may stand somewhere on the command line
    #[command(hide = true)]
    Complete(complete::Flags),
    /// Print the manual page
    #[command(hide = true)]
    ManPage,
}

impl Command {
    /// Those that stay and whose events are their only words.
    fn is_daemon(&self) -> bool {
        matches!(self, Command::Tender(_) | Command::Worker(_))
    }
}

/// Parses the command line, runs it and says how it ended: 0, 1 for what failed, 2 for wrong usage.
pub fn main() -> ExitCode {
    signals::begin_as_usual();
    // Before anything leaves the folder, or is put in the program's place.
    let _ = (folder::name(), program::name());
    if guard::is_asked_for() {
        return guard::main();
    }
    let _end = log::End;
    let begin = || {
        let Some(Cli { global, command }) = parsed()? else {
            return Ok(ExitCode::SUCCESS);
        };
        let global = log::named(global, command.is_daemon())?;
        log::start(&global, command.is_daemon())?;
        run(&global, command)
    };
    match begin() {
        Ok(code) => code,
        Err(failure) if failure.is_silent() => ExitCode::SUCCESS,
        Err(failure) => {
            log::say(format_args!("taskqueue: {failure}"));
            failure.code()
        }
    }
}

/// What the command line asks for; nothing where that was help, which is printed by then.
fn parsed() -> Result<Option<Cli>, Failure> {
    let parse = |shape: &mut clap::Command| {
        let matches = shape.try_get_matches_from_mut(env::args_os())?;
        Cli::from_arg_matches(&matches)
    };
    let words: Vec<OsString> = env::args_os().collect();
    // To whoever asks for none of them, texts are nothing; to make them takes longer than all the rest.
    if !words.iter().any(|word| is_of_texts(word)) {
        let shapes: [Shape; 2] = [brief, |words| Some(taken(words))];
        for mut shape in shapes.iter().filter_map(|shape| shape(&words)) {
            let parsed = parse(&mut shape);
            if parsed.is_ok() {
                return variables::heed(parsed, &shape);
            }
        }
    }
    let shape = variables::heeded(help::shaped(Cli::command()));
    variables::heed(parse(&mut shape.clone()), &shape)
}

/// What a command line of such words is parsed by, if it can be.
type Shape = fn(&[OsString]) -> Option<clap::Command>;

/// Whether a word can be one that asks for help or the version.
fn is_of_texts(word: &OsStr) -> bool {
    ["help", "--help", "-h", "--version", "-V"]
        .iter()
        .any(|text| word == OsStr::new(text))
}

/// The whole command line as it is taken, without what its texts look like.
fn taken(words: &[OsString]) -> clap::Command {
    let heeded = |command| variables::heeded_here(help::taken(command));
    let mut taken = heeded(Cli::command());
    let is_named = |command: &&clap::Command| words.iter().any(|word| word == command.get_name());
    let named = taken.get_subcommands().filter(is_named);
    let named: Vec<String> = named.map(|command| command.get_name().to_owned()).collect();
    // Of all others nothing is asked. A word may be a name by chance.
    for name in named {
        taken = taken.mut_subcommand(name, heeded);
    }
    taken
}

/// Those subcommands that scripts and tenders call again and again, if such a word is there. To make the flags of all
/// subcommands takes longer than to put a task. What the brief command line refuses the whole one says why.
fn brief(words: &[OsString]) -> Option<clap::Command> {
    let heeded = |command| variables::heeded_here(help::taken(command));
    let named = BRIEF
        .iter()
        .filter(|(name, _)| words.iter().any(|word| word == name));
    let named: Vec<clap::Command> = named
        .map(|(name, flags)| heeded(flags(clap::Command::new(*name))))
        .collect();
    (!named.is_empty()).then(|| {
        let whole = Global::augment_args(clap::Command::new("taskqueue"));
        heeded(whole).subcommands(named)
    })
}

/// Their names and what adds their flags.
type Brief = (&'static str, fn(clap::Command) -> clap::Command);

const BRIEF: [Brief; 6] = [
    ("put", put::Flags::augment_args),
    ("show", show::Flags::augment_args),
    ("list", list::Flags::augment_args),
    ("wait", wait::Flags::augment_args),
    ("why", why::Flags::augment_args),
    ("worker", worker::Flags::augment_args),
];

fn run(global: &Global, command: Command) -> Result<ExitCode, Failure> {
    let load = || global.load();
    let done = match command {
        Command::Tender(flags) => tender::run(flags, load()?, global),
        Command::Worker(flags) => worker::run(flags, global),
        Command::Status(flags) => return status::run(flags, global),
        Command::Explain(flags) => explain::run(flags, &global.store()?),
        Command::Scale(flags) => scale::run(flags, &global.store()?),
        Command::Pause(flags) => pause::pause(&flags, &load()?),
        Command::Resume(flags) => pause::resume(&flags, &load()?),
        Command::Reload(flags) => reload::run(flags, &global.store()?),
        Command::Check(flags) => return check::run(flags, global),
        Command::Stop(flags) => stop::run(flags, &global.store()?),
        Command::Put(flags) => return put::run(flags, &load()?),
        Command::List(flags) => list::run(&flags, &load()?),
        Command::Show(flags) => return show::run(flags, &load()?),
        Command::Logs(flags) => logs::run(&flags, &load()?),
        Command::Events(flags) => events::run(&flags, &load()?),
        Command::Why(flags) => return why::run(&flags, &load()?),
        Command::Wait(flags) => return wait::run(&flags, &load()?),
        Command::Cancel(flags) => return cancel::run(flags, &load()?),
        Command::Regenerate(flags) => return regenerate::run(&flags, &load()?),
        Command::RunNow(flags) => return run_now::run(&flags, &load()?),
        Command::Edit(flags) => return edit::run(&flags, &load()?),
        Command::Delete(flags) => return delete::run(&flags, &load()?),
        Command::Flush(flags) => return flush::run(&flags, &load()?),
        Command::Schedule(flags) => return schedule::run(flags, global),
        Command::Reconcile(flags) => return reconcile::run(flags, load()?),
        Command::Cleanup(flags) => cleanup::run(flags, &load()?),
        Command::Report(flags) => report::run(flags),
        Command::Backup(flags) => backup::backup(&flags, &global.store()?),
        Command::Restore(flags) => backup::restore(&flags, &global.store()?),
        Command::Ping(flags) => return ping::run(flags, &load()?),
        Command::AddExampleTask(flags) => return example::add(flags, &load()?),
        Command::ExampleTaskWorker(flags) => example::work(flags),
        Command::Demo(flags) => demo::run(&flags, global.broker.as_ref()),
        Command::Completions(flags) => completions::run(&flags, &shape()),
        Command::Complete(flags) => complete::run(&flags, global),
        Command::ManPage => man::page(&Cli::command())
            .and_then(|page| out::out(false).write_all(&page))
            .map_err(Failure::from),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// The command line's shape, for the manual page and for tests.
pub fn shape() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_brief_is_what_the_whole_command_line_takes() {
        let names = |command: &clap::Command| -> Vec<String> {
            let all = command.get_arguments().cloned();
            // Where help has them is nothing to it.
            let all = all.map(|arg| format!("{:?}", arg.display_order(0)));
            all.collect()
        };
        let whole = Cli::command();
        let words: Vec<OsString> = BRIEF.iter().map(|(name, _)| name.into()).collect();
        let brief = brief(&words).unwrap();
        let subcommands: Vec<_> = brief.get_subcommands().collect();
        assert_eq!(subcommands.len(), BRIEF.len());
        for of_it in subcommands {
            let of_all = whole.find_subcommand(of_it.get_name()).unwrap();
            let of_all = variables::heeded_here(help::taken(of_all.clone()));
            assert_eq!(names(of_it), names(&of_all), "{}", of_it.get_name());
        }
        let whole = variables::heeded_here(help::taken(whole));
        assert_eq!(names(&brief), names(&whole));
    }
}
