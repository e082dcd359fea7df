//! `taskqueue completions`

use std::io::Write;

use clap::{Args, Command, ValueEnum};

use super::Failure;
use super::out::out;

mod known;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue completions bash > ~/.local/share/bash-completion/completions/taskqueue
  taskqueue completions zsh > /usr/local/share/zsh/site-functions/_taskqueue
  taskqueue completions fish > ~/.config/fish/completions/taskqueue.fish

bash needs the package bash-completion; the folder may have to be made. For all users the file goes
to /usr/share/bash-completion/completions. For zsh, any folder of $fpath will do, with compinit after
it. A shell that is started from then on completes, tubes, configured commands and the newest tasks
too, as the store and the configuration have them at that moment.")]
pub struct Flags {
    /// Which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// The shells that people use.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub fn run(flags: &Flags, shape: &Command) -> Result<(), Failure> {
    let shell = match flags.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    // Nobody types what is hidden.
    let shown = shape.get_subcommands().filter(|c| !c.is_hide_set());
    let mut visible = Command::new("taskqueue")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .args(shape.get_arguments())
        .subcommands(shown);
    // Into memory first: the generator has no answer to a reader that goes away.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut visible, "taskqueue", &mut script);
    let script = String::from_utf8_lossy(&script);
    let script = match flags.shell {
        Shell::Bash => known::bash(&script, &visible),
        Shell::Zsh => known::zsh(&script, &visible),
        Shell::Fish => known::fish(&script, &visible),
    };
    Ok(out(false).write_all(script.as_bytes())?)
}
