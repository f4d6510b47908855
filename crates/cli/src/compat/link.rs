//! `highwater compat link`.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use clap::Args;

use super::names;
use crate::error::{CliError, Kind};
use crate::output::print;

/// Arguments of `highwater compat link`.
#[derive(Args, Debug)]
pub(crate) struct Link {
    /// Where to make the links, such as /usr/local/bin.
    directory: PathBuf,
    /// Also make them with `.sh` behind the name, as Kafka ships them.
    #[arg(long)]
    sh: bool,
    /// Replace what has one of the names.
    #[arg(long)]
    force: bool,
    /// Print what would be made, and make nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Link {
    pub(super) fn run(self) -> Result<(), CliError> {
        let program = std::env::current_exe().map_err(|error| CliError::caused("cannot find this program", &error))?;
        let names: Vec<String> = names()
            .flat_map(|name| std::iter::once(name.to_owned()).chain(self.sh.then(|| format!("{name}.sh"))))
            .collect();
        let links: Vec<PathBuf> = names.iter().map(|name| self.directory.join(name)).collect();
        let in_the_way = links.iter().find(|link| fs::symlink_metadata(link).is_ok() && !leads_to(link, &program));
        if let Some(link) = in_the_way.filter(|_| !self.force) {
            let what = format!("{} exists", link.display());
            return Err(CliError::new(Kind::Conflict, what, "it is something other than a link to this program")
                .hint("remove it, choose another directory, or add --force; nothing was changed"));
        }
        for link in &links {
            if !self.dry_run {
                make(link, &program)
                    .map_err(|error| CliError::caused(format!("cannot make {}", link.display()), &error))?;
            }
            print(&format!("{}\n", link.display()))?;
        }
        Ok(())
    }
}

fn leads_to(link: &Path, program: &Path) -> bool {
    fs::read_link(link).is_ok_and(|target| target == program)
}

fn make(link: &Path, program: &Path) -> io::Result<()> {
    if leads_to(link, program) {
        return Ok(());
    }
    match fs::remove_file(link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(program, link)
}
