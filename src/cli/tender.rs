//! `taskqueue tender`

use std::path::Path;

use clap::Args;

use super::Failure;
use crate::config::Config;

#[derive(Debug, Args)]
pub struct Flags {}

pub fn run(_flags: Flags, _config: Config, _file: Option<&Path>) -> Result<(), Failure> {
    Ok(())
}
