//! A store on another machine, through the system's own ssh.
//!
//! Nobody is asked anything (`BatchMode`), and a host whose key is not known
//! is refused. What runs there is fed to a plain `sh`, so no shell of the
//! person's takes part.

use hephd::error::{Code, Error, Result};
use url::Url;

/// What runs there.
const SCRIPT: &str = include_str!("ssh/snapshot.sh");

/// A file on another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    user: Option<String>,
    host: String,
    port: Option<u16>,
    /// From the root, or from the person's home there.
    path: String,
}

impl Address {
    /// Reads `ssh://[user@]host[:port]/path`.
    ///
    /// # Errors
    /// `usage` that shows the form.
    pub fn from_url(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::usage(
                format!("--from {text} is no address: {why}"),
                "give it as ssh://[user@]host[:port]/path/to/heph.db",
            )
        };
        let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        if url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it has more than user, host, port and path"));
        }
        let decode = |text: &str| {
            let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
            decoded.map(std::borrow::Cow::into_owned).map_err(|_| wrong("it is not UTF-8"))
        };
        let host = decode(url.host_str().unwrap_or_default())?;
        let path = decode(url.path())?;
        let path = path.strip_prefix("/~/").map_or(path.clone(), str::to_owned);
        let user = Some(url.username()).filter(|user| !user.is_empty()).map(decode).transpose()?;
        Self { user, host, port: url.port(), path }.checked().map_err(wrong)
    }

    /// Reads `[user@]host:path`, as scp does; none for what is a path here.
    ///
    /// # Errors
    /// `usage` that shows the form.
    pub fn from_words(text: &str) -> Option<Result<Self>> {
        let (whom, path) = match text.split_once("]:") {
            Some((whom, path)) => (format!("{whom}]"), path),
            None => text.split_once(':').map(|(whom, path)| (whom.to_owned(), path))?,
        };
        if whom.is_empty() || whom.contains('/') {
            return None;
        }
        let (user, host) = match whom.rsplit_once('@') {
            Some((user, host)) => (Some(user.to_owned()), host.to_owned()),
            None => (None, whom.to_owned()),
        };
        let path = path.strip_prefix("~/").unwrap_or(path).to_owned();
        Some(Self { user, host, port: None, path }.checked().map_err(|why| {
            Error::usage(
                format!("--from {text} is no address: {why}"),
                "give it as [user@]host:path, or ./NAME for a file here with a colon",
            )
        }))
    }

    fn checked(self) -> Result<Self, &'static str> {
        let plain = |text: &str| !text.starts_with('-') && !text.contains(char::is_whitespace);
        if self.host.is_empty() || !plain(&self.host) {
            return Err("its host is none");
        }
        if self.user.as_deref().is_some_and(|user| user.is_empty() || !plain(user)) {
            return Err("its user is none");
        }
        if self.path.is_empty() || self.path.ends_with('/') {
            return Err("it names no file");
        }
        if self.path.contains(['\0', '\n']) {
            return Err("its path has more than one line");
        }
        Ok(self)
    }

    /// The one spelling of it, which a new store remembers.
    #[must_use]
    pub fn canonical(&self) -> String {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        let home = if self.path.starts_with('/') { "" } else { "/~/" };
        format!("ssh://{user}{}{port}{home}{}", self.host, self.path)
    }

    /// The command here.
    #[must_use]
    pub fn argv(&self) -> Vec<String> {
        let mut argv: Vec<String> = ["ssh", "-T", "-o", "BatchMode=yes"].map(str::to_owned).into();
        for option in ["StrictHostKeyChecking=yes", "ConnectTimeout=15", "ServerAliveInterval=15"] {
            argv.extend(["-o".to_owned(), option.to_owned()]);
        }
        if let Some(port) = self.port {
            argv.extend(["-p".to_owned(), port.to_string()]);
        }
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        // Brackets are for addresses in a URL; ssh wants them bare.
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        argv.extend(["--".to_owned(), format!("{user}{host}"), "sh".to_owned()]);
        argv
    }

    /// What the shell there is fed.
    #[must_use]
    pub fn script(&self) -> String {
        format!("db='{}'\n{SCRIPT}", self.path.replace('\'', r"'\''"))
    }
}

/// Why nothing, or not all, came: in the words of whoever refused there, else
/// in ssh's.
#[must_use]
pub fn explain(source: &str, said: &str) -> Error {
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let told = lines.clone().find_map(|line| {
        let (message, code) = line.strip_prefix("✗ ")?.rsplit_once(" [")?;
        Some((message.to_owned(), Code::from_slug(code.strip_suffix(']')?)?))
    });
    if let Some((message, code)) = told {
        let hint = lines.skip_while(|line| !line.starts_with("✗ ")).nth(1);
        let hint = hint.unwrap_or("look at that machine").to_owned();
        return Error::new(code, format!("{source}: {message}"), hint);
    }
    let last = lines.next_back().unwrap_or("it ended without a word");
    Error::new(
        Code::SourceUnreachable,
        format!("cannot read {source}: {last}"),
        "see that ssh gets there without asking anything: ssh -o BatchMode=yes HOST true",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_spelling() {
        let same = |text: &str, canonical: &str| {
            let address = match text.starts_with("ssh:") {
                true => Address::from_url(text).unwrap(),
                false => Address::from_words(text).unwrap().unwrap(),
            };
            assert_eq!(address.canonical(), canonical, "{text}");
            assert_eq!(Address::from_url(canonical).unwrap(), address, "{canonical}");
        };
        same("laptop:/var/lib/heph.db", "ssh://laptop/var/lib/heph.db");
        same("ann@laptop:notes/heph.db", "ssh://ann@laptop/~/notes/heph.db");
        same("laptop:~/heph.db", "ssh://laptop/~/heph.db");
        same("ann@[::1]:/a/heph.db", "ssh://ann@[::1]/a/heph.db");
        same("ssh://ann@laptop:2222/a/heph.db", "ssh://ann@laptop:2222/a/heph.db");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["ssh://", "ssh://laptop", "ssh://laptop/", "ssh://-oProxyCommand=x/heph.db"] {
            assert_eq!(Address::from_url(text).unwrap_err().code, Code::Usage, "{text}");
        }
        for text in ["-oProxyCommand=x:heph.db", "laptop:", "@laptop:x", "a b:x"] {
            assert!(Address::from_words(text).unwrap().is_err(), "{text}");
        }
        for text in ["./odd:name", "/a:b", "heph.db", ":x"] {
            assert!(Address::from_words(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_path_is_one_word_to_the_shell_there() {
        let address = Address::from_words("laptop:it's $HOME/`x`.db").unwrap().unwrap();
        assert!(address.script().starts_with("db='it'\\''s $HOME/`x`.db'\n"));
    }

    #[test]
    fn a_refusal_there_keeps_its_code() {
        let said = "Warning: known\n✗ there is no store at /x [source_not_found]\n  look for it\n";
        let error = explain("ssh://laptop/x", said);
        assert_eq!((error.code, error.hint.as_str()), (Code::SourceNotFound, "look for it"));
        let error = explain("ssh://laptop/x", "Host key verification failed.\n");
        assert_eq!(error.code, Code::SourceUnreachable);
    }
}
