//! systemd's language.

use std::path::Path;

use hephd::{
    error::{Error, Result},
    record::Scope,
};
use tera::Context;

use super::{
    Kind, Meaning, NO_EDITION, UnitFile,
    hardening::Walls,
    job::Job,
    refuse_breaks, with_edition,
    words::{quote, words},
};
use crate::{service::Service, template};

/// The files of a service: its own, and two for each job.
///
/// # Errors
/// `usage` for a word that no unit can hold.
pub fn files(service: &Service, folder: &Path, version: u32) -> Result<Vec<UnitFile>> {
    let label = service.label();
    let file = |name: String, text, kind| UnitFile { path: folder.join(&name), name, text, kind };
    let mut files = vec![file(format!("{label}.service"), main(service, version)?, Kind::Service)];
    for job in &service.jobs {
        let name = job.name(label);
        let work = work(service, job, version)?;
        files.push(file(format!("{name}.service"), work, Kind::Work));
        files.push(file(format!("{name}.timer"), timer(service, job)?, Kind::Timer));
    }
    Ok(files)
}

fn main(service: &Service, version: u32) -> Result<String> {
    let mut values = common(service, &service.argv, &[], version)?;
    let system = service.record.scope == Scope::System;
    let after =
        if system { "Wants=network-online.target\nAfter=network-online.target" } else { "" };
    values.insert("label", service.label());
    values.insert("role", service.record.role.as_str());
    values.insert("after", after);
    values.insert("edition", NO_EDITION);
    values.insert("logs", &logs(service)?);
    values.insert("wanted_by", if system { "multi-user.target" } else { "default.target" });
    let template = include_str!("../../templates/heph.service");
    Ok(with_edition(&template::fill("heph.service", template, &values)?, meaning))
}

fn work(service: &Service, job: &Job, version: u32) -> Result<String> {
    let mut values = common(service, &job.argv, &job.writes, version)?;
    values.insert("name", &job.name(service.label()));
    values.insert("description", &job.description);
    template::fill("heph-job.service", include_str!("../../templates/heph-job.service"), &values)
}

fn timer(service: &Service, job: &Job) -> Result<String> {
    let mut values = Context::new();
    values.insert("record", &in_comment(&service.record_path));
    values.insert("name", &job.name(service.label()));
    values.insert("description", &job.description);
    values.insert("on_calendar", &on_calendar(job.every));
    values.insert("first_secs", &(job.every / 10).clamp(30, 900));
    values.insert("delay_secs", &(job.every / 20).min(600));
    template::fill("heph-job.timer", include_str!("../../templates/heph-job.timer"), &values)
}

/// A time of day, where the span fits into days: a clock that stands still while a
/// laptop sleeps would let days go by. What was missed is made up for.
fn on_calendar(every: u64) -> String {
    let fits = |unit: u64, most: u64| {
        let count = every / unit;
        every.is_multiple_of(unit) && count > 0 && most.is_multiple_of(count)
    };
    let when = match every {
        86_400 => "*-*-* 03:00:00".to_owned(),
        604_800 => "Mon *-*-* 03:00:00".to_owned(),
        _ if fits(3600, 24) => format!("*-*-* 00/{}:00:00", every / 3600),
        _ if fits(60, 60) => format!("*-*-* *:00/{}:00", every / 60),
        _ => return format!("OnUnitActiveSec={every}"),
    };
    format!("OnCalendar={when}\nPersistent=yes")
}

fn common(
    service: &Service,
    argv: &[String],
    writes: &[std::path::PathBuf],
    version: u32,
) -> Result<Context> {
    let record = &service.record;
    let mut values = Context::new();
    let words = argv.iter().map(|word| quote(word)).collect::<Result<Vec<_>>>()?;
    let environment = (service.env.iter())
        .map(|(key, value)| Ok(format!("Environment={}", quote(&format!("{key}={value}"))?)))
        .collect::<Result<Vec<_>>>()?;
    let user = record.run_as.as_ref().map_or(Ok(String::new()), |user| setting("User", user))?;
    let walls = Walls::of(service, argv, writes, version);
    let mounts = walls.in_use().into_iter().chain(record.log_dir.as_deref());
    let mounts = mounts.map(|path| quote(&path.display().to_string()));
    let mounts = mounts.collect::<Result<Vec<_>>>()?;
    let standing = walls.to_text()?;
    values.insert("record", &in_comment(&service.record_path));
    values.insert("mine", if record.scope == Scope::User { "--user " } else { "" });
    values.insert("user", &user);
    values.insert("exec_start", &words.join(" "));
    values.insert("environment", &environment.join("\n"));
    values.insert("mounts", &mounts.join(" "));
    values.insert("hardening", if standing.is_empty() { UMASK } else { &standing });
    Ok(values)
}

/// Whatever the level: what it writes is nobody else's.
const UMASK: &str = "# Nothing that it writes is for others.\nUMask=0077";

fn logs(service: &Service) -> Result<String> {
    let Some(_) = &service.record.log_dir else { return Ok(String::new()) };
    let [out, err] = service.log_files();
    // These two take the rest of the line as it is, but for %.
    let line = |key: &str, path: &Path| {
        let path = path.display().to_string();
        refuse_breaks(&path)?;
        Ok::<_, Error>(format!("{key}=append:{}", path.replace('%', "%%")))
    };
    Ok([line("StandardOutput", &out)?, line("StandardError", &err)?].join("\n"))
}

fn setting(key: &str, value: &str) -> Result<String> {
    refuse_breaks(value)?;
    Ok(format!("{key}={}", value.replace('%', "%%")))
}

/// A comment is one line, whatever a path holds.
fn in_comment(path: &Path) -> String {
    path.display().to_string().replace(char::is_control, "?")
}

/// What a unit's text means.
#[must_use]
pub fn meaning(text: &str) -> Meaning {
    let mut meaning = Meaning::new();
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, value)) = line.split_once('=').filter(|_| !is_comment(line)) {
            let values = meaning.entry(format!("{section}.{}", key.trim_end())).or_default();
            values.push(words(value.trim_start()));
        }
    }
    meaning
}

fn is_comment(line: &str) -> bool {
    line.starts_with(['#', ';'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_blanks_and_quotes_do_not_change_what_a_unit_means() {
        let one = "[Service]\n# why\nExecStart=:\"/bin/a b\" \"c\"\n\nUMask=0077\n";
        let two = "[Service]\nUMask=0077\nExecStart=:\"/bin/a b\"   c\n";
        assert_eq!(meaning(one), meaning(two));
        assert_ne!(meaning(one), meaning(&two.replace(" c", " d")));
        assert_ne!(meaning(one), meaning(&two.replace("[Service]", "[Unit]")));
    }
}
