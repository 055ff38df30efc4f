//! What a service is kept from, under systemd. The template has a paragraph
//! for each wall, with its reason; here is chosen which of them stand. The
//! paths in them are those in use, and no others.

use std::path::PathBuf;

use hephd::{
    error::Result,
    record::{Hardening, Scope},
    store::file::folder,
};
use tera::Context;

use super::systemd::quote;
use crate::{service::Service, template};

const TEMPLATE: &str = include_str!("../../templates/hardening.conf");

/// Where people's files are: what `ProtectHome` hides.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

/// The paths that a service cannot do without.
#[derive(Debug, Clone, Default)]
pub struct InUse {
    /// Folders that it writes in.
    pub written: Vec<PathBuf>,
    /// Files and folders that it only reads.
    pub read: Vec<PathBuf>,
    /// Programs that it runs.
    pub run: Vec<PathBuf>,
}

impl InUse {
    /// Those of a service, or of a job beside it.
    #[must_use]
    pub fn of(service: &Service, argv: &[String], also_written: &[PathBuf]) -> Self {
        let config = &service.config;
        let token = service.token_file();
        let mut written: Vec<PathBuf> = [Some(&config.db), Some(&config.socket), token.as_ref()]
            .into_iter()
            .flatten()
            .map(|file| folder(file).to_owned())
            .collect();
        written.extend(also_written.iter().cloned());
        let read = [&config.web_root, &config.hub_ca].into_iter().flatten().cloned().collect();
        let run = argv.first().map(PathBuf::from).into_iter().collect();
        Self { written: outermost(written), read: outermost(read), run }
    }

    /// All of them, each once.
    #[must_use]
    pub fn all(&self) -> Vec<&str> {
        let all = [&self.written, &self.read, &self.run].into_iter().flatten();
        all.filter_map(|path| path.to_str()).collect()
    }
}

/// Without what lies in another one of them.
fn outermost(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    paths.sort();
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !kept.iter().any(|other| path.starts_with(other)) {
            kept.push(path);
        }
    }
    kept
}

/// The walls of a level, as lines of a unit.
///
/// # Errors
/// `usage` for a path that no unit can hold.
pub fn walls(level: Hardening, scope: Scope, version: u32, paths: &InUse) -> Result<String> {
    let values = values(paths)?;
    let stands = |paragraph: &&str| Marker::of(paragraph).stands(level, scope, version, &values);
    let standing: Vec<&str> = TEMPLATE.split("\n\n").filter(stands).collect();
    let without_markers: Vec<&str> = (standing.iter())
        .flat_map(|paragraph| paragraph.lines())
        .filter(|line| !line.starts_with("#?"))
        .collect();
    let text = template::fill_text("hardening.conf", &without_markers.join("\n"), &values)?;
    Ok(text.trim_end().to_owned())
}

fn values(paths: &InUse) -> Result<Context> {
    let words = |paths: &[PathBuf]| {
        let words = paths.iter().map(|path| quote(&path.display().to_string()));
        Ok::<_, hephd::error::Error>(words.collect::<Result<Vec<_>>>()?.join(" "))
    };
    let in_homes = |paths: &[PathBuf]| {
        let is_in_one = |path: &&PathBuf| HOMES.iter().any(|home| path.starts_with(home));
        paths.iter().filter(is_in_one).cloned().collect::<Vec<_>>()
    };
    let seen = [paths.read.as_slice(), paths.run.as_slice()].concat();
    let mut values = Context::new();
    let (bound, shown) = (in_homes(&paths.written), in_homes(&seen));
    let hidden = if bound.is_empty() && shown.is_empty() { "yes" } else { "tmpfs" };
    values.insert("read_write_paths", &words(&paths.written)?);
    values.insert("read_only_paths", &words(&paths.read)?);
    values.insert("exec_paths", &words(&paths.run)?);
    values.insert("protect_home", hidden);
    values.insert("bind_paths", &words(&bound)?);
    values.insert("bind_read_only_paths", &words(&shown)?);
    Ok(values)
}

/// The first line of a paragraph: `#? LEVEL SCOPE SINCE [VALUE]`.
struct Marker<'a>(Vec<&'a str>);

impl<'a> Marker<'a> {
    fn of(paragraph: &'a str) -> Self {
        let first = paragraph.trim_start().lines().next().unwrap_or_default();
        Self(first.split_whitespace().skip(1).collect())
    }

    /// A paragraph without a marker is about the template itself.
    fn stands(&self, level: Hardening, scope: Scope, version: u32, values: &Context) -> bool {
        let [of_level, of_scope, since, value @ ..] = self.0.as_slice() else { return false };
        let strong_enough = match *of_level {
            "basic" => level != Hardening::Off,
            _ => level == Hardening::Strict,
        };
        let has_value = |name: &&str| {
            values.get(name).and_then(|value| value.as_str()).is_some_and(|text| !text.is_empty())
        };
        strong_enough
            && (*of_scope == "both" || *of_scope == scope.as_str())
            && since.parse::<u32>().is_ok_and(|since| since <= version)
            && value.iter().all(has_value)
    }
}
