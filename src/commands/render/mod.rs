//! `heph-ops render`: files for the systems around a hub. Without `--output`
//! stdout gets the file's text and nothing else, so that `> FILE` works.

use std::path::{Path, PathBuf};

use hephd::{
    error::{Code, Error, Result},
    record::{Record, Role},
    report::Report,
    store::file::folder,
};
use serde_json::{Value, json};

use super::{How, report_plan};
use crate::{host::Host, plan::Plan, template::RENDERED_BY};

mod authentik;
mod caddy;

/// What to render.
#[derive(Debug, clap::Subcommand)]
#[allow(missing_docs, reason = "each has its own, which clap prints")]
pub enum Command {
    Authentik(authentik::Args),
    Caddy(caddy::Args),
}

impl Command {
    /// The command's name in the answer.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Authentik(_) => "render authentik",
            Self::Caddy(_) => "render caddy",
        }
    }
}

/// Where the text goes.
#[derive(Debug, clap::Args)]
pub struct Target {
    /// Write this file rather than to stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What one of them makes: the text, what there is to say of it to scripts,
/// and what comes next.
struct Rendered {
    text: String,
    data: Value,
    next: String,
}

/// Renders.
///
/// # Errors
/// `usage` for a value that the format cannot hold; `target_not_empty` for a
/// file that is somebody else's.
pub fn run(command: &Command, how: How, host: &Host) -> Result<Report> {
    let (rendered, target) = match command {
        Command::Authentik(args) => (args.render(host)?, &args.target),
        Command::Caddy(args) => (args.render(host)?, &args.target),
    };
    match &target.output {
        Some(path) => write(path, rendered, how, host),
        None => Ok(show(rendered, how)),
    }
}

fn show(rendered: Rendered, how: How) -> Report {
    let data = with_text(rendered.data, &rendered.text, None);
    let report = Report::new("rendered", false, data);
    Report { text: Some(rendered.text), check: how.check, ..report }
}

fn write(path: &Path, rendered: Rendered, how: How, host: &Host) -> Result<Report> {
    let before = host.read(path)?;
    refuse_what_is_not_ours(path, before.as_deref())?;
    let mut plan = Plan::default();
    // No secret stands in it, and the program that it is for may be another user.
    plan.write(path.to_owned(), 0o644, before, rendered.text.clone());
    if !how.check {
        host.apply(&plan)?;
    }
    let status = if plan.is_empty() { "already_rendered" } else { "rendered" };
    let data = with_text(rendered.data, &rendered.text, Some(path));
    let report = report_plan(how, &plan, status, data);
    Ok(match (how.check, plan.is_empty()) {
        (true, _) => report,
        (false, true) => report.line(format!("✓ {} is so already", path.display())),
        (false, false) => report.line(format!("✓ wrote {}", path.display())).line(rendered.next),
    })
}

fn refuse_what_is_not_ours(path: &Path, before: Option<&str>) -> Result<()> {
    if !folder(path).is_dir() {
        return Err(Error::new(
            Code::FileFailed,
            format!("cannot write {}: there is no such folder", path.display()),
            format!("make {} first, or choose another file", folder(path).display()),
        ));
    }
    match before {
        Some(text) if !text.is_empty() && !text.contains(RENDERED_BY) => Err(Error::new(
            Code::TargetNotEmpty,
            format!("{} was not {RENDERED_BY}", path.display()),
            "move it away, or choose another file: --output FILE",
        )),
        _ => Ok(()),
    }
}

fn with_text(mut data: Value, text: &str, path: Option<&Path>) -> Value {
    data["text"] = json!(text);
    data["path"] = json!(path);
    data
}

/// What the only installed service of a role was given; none where there is
/// none, or more than one.
fn only(host: &Host, role: Role) -> Result<Option<Record>> {
    let folders = host.scopes().iter().map(|scope| host.paths(*scope).records());
    let records = folders.flat_map(|folder| Record::load_installed(&folder));
    let records = records.into_iter().collect::<Result<Vec<_>>>()?;
    let mut found = records.into_iter().filter(|record| record.role == role);
    Ok(found.next().filter(|_| found.next().is_none()))
}
