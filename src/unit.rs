//! A service in systemd's language: one template per role, and the quoting
//! that makes each word come out as it went in.

use hephd::{
    error::{Error, Result},
    record::Role,
};
use tera::Context;

use crate::{service::Service, template};

/// The unit's text.
///
/// # Errors
/// `usage` for a word with a line break, which no unit can hold.
pub fn systemd(service: &Service) -> Result<String> {
    let (name, template) = match service.record.role {
        Role::Hub => ("heph-hub.service", include_str!("../templates/heph-hub.service")),
        Role::Spoke => ("heph-spoke.service", include_str!("../templates/heph-spoke.service")),
    };
    let words = service.argv.iter().map(|word| quote(word)).collect::<Result<Vec<_>>>()?;
    let environment = (service.record.env.iter())
        .map(|(key, value)| Ok(format!("Environment={}", quote(&format!("{key}={value}"))?)))
        .collect::<Result<Vec<_>>>()?;
    let mut context = Context::new();
    context.insert("label", &service.record.label);
    context.insert("record", &service.record_path.display().to_string().replace('\n', "?"));
    context.insert("exec_start", &words.join(" "));
    context.insert("environment", &environment.join("\n"));
    template::fill(name, template, &context)
}

/// A word in double quotes. With `ExecStart=:` nothing expands but `%`, and
/// in `Environment=` nothing else does either, so one rule serves both.
fn quote(word: &str) -> Result<String> {
    if word.contains(['\n', '\r', '\0']) {
        return Err(Error::usage(
            format!("{word:?} holds a line break or NUL, which a unit cannot"),
            "choose a value without one",
        ));
    }
    let word = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    Ok(format!("\"{word}\""))
}
