//! The manual page, made from the command line's own shape: `man/taskqueue.1`.

use std::io::{self, Write};

use clap::Command;
use clap_mangen::Man;

/// What no flag says: files, environment, the JSON shapes, exit codes.
const REST: &str = include_str!("rest.1");

/// The page in roff.
///
/// # Errors
///
/// None in practice: it is written to memory.
pub fn page(shape: &Command) -> io::Result<Vec<u8>> {
    let shape = shape.clone();
    let man = Man::new(shape.clone())
        .date("")
        .source("taskqueue")
        .manual("");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    writeln!(page, ".SH COMMANDS")?;
    for command in shape.get_subcommands().filter(|c| !c.is_hide_set()) {
        page.extend(subcommand(command)?);
    }
    page.extend_from_slice(REST.as_bytes());
    Ok(page)
}

/// A subcommand's own sections, one level lower.
fn subcommand(command: &Command) -> io::Result<Vec<u8>> {
    let name = format!("taskqueue {}", command.get_name());
    let man = Man::new(command.clone().bin_name(name.clone()));
    let mut part = Vec::new();
    writeln!(part, ".SS \"{name}\"")?;
    man.render_description_section(&mut part)?;
    man.render_synopsis_section(&mut part)?;
    man.render_options_section(&mut part)?;
    man.render_extra_section(&mut part)?;
    let mut lowered = Vec::new();
    for line in String::from_utf8_lossy(&part).lines() {
        match line.strip_prefix(".SH ") {
            // The subcommand's name is the heading.
            Some("DESCRIPTION" | "SYNOPSIS") => writeln!(lowered, ".PP")?,
            Some(heading) => writeln!(lowered, ".PP\n\\fI{}\\fR", heading.to_lowercase())?,
            None => writeln!(lowered, "{line}")?,
        }
    }
    Ok(lowered)
}
