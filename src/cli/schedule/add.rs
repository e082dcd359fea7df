//! `taskqueue schedule add`

use std::io::Write;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::api::{Set, Tag};
use crate::broker;
use crate::cli::configured::{self, block_on};
use crate::cli::out::out;
use crate::cli::{Failure, log, number, put};
use crate::clock;
use crate::config::schedules::{Every, GivenRules, GivenTiming, check_name, check_template};
use crate::config::{Config, EXAMPLE_COMMAND, duration};
use crate::schedule::spec::{From, Missed, Overlap, Spec, Template, Timing};
use crate::seconds::whole_seconds;
use crate::task::command::Content;
use crate::task::payload::{Argument, Call};
use crate::task::tag;
use crate::tube::TubeName;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue schedule add nightly --use-tube t --cron '30 2 * * *' --zone Europe/Berlin report
  taskqueue schedule add poll --use-tube t --every 5m --from end --jitter 30 fetch
  taskqueue schedule add again --use-tube t --every=-1 loop
  taskqueue schedule add once --use-tube t --at 'tomorrow 9:00' remind 12
  taskqueue schedule add import --use-tube t --every 10m --unique=import import

What is added under a name that was added before replaces it. If it comes at the same times as
before, none of them comes twice.
With --unique, a time that comes while another task has the key makes no task, and is not made up for.")]
pub struct Flags {
    /// Its name
    name: String,
    /// The command's name, as it is configured
    #[arg(required_unless_present = "body", conflicts_with = "body")]
    command: Option<String>,
    /// Its arguments, one element of the argv each
    #[arg(value_name = "ARGUMENT", allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// The tube its jobs are put into
    #[arg(long, value_name = "TUBE")]
    use_tube: TubeName,
    /// It comes by the calendar
    ///
    /// Minute, hour, day of the month, month and weekday; or @hourly, @daily, @weekly, @monthly, @yearly
    #[arg(long, value_name = "EXPR", conflicts_with_all = ["every", "at"])]
    cron: Option<String>,
    /// By the clock of this zone [default: this machine's]
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// It comes again and again
    ///
    /// Seconds, or with a unit, such as 10m; with --every=-1 at once again when its task has ended
    #[arg(long, value_name = "SECONDS", value_parser = Every::read, allow_hyphen_values = true)]
    every: Option<Every>,
    /// Count that from the start of the task before, or from its end [default: start]
    #[arg(long, value_name = "WHENCE", value_parser = PossibleValuesParser::new(["start", "end"]))]
    from: Option<String>,
    /// It comes once, or with --every for the first time
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Of times that passed while nobody looked, make up for one, none, or all [default: one]
    #[arg(long, value_name = "WHICH", value_parser = PossibleValuesParser::new(["one", "skip", "all"]))]
    missed: Option<String>,
    /// With --missed all, for so many at most, the newest [default: 100]
    #[arg(long, value_name = "N", value_parser = number::small)]
    limit: Option<u32>,
    /// And for none that passed longer ago
    #[arg(long, value_name = "SECONDS", value_parser = duration::parse)]
    window: Option<Duration>,
    /// A time that comes while a task of it has not ended is skipped, allowed or queued [default: skip]
    #[arg(long, value_name = "HOW", value_parser = PossibleValuesParser::new(["skip", "allow", "queue"]))]
    overlap: Option<String>,
    /// Fire up to so much later, by its name
    #[arg(long, value_name = "SECONDS", value_parser = duration::parse)]
    jitter: Option<Duration>,
    /// An option: K=V becomes --K=V, K alone becomes --K
    #[arg(long = "option", value_name = "K[=V]", conflicts_with = "body")]
    options: Vec<String>,
    /// These bytes, for the tube's own command
    #[arg(long, value_name = "TEXT")]
    body: Option<String>,
    /// Call its tasks so, to find them again: urgent, or customer=4711
    #[arg(long = "tag", value_name = "K[=V]")]
    tags: Vec<Tag>,
    #[command(flatten)]
    unique: put::UniqueFlags,
    #[command(flatten)]
    own: put::OwnFlags,
    /// Its jobs' priority; 0 is the most urgent
    #[arg(long, value_name = "N", value_parser = number::small, default_value_t = broker::DEFAULT_PRIORITY)]
    priority: u32,
    /// How long a reservation lasts without a touch
    #[arg(long, value_name = "SECONDS", value_parser = put::ttr, default_value = "60")]
    ttr: Duration,
}

pub fn run(flags: Flags, config: &Config) -> Result<(), Failure> {
    let name = flags.name.clone();
    check_name(&name).map_err(Failure::usage)?;
    let spec = spec(flags)?;
    if let Timing::At(at) = spec.timing
        && at <= clock::now()
    {
        return Err(
            Failure::usage("--at: that time is past, and nothing would come of it")
                .next("name a time to come, or put a task: taskqueue put"),
        );
    }
    let queue = configured::queue(config)?;
    let set = block_on(async { Ok(queue.set_schedule(&name, &spec).await?) })?;
    let said = match set {
        Set::New => "is made",
        Set::Changed => "is otherwise than before",
        Set::Same => "was so before",
    };
    writeln!(out(false), "the schedule {name} {said}")?;
    // Of what runs elsewhere nothing need be configured here.
    let mut configured = config.commands.configured();
    if configured.any(|(name, _)| name != EXAMPLE_COMMAND)
        && let Err(why) = check_template(&spec.template, &config.commands)
    {
        log::say(format_args!(
            "taskqueue: warning: workers of this configuration would refuse its tasks: {why}"
        ));
    }
    Ok(())
}

fn spec(flags: Flags) -> Result<Spec, Failure> {
    let bad = |(key, why): (&str, String)| match key {
        "" => Failure::usage(format!("the schedule {why}")),
        key => Failure::usage(format!("--{key}: {why}")),
    };
    let timing = GivenTiming {
        cron: flags.cron,
        zone: flags.zone,
        every: flags.every,
        from: flags.from.map(|word| match word.as_str() {
            "end" => From::End,
            _ => From::Start,
        }),
        at: flags.at,
    };
    let rules = GivenRules {
        missed: flags.missed.map(|word| match word.as_str() {
            "skip" => Missed::Skip,
            "all" => Missed::All,
            _ => Missed::One,
        }),
        limit: flags.limit,
        window: flags.window,
        overlap: flags.overlap.map(|word| match word.as_str() {
            "allow" => Overlap::Allow,
            "queue" => Overlap::Queue,
            _ => Overlap::Skip,
        }),
        jitter: flags.jitter,
    };
    let content = match (flags.command, flags.body) {
        (Some(command), _) => {
            let call = Call {
                command: command.parse().map_err(|why| refused(&why))?,
                arguments: flags.arguments.into_iter().map(Argument::of_text).collect(),
                options: Call::parse_options(&flags.options).map_err(|why| refused(&why))?,
            };
            let call = Call::from_parts(&command, &call.arguments_json(), &call.options_json());
            Content::Call(call.map_err(|why| refused(&why))?)
        }
        (None, Some(body)) => Content::Raw(body.into()),
        (None, None) => {
            return Err(Failure::usage(
                "the schedule makes nothing: name a command, or a --body",
            ));
        }
    };
    Ok(Spec {
        timing: timing.timing(clock::now(), true).map_err(bad)?,
        rules: rules.rules().map_err(bad)?,
        template: Template {
            tube: flags.use_tube,
            content,
            priority: flags.priority,
            ttr: whole_seconds(flags.ttr).max(1),
            tags: tag::of_a_task(flags.tags)
                .map_err(|why| Failure::usage(format!("--tag: {why}")))?,
            own: Some(flags.own.own()?)
                .filter(|own| !own.is_empty())
                .map(Box::new),
            unique: flags.unique.unique(),
        },
    })
}

fn refused(why: &crate::task::payload::Refusal) -> Failure {
    Failure::usage(why.to_string())
}
