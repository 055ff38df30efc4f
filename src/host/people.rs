//! The people of a machine: by name, by number, and becoming one of them.

use std::{ffi::OsString, os::unix::process::CommandExt, process::Command};

use hephd::{
    error::{Code, Error, Result},
    store::file::User,
};

use super::Host;

impl Host {
    /// A user of this machine, by name.
    ///
    /// # Errors
    /// `usage` for a name that there is not; `insecure_permissions` where this
    /// process may give nothing to that user.
    pub fn user(&self, name: &str) -> Result<User> {
        let no_such = || {
            let hint = "name a user of this machine: getent passwd, or dscl . -list /Users";
            Error::usage(format!("--run-as {name}: there is no such user"), hint)
        };
        let number = |what: &str| {
            let asked = self.run(&["id", what, "--", name].map(str::to_owned))?;
            let said = String::from_utf8_lossy(&asked.stdout).trim().parse::<u32>();
            said.map_err(|_| no_such())
        };
        if name.is_empty() || name.starts_with('-') {
            return Err(no_such());
        }
        let user = User { uid: number("-u")?, gid: number("-g")? };
        if self.uid == 0 || self.uid == user.uid {
            return Ok(user);
        }
        Err(Error::new(
            Code::InsecurePermissions,
            format!("--run-as {name}: only root can give files to another user"),
            format!("run it with sudo, or as {name}"),
        ))
    }

    /// The name of a user, by number.
    #[must_use]
    pub fn name_of(&self, uid: u32) -> Option<String> {
        self.entry(|user| user.get(2) == Some(&uid.to_string().as_str()), 0)
    }

    /// A user's home.
    ///
    /// # Errors
    /// `usage` where there is no such user.
    pub fn home_of(&self, name: &str) -> Result<String> {
        self.entry(|user| user.first() == Some(&name), 5).ok_or_else(|| {
            Error::usage(format!("{name} has no home"), "run it as that person, without sudo")
        })
    }

    /// One field of a user that is known here.
    fn entry(&self, is_it: impl Fn(&[&str]) -> bool, field: usize) -> Option<String> {
        let asked = || self.run(&["getent", "passwd"].map(str::to_owned)).ok();
        let file = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let find = |text: &str| {
            let mut users = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
            users.find(|user| is_it(user)).and_then(|user| user.get(field).map(|f| (*f).to_owned()))
        };
        find(&file).or_else(|| find(&String::from_utf8_lossy(&asked()?.stdout)))
    }

    /// Becomes a person, and starts this very program anew with more words. It
    /// comes back only with the reason why it could not.
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub fn become_person(
        &self,
        name: &str,
        user: User,
        home: &str,
        more: &[OsString],
    ) -> std::io::Error {
        let me = match std::env::current_exe() {
            Ok(me) => me,
            Err(error) => return error,
        };
        let kept = ["PATH", "TERM", "LANG", "LC_ALL", "NO_COLOR", "HEPH_UNDER_TEST"];
        let kept = kept.iter().filter_map(|key| Some((*key, std::env::var_os(key)?)));
        Command::new(me)
            .args(std::env::args_os().skip(1))
            .args(more)
            .env_clear()
            .envs(kept.collect::<Vec<_>>())
            .envs([("HOME", home), ("USER", name), ("LOGNAME", name)])
            .env("XDG_RUNTIME_DIR", format!("/run/user/{}", user.uid))
            .current_dir("/")
            .gid(user.gid)
            .uid(user.uid)
            .exec()
    }
}
