//! As whom, where and with what each command runs: what its own table says, else what its tube's says, else what
//! `[defaults]` says, key by key.
//!
//! Whom a name means only matters where commands are started. So a configuration is read without asking the machine,
//! and who starts commands has it looked up ([`Levels::settle`]).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, getegid, geteuid, getgroups, getpriority_process, getrlimit};

use super::given::{Given, Name, Variables};
use crate::process::accounts::{self, Account};
use crate::process::limit;
use crate::task::command::Commands;
use crate::task::conditions::{self, ByTube, Conditions, Identity, Limit, Variable};
use crate::tube::TubeName;

/// Ours, which the user of a command has too (systemd.exec(5), cron(8)).
const ACCOUNT_VARIABLES: [&str; 4] = ["HOME", "LOGNAME", "SHELL", "USER"];

/// A directory that is the user's own.
const HOME: &str = "~";

/// What the tables say, from the widest to the narrowest.
#[derive(Debug, Clone, Default)]
pub struct Levels {
    /// What a relative directory is meant from.
    pub(super) folder: PathBuf,
    pub(super) defaults: Given,
    pub(super) tubes: BTreeMap<TubeName, Given>,
    pub(super) commands: BTreeMap<String, Given>,
}

/// A key that is wrong, and why.
pub type Wrong = (String, String);

/// Who asks, and what may be asked for.
struct Asker {
    user: u32,
    group: u32,
    groups: Vec<u32>,
    name: String,
}

/// A table, and what its keys begin with.
type Level<'a> = (String, &'a Given);

impl Levels {
    /// Has each command's conditions looked up, and gives them to the commands. What is wrong with them, by keys.
    pub fn settle(&self, commands: &mut Commands) -> Vec<Wrong> {
        let asker = Asker::new();
        let (mut wrong, mut shared) = (Vec::new(), None);
        commands.set_conditions(|pattern| {
            let has_own = pattern.is_some_and(|pattern| self.commands.contains_key(pattern));
            if let (false, Some(shared)) = (has_own, &shared) {
                return ByTube::clone(shared);
            }
            let mut of = |tube| Arc::new(self.settled(&asker, tube, pattern, &mut wrong));
            let usual = of(None);
            let others = self
                .tubes
                .iter()
                .filter(|(_, given)| **given != Given::default());
            let others = others.map(|(tube, _)| (tube.clone(), of(Some(tube))));
            let by_tube = ByTube::new(usual, others.collect());
            if !has_own {
                shared = Some(by_tube.clone());
            }
            by_tube
        });
        wrong.sort();
        wrong.dedup();
        wrong
    }

    /// How many of the commands that have a table may run in one of these tubes as a user whom nothing names.
    pub fn unnamed(&self, tubes: &[TubeName]) -> usize {
        if tubes.iter().all(|tube| self.is_named(tube)) {
            return 0;
        }
        let commands = self.commands.values();
        commands.filter(|given| given.user.is_none()).count()
    }

    /// Whether a user is named for all that runs in a tube.
    pub fn is_named(&self, tube: &TubeName) -> bool {
        let of_tube = self.tubes.get(tube).into_iter();
        let mut tables = of_tube.chain([&self.defaults]);
        tables.any(|given| given.user.is_some())
    }

    /// The longest time between TERM and KILL that a command may have in a tube; `None`: none says.
    pub fn kill_after(&self, tube: &TubeName) -> Option<Duration> {
        let tables = self.commands.values().chain(self.tubes.get(tube));
        let spans = tables
            .chain([&self.defaults])
            .filter_map(|given| given.kill_after);
        spans.map(|span| span.0).max()
    }

    /// The directories that the file names, by keys; no homes.
    pub fn directories(&self) -> Vec<(String, PathBuf)> {
        let tubes = self.tubes.iter();
        let tubes = tubes.map(|(tube, given)| (format!("tubes.\"{tube}\""), given));
        let commands = self.commands.iter();
        let commands = commands.map(|(name, given)| (format!("commands.\"{name}\""), given));
        let tables = [("defaults".to_owned(), &self.defaults)].into_iter();
        let directories = tables
            .chain(tubes)
            .chain(commands)
            .filter_map(|(table, given)| {
                let directory = given.directory.as_ref()?;
                let is_home = directory.as_os_str() == HOME;
                (!is_home).then(|| (format!("{table}.directory"), self.folder.join(directory)))
            });
        directories.collect()
    }

    /// Whether any table keeps something of our environment from commands.
    pub(super) fn withhold(&self) -> bool {
        let tables = self.tubes.values().chain(self.commands.values());
        std::iter::once(&self.defaults)
            .chain(tables)
            .any(|given| given.environment.is_some() || given.clear_environment == Some(true))
    }

    /// Whether a tube's own table says anything.
    pub fn are_in(&self, tube: &TubeName) -> bool {
        self.tubes
            .get(tube)
            .is_some_and(|given| *given != Given::default())
    }

    /// The tables that count, the narrowest first.
    fn tables(&self, tube: Option<&TubeName>, pattern: Option<&str>) -> Vec<Level<'_>> {
        let mut tables = Vec::with_capacity(3);
        if let Some(pattern) = pattern
            && let Some(given) = self.commands.get(pattern)
        {
            tables.push((format!("commands.\"{pattern}\"."), given));
        }
        if let Some(tube) = tube
            && let Some(given) = self.tubes.get(tube)
        {
            tables.push((format!("tubes.\"{tube}\"."), given));
        }
        tables.push(("defaults.".into(), &self.defaults));
        tables
    }

    /// What holds in a tube; what of that is wrong is left out, and noted.
    fn settled(
        &self,
        asker: &Asker,
        tube: Option<&TubeName>,
        pattern: Option<&str>,
        wrong: &mut Vec<Wrong>,
    ) -> Conditions {
        let tables = self.tables(tube, pattern);
        let (account, identity) = identity(&tables, asker).unwrap_or_else(|why| {
            wrong.push(why);
            (None, None)
        });
        let mut variables = variables(&tables);
        if let Some(account) = &account {
            know(account, &mut variables);
        }
        let directory = first(&tables, "directory", |given| given.directory.clone());
        let directory = directory.map(|(key, name)| self.directory(account.as_ref(), key, name));
        let directory = directory.transpose().unwrap_or_else(|why| {
            // Of a user who is not known it is said already.
            wrong.extend(Some(why).filter(|_| wrong.is_empty()));
            None
        });
        let nice = first(&tables, "nice", |given| given.nice);
        if let Some((key, nice)) = &nice {
            wrong.extend(asker.may_be_so_nice(key, *nice).err());
        }
        let mut given = tables.iter().map(|(_, given)| *given);
        Conditions {
            identity,
            directory,
            variables,
            umask: given.clone().find_map(Given::mask),
            nice: nice.map(|(_, nice)| nice),
            oom_score_adjust: given.clone().find_map(|given| given.oom_score_adjust),
            limits: limits(&tables, asker, wrong),
            no_new_privileges: given
                .clone()
                .find_map(|given| given.no_new_privileges)
                .unwrap_or(false),
            kill_after: given.find_map(|given| given.kill_after).map(|span| span.0),
        }
    }

    fn directory(
        &self,
        account: Option<&Whom>,
        key: String,
        directory: PathBuf,
    ) -> Result<PathBuf, Wrong> {
        if directory.as_os_str() != HOME {
            return Ok(self.folder.join(directory));
        }
        match account {
            Some(Whom::Known(account)) => Ok(account.home.clone().into()),
            Some(Whom::Unknown) => Err((key, "the user has no home".into())),
            None => Err((
                key,
                "\"~\" is the home of a user, and no user is named".into(),
            )),
        }
    }
}

/// A command's user, as the machine knows it.
enum Whom {
    Known(Account),
    /// Only by the number.
    Unknown,
}

/// What the narrowest table says that says something, and its key.
fn first<T>(
    tables: &[Level<'_>],
    key: &str,
    value: impl Fn(&Given) -> Option<T>,
) -> Option<(String, T)> {
    let mut tables = tables.iter();
    tables.find_map(|(begin, given)| Some((format!("{begin}{key}"), value(given)?)))
}

/// The user, if one is named, and whose rights a command is to have, if those are not ours.
fn identity(
    tables: &[Level<'_>],
    asker: &Asker,
) -> Result<(Option<Whom>, Option<Identity>), Wrong> {
    let user = first(tables, "user", |given| given.user.clone());
    let group = first(tables, "group", |given| given.group.clone());
    let group = match group {
        Some((key, name)) => Some((group_number(&name).map_err(|why| (key.clone(), why))?, key)),
        None => None,
    };
    if user.is_none() && group.is_none() {
        return Ok((None, None));
    }
    let (whom, number, key) = match user {
        Some((key, name)) => {
            let (whom, number) = user_number(&name).map_err(|why| (key.clone(), why))?;
            (Some(whom), number, Some(key))
        }
        None => (None, asker.user, None),
    };
    let account = match &whom {
        Some(Whom::Known(account)) => Some(account.clone()),
        Some(Whom::Unknown) => None,
        None => accounts::user_of(number).ok().flatten(),
    };
    let name = account
        .as_ref()
        .map_or_else(|| number.to_string(), |known| known.name.clone());
    if number != asker.user
        && asker.user != 0
        && let Some(key) = key
    {
        let ours = &asker.name;
        let why = format!("only root can run commands as {name}, and this is {ours}");
        return Err((key, why));
    }
    let own = account.as_ref().map(|account| account.group);
    let (group, key) = match (group, own, &whom) {
        (Some((group, key)), _, _) => (group, key),
        (None, Some(group), _) => (group, "user".into()),
        (None, None, _) => {
            let key = first(tables, "user", |given| given.user.clone());
            let why = format!("nobody knows a user with the number {number}: name a group too");
            return Err((key.map_or_else(String::new, |(key, _)| key), why));
        }
    };
    if asker.user != 0 {
        return match group == asker.group || whom.is_some() && Some(group) == own {
            // There is nothing to be changed, and no right to.
            true => Ok((whom, None)),
            false => {
                let ours = &asker.name;
                let why =
                    format!("only root can run commands in another group, and this is {ours}");
                Err((key, why))
            }
        };
    }
    let groups = match &account {
        Some(account) => accounts::groups(&account.name, group),
        None => Ok(vec![group]),
    };
    let groups = groups.map_err(|error| (key, error.to_string()))?;
    let identity = Identity {
        name,
        user: number,
        group,
        groups,
    };
    Ok((whom, Some(identity).filter(|identity| !asker.is(identity))))
}

fn user_number(name: &Name) -> Result<(Whom, u32), String> {
    let number = |number| match accounts::user_of(number).map_err(cannot_say)? {
        Some(account) => Ok((Whom::Known(account), number)),
        None => Ok((Whom::Unknown, number)),
    };
    match name {
        Name::Number(of) => number(*of),
        Name::Name(name) => match accounts::user(name).map_err(cannot_say)? {
            Some(account) => {
                let number = account.user;
                Ok((Whom::Known(account), number))
            }
            None => match digits(name) {
                Some(of) => number(of),
                None => Err(format!("there is no user {name:?}; see: getent passwd")),
            },
        },
    }
}

fn group_number(name: &Name) -> Result<u32, String> {
    match name {
        Name::Number(number) => Ok(*number),
        Name::Name(name) => {
            let known = accounts::group(name)
                .map_err(cannot_say)?
                .or_else(|| digits(name));
            known.ok_or_else(|| format!("there is no group {name:?}; see: getent group"))
        }
    }
}

/// A number of somebody's, in digits.
fn digits(text: &str) -> Option<u32> {
    let is_number = text.bytes().all(|digit| digit.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number)?;
    (number != u32::MAX).then_some(number)
}

fn cannot_say(error: io::Error) -> String {
    format!("the machine cannot say who that is: {error}")
}

/// What becomes of the environment: a list leaves out all others, whatever wider tables say.
fn variables(tables: &[Level<'_>]) -> conditions::Variables {
    let mut variables = conditions::Variables::default();
    for (_, given) in tables.iter().rev() {
        match &given.environment {
            Some(Variables::Only(names)) => {
                let kept = names.iter().map(|name| (name.clone(), Variable::Kept));
                variables = conditions::Variables {
                    clear: true,
                    named: kept.collect(),
                };
            }
            Some(Variables::Named(named)) => variables.named.extend(named.clone()),
            None => {}
        }
        variables.clear = given.clear_environment.unwrap_or(variables.clear);
    }
    variables
}

/// Has a command find its user's own, and nothing of ours in their place.
fn know(whom: &Whom, variables: &mut conditions::Variables) {
    for name in ACCOUNT_VARIABLES {
        let of = match whom {
            Whom::Known(account) => Variable::Set(match name {
                "HOME" => account.home.clone(),
                "SHELL" => account.shell.clone(),
                _ => account.name.clone(),
            }),
            Whom::Unknown => Variable::Withheld,
        };
        variables.named.entry(name.into()).or_insert(of);
    }
}

fn limits(
    tables: &[Level<'_>],
    asker: &Asker,
    wrong: &mut Vec<Wrong>,
) -> BTreeMap<Limit, Option<u64>> {
    let mut limits = BTreeMap::new();
    for (begin, given) in tables {
        for (limit, most) in given.limits.iter().flat_map(super::given::Limits::all) {
            if let Entry::Vacant(free) = limits.entry(limit) {
                free.insert(most);
                let key = format!("{begin}limits.{}", limit.word());
                wrong.extend(asker.may_have(&key, limit, most).err());
            }
        }
    }
    limits
}

impl Asker {
    fn new() -> Asker {
        let (user, group) = (geteuid().as_raw(), getegid().as_raw());
        let groups = getgroups().unwrap_or_default();
        let account = accounts::user_of(user).ok().flatten();
        Asker {
            user,
            group,
            groups: groups.into_iter().map(|group| group.as_raw()).collect(),
            name: account.map_or_else(|| format!("the user {user}"), |account| account.name),
        }
    }

    /// Whether we have just these rights.
    fn is(&self, identity: &Identity) -> bool {
        let sorted = |groups: &[u32]| {
            let mut groups = groups.to_vec();
            groups.sort_unstable();
            groups.dedup();
            groups
        };
        (self.user, self.group) == (identity.user, identity.group)
            && sorted(&self.groups) == sorted(&identity.groups)
    }

    /// Whether a limit can be given by us.
    fn may_have(&self, key: &str, of: Limit, most: Option<u64>) -> Result<(), Wrong> {
        let is_more = |than: u64| most.is_none_or(|most| most > than);
        if of == Limit::Nofile
            && let Some(all) = limit::most_descriptors().filter(|all| is_more(*all))
        {
            let why = format!("the kernel gives nobody more than {all}; see: sysctl fs.nr_open");
            return Err((key.to_owned(), why));
        }
        let hard = getrlimit(limit::resource(of)).maximum;
        match hard.filter(|hard| self.user != 0 && is_more(*hard)) {
            Some(hard) => {
                let ours = &self.name;
                let why = format!(
                    "only root can give more than the hard limit, {hard}, and this is {ours}"
                );
                Err((key.to_owned(), why))
            }
            None => Ok(()),
        }
    }

    /// Whether that can be given by us: `RLIMIT_NICE` says how far down others than root may go (setrlimit(2)).
    fn may_be_so_nice(&self, key: &str, nice: i32) -> Result<(), Wrong> {
        let limit = getrlimit(Resource::Nice).current;
        let lowest = limit.map_or(-20, |most| 20 - i32::try_from(most.min(40)).unwrap_or(0));
        let now = getpriority_process(None).unwrap_or(0);
        if self.user == 0 || nice >= now.min(lowest) {
            return Ok(());
        }
        let ours = &self.name;
        let why = format!("only root can claim more than with nice = {now}, and this is {ours}");
        Err((key.to_owned(), why))
    }
}

#[cfg(test)]
mod tests;
