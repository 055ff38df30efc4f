//! What a service is kept from, under systemd. The template has a paragraph
//! for each wall, with its reason; here is chosen which of them stand. The
//! paths in them are those in use, and no others.

use std::path::{Path, PathBuf};

use hephd::{
    error::{Error, Result},
    record::{Hardening, Scope},
    store::file::folder,
};
use tera::Context;

use super::words::quote;
use crate::{service::Service, template};

const TEMPLATE: &str = include_str!("../../templates/hardening.conf");

/// Where people's files are.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

/// Folders of which a strict unit has its own.
const PRIVATE: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// From here on a person's own systemd can hide things inside a user namespace.
pub const HIDES_FOR_PERSONS: u32 = 251;

/// From here on systemd knows `TemporaryFileSystem`, which hides homes in part.
const HIDES_HOMES_IN_PART: u32 = 238;

/// What a service is kept from, as its unit has it.
pub struct Walls {
    level: Hardening,
    scope: Scope,
    version: u32,
    homes: Vec<PathBuf>,
    /// Folders that it writes in.
    written: Vec<PathBuf>,
    /// Files and folders that it only reads.
    read: Vec<PathBuf>,
    program: PathBuf,
    keyring: bool,
}

impl Walls {
    /// Those of a service, or of a job beside it.
    #[must_use]
    pub fn of(service: &Service, argv: &[String], also_written: &[PathBuf], version: u32) -> Self {
        let (config, record) = (&service.config, &service.record);
        let token = service.token_file();
        let files = [Some(&config.db), Some(&config.socket), token.as_ref()].into_iter().flatten();
        let mut written: Vec<PathBuf> = files.map(|file| folder(file).to_owned()).collect();
        written.extend(also_written.iter().cloned());
        let own_home = service.home().filter(|home| !home.to_string_lossy().contains(':'));
        let homes = HOMES.iter().map(PathBuf::from).chain(own_home);
        let mut walls = Self {
            level: service.hardening(),
            scope: record.scope,
            version,
            homes: outermost(homes.collect()),
            written: outermost(written),
            read: [&config.web_root, &config.hub_ca].into_iter().flatten().cloned().collect(),
            program: argv.first().map(PathBuf::from).unwrap_or_default(),
            keyring: record.keyring,
        };
        if walls.level == Hardening::Strict && !walls.can_be_strict() {
            walls.level = Hardening::Basic;
        }
        walls
    }

    fn can_be_strict(&self) -> bool {
        match self.scope {
            Scope::User => self.version >= HIDES_FOR_PERSONS,
            Scope::System => self.version >= HIDES_HOMES_IN_PART || !self.shows_homes(),
        }
    }

    /// All that it uses: the disks of it must be there.
    #[must_use]
    pub fn in_use(&self) -> Vec<&Path> {
        let all = self.written.iter().chain(&self.read).chain([&self.program]);
        all.map(PathBuf::as_path).collect()
    }

    /// A path that no strict unit can show as it is.
    ///
    /// # Errors
    /// `usage`, with the path.
    pub fn check(&self) -> Result<()> {
        if self.level != Hardening::Strict {
            return Ok(());
        }
        let program = self.program.as_path();
        let paths = || self.written.iter().map(PathBuf::as_path).chain([program]);
        if let Some(path) = paths().find(|path| below(path, &PRIVATE.map(PathBuf::from))) {
            return Err(Error::usage(
                format!("{} is in a folder of which a strict service has its own", path.display()),
                "take another folder, or --hardening basic",
            ));
        }
        let is_all_of_it = |path: &&PathBuf| {
            path.parent().is_none_or(|above| self.homes.iter().any(|home| home == above))
                || self.homes.contains(path)
        };
        match self.written.iter().find(is_all_of_it) {
            Some(path) => Err(Error::usage(
                format!("a strict service would be shown all of {}", path.display()),
                "give the store a folder of its own, or take --hardening basic",
            )),
            None => Ok(()),
        }
    }

    /// Whether it is shown anything that people's homes hold.
    fn shows_homes(&self) -> bool {
        self.scope == Scope::User || self.in_use().into_iter().any(|path| self.in_home(path))
    }

    fn in_home(&self, path: &Path) -> bool {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        below(path, &self.homes) || below(&real, &self.homes)
    }

    /// As lines of a unit; none at level `off`.
    ///
    /// # Errors
    /// `usage` for a path that no unit can hold.
    pub fn to_text(&self) -> Result<String> {
        let values = self.values()?;
        let stands = |paragraph: &&str| Marker::of(paragraph).stands(self, &values);
        let standing: Vec<&str> = TEMPLATE.split("\n\n").filter(stands).collect();
        let without_markers: Vec<&str> = (standing.iter())
            .flat_map(|paragraph| paragraph.lines())
            .filter(|line| !line.starts_with("#?"))
            .collect();
        let text = template::fill_text("hardening.conf", &without_markers.join("\n"), &values)?;
        Ok(text.trim_end().to_owned())
    }

    fn values(&self) -> Result<Context> {
        let (own, others): (Vec<&PathBuf>, Vec<&PathBuf>) =
            self.written.iter().partition(|path| self.in_home(path));
        let is_shown = |path: &&PathBuf| !self.written.iter().any(|above| path.starts_with(above));
        let read = self.read.iter().filter(is_shown).chain([&self.program]);
        let mut shown = optional(read.filter(|path| self.in_home(path)))?;
        // Without the one no READY comes out, without the other no keyring.
        let is_person = self.scope == Scope::User;
        shown.extend(is_person.then(|| "\"-%t/systemd/notify\"".to_owned()));
        shown.extend((is_person && self.keyring).then(|| "\"-%t/bus\"".to_owned()));
        let only_read = self.read.iter().filter(|path| !self.in_home(path));
        let homes: &[PathBuf] = if self.shows_homes() { &self.homes } else { &[] };
        let hidden = homes.iter().map(|home| quote(&format!("{}:ro,noexec", home.display())));
        let mut values = Context::new();
        values.insert("protect_home", if self.shows_homes() { "" } else { "yes" });
        values.insert("hidden_homes", &hidden.collect::<Result<Vec<_>>>()?.join(" "));
        values.insert("read_write_paths", &optional(others.into_iter())?.join(" "));
        values.insert("bind_paths", &optional(own.into_iter())?.join(" "));
        values.insert("read_only_paths", &optional(only_read)?.join(" "));
        values.insert("bind_read_only_paths", &shown.join(" "));
        values.insert("exec_paths", &self.run_from()?.join(" "));
        Ok(values)
    }

    /// What can be run: the program, and the libraries that it loads.
    fn run_from(&self) -> Result<Vec<String>> {
        let mut paths = vec![self.program.clone()];
        paths.extend(["/lib", "/lib64", "/usr/lib", "/usr/lib64"].map(PathBuf::from));
        let real = self.program.canonicalize().unwrap_or_default();
        let stores = ["/nix/store", "/gnu/store"].map(PathBuf::from);
        paths.extend(stores.into_iter().filter(|store| real.starts_with(store)));
        optional(paths.iter())
    }
}

/// The dash: where one is missing, hephd itself says what it lacks.
fn optional<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<Vec<String>> {
    paths.map(|path| quote(&format!("-{}", path.display()))).collect()
}

fn below(path: &Path, folders: &[PathBuf]) -> bool {
    folders.iter().any(|folder| path.starts_with(folder))
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

/// The first line of a paragraph: `#? LEVEL SCOPE SINCE [VALUE]`.
struct Marker<'a>(Vec<&'a str>);

impl<'a> Marker<'a> {
    fn of(paragraph: &'a str) -> Self {
        let first = paragraph.trim_start().lines().next().unwrap_or_default();
        Self(first.split_whitespace().skip(1).collect())
    }

    /// A paragraph without a marker is about the template itself.
    fn stands(&self, walls: &Walls, values: &Context) -> bool {
        let [of_level, of_scope, since, value @ ..] = self.0.as_slice() else { return false };
        let strong_enough = match *of_level {
            "basic" => walls.level != Hardening::Off,
            _ => walls.level == Hardening::Strict,
        };
        let has_value = |name: &&str| {
            values.get(name).and_then(|value| value.as_str()).is_some_and(|text| !text.is_empty())
        };
        strong_enough
            && (*of_scope == "both" || *of_scope == walls.scope.as_str())
            && since.parse::<u32>().is_ok_and(|since| since <= walls.version)
            && value.iter().all(has_value)
    }
}
