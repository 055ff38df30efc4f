//! launchd's language: property lists, in XML.

use std::path::Path;

use hephd::{
    error::Result,
    record::{Role, Scope},
};
use tera::Context;

use super::{Kind, Meaning, NO_EDITION, UnitFile, job::Job, refuse_breaks, with_edition};
use crate::{service::Service, template};

/// The files of a service: its own, and one for each job.
///
/// # Errors
/// `usage` for a word that a property list cannot hold.
pub fn files(service: &Service, folder: &Path) -> Result<Vec<UnitFile>> {
    let file = |name: String, text, kind| UnitFile {
        path: folder.join(format!("{name}.plist")),
        name,
        text,
        kind,
    };
    let label = service.label();
    let mut files = vec![file(label.to_owned(), main(service)?, Kind::Service)];
    for job in &service.jobs {
        files.push(file(job.name(label), work(service, job)?, Kind::Timer));
    }
    Ok(files)
}

fn main(service: &Service) -> Result<String> {
    let mut values = common(service, service.label(), &service.argv)?;
    values.insert("edition", NO_EDITION);
    values.insert("process_type", process_type(service.record.role));
    let template = include_str!("../../templates/heph.plist");
    Ok(with_edition(&template::fill("heph.plist", template, &values)?, meaning))
}

/// A hub is somebody else's connection; a device's daemon is for the person
/// who sits there.
const fn process_type(role: Role) -> &'static str {
    match role {
        Role::Hub => "Standard",
        Role::Spoke => "Adaptive",
    }
}

fn work(service: &Service, job: &Job) -> Result<String> {
    let mut values = common(service, &job.name(service.label()), &job.argv)?;
    values.insert("every_secs", &job.every);
    template::fill("heph-job.plist", include_str!("../../templates/heph-job.plist"), &values)
}

fn common(service: &Service, label: &str, argv: &[String]) -> Result<Context> {
    let mut values = Context::new();
    let [out, err] =
        service.paths().log_files(label, service.record.log_dir.as_deref()).map(|path| text(&path));
    let arguments = argv.iter().map(|word| Ok(format!("    <string>{}</string>", xml(word)?)));
    let environment = service.env.iter().map(|(key, value)| {
        Ok(format!("    <key>{}</key>\n    <string>{}</string>", xml(key)?, xml(value)?))
    });
    let user = match &service.record.run_as {
        Some(user) => format!("  <key>UserName</key>\n  <string>{}</string>", xml(user)?),
        None => String::new(),
    };
    values.insert("record", &in_comment(&service.record_path));
    values.insert("label", &xml(label)?);
    values.insert("user", &user);
    values.insert("program_arguments", &arguments.collect::<Result<Vec<_>>>()?.join("\n"));
    values.insert("environment", &environment.collect::<Result<Vec<_>>>()?.join("\n"));
    values.insert("session", if service.record.scope == Scope::User { SESSION } else { "" });
    values.insert("out_log", &out?);
    values.insert("err_log", &err?);
    Ok(values)
}

/// A person's: at the screen, and through ssh while nobody sits there.
const SESSION: &str = "  <key>LimitLoadToSessionType</key>\n  <array>\n    \
    <string>Aqua</string>\n    <string>Background</string>\n  </array>";

fn text(path: &Path) -> Result<String> {
    xml(&path.display().to_string())
}

fn xml(word: &str) -> Result<String> {
    refuse_breaks(word)?;
    Ok(word.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
}

/// Two dashes end a comment in XML.
fn in_comment(path: &Path) -> String {
    let path = path.display().to_string().replace(char::is_control, "?");
    path.replace("--", "- -").replace('&', "&amp;").replace('<', "&lt;")
}

/// What a property list means; nothing where it is none.
#[must_use]
pub fn meaning(text: &str) -> Meaning {
    let read = plist::Value::from_reader_xml(text.as_bytes()).ok();
    let settings = read.and_then(plist::Value::into_dictionary).unwrap_or_default();
    let values = settings.into_iter().map(|(key, value)| (key, vec![vec![in_words(&value)]]));
    values.collect()
}

fn in_words(value: &plist::Value) -> String {
    match value {
        plist::Value::Dictionary(settings) => {
            let mut all: Vec<_> =
                settings.iter().map(|(key, value)| (key, in_words(value))).collect();
            all.sort();
            format!("{all:?}")
        }
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_comments_do_not_change_what_a_list_means() {
        let list =
            |inner: &str| meaning(&format!("<plist version=\"1.0\"><dict>{inner}</dict></plist>"));
        let one = list("<key>A</key><string>x &amp; y</string><!-- why --><key>B</key><true/>");
        assert_eq!(one, list("<key>B</key><true/><key>A</key><string>x &#38; y</string>"));
        assert_ne!(one, list("<key>B</key><false/><key>A</key><string>x &amp; y</string>"));
        assert!(!one.is_empty());
    }
}
