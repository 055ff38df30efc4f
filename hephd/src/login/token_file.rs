//! `--token-file`: JSON, from a hub's url to its login. Mode 0600 from the
//! first byte, and refused with any other. What cannot be read is never
//! written over, and what belongs to other hubs stays as it is.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, OFlags, flock},
    io::Errno,
};
use serde_json::{Map, Value, json};
use url::Url;

use super::entry::Entry;
use crate::{
    config::loose_token_file,
    error::{Code, Error, Result, file},
    store::file::{folder, sync_to_medium},
};

/// A renewal that another process is at takes less, as a rule.
const LOCK_WAIT: Duration = Duration::from_secs(3);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Nobody has that many hubs.
const MAX_BYTES: u64 = 1 << 20;

/// The file that one was told of.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
}

/// Held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _held: File,
}

impl TokenFile {
    pub(super) fn at(path: &Path) -> Self {
        // A link stays a link: what it leads to is replaced.
        Self { path: path.canonicalize().unwrap_or_else(|_| path.to_owned()) }
    }

    /// The login at a hub.
    ///
    /// # Errors
    /// `insecure_permissions`; `file_failed` for what is no token file.
    pub(super) fn get(&self, hub: &Url) -> Result<Option<Entry>> {
        match self.read()?.remove(hub.as_str()) {
            None => Ok(None),
            Some(entry) => serde_json::from_value(entry).map(Some).map_err(|_| self.foreign()),
        }
    }

    /// Keeps other processes from changing the file. The lock is a file of
    /// its own, as the other one is replaced; and it stays, as one that is
    /// taken away while somebody waits for it is two.
    ///
    /// # Errors
    /// `file_failed` where somebody else has it for too long; the disk's.
    #[allow(clippy::disallowed_methods, reason = "no event tells of a lock and has a deadline")]
    pub(super) fn lock(&self) -> Result<Lock> {
        let path = self.beside(".lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
        let lock = options.open(&path).map_err(file(&path, "open"))?;
        let begun = Instant::now();
        loop {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock { _held: lock }),
                Err(Errno::WOULDBLOCK | Errno::INTR) if begun.elapsed() < LOCK_WAIT => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(Errno::WOULDBLOCK) => return Err(held_elsewhere(&path)),
                Err(error) => return Err(file(&path, "lock")(error.into())),
            }
        }
    }

    /// Puts the login at a hub in, or takes it out.
    ///
    /// # Errors
    /// As [`TokenFile::get`]; the disk's.
    pub(super) fn put(&self, _: &Lock, hub: &Url, entry: Option<&Entry>) -> Result<()> {
        let folder = folder(&self.path);
        let folder_open = File::open(folder).map_err(file(folder, "open"))?;
        let mut all = self.read()?;
        let before = all.clone();
        match entry {
            Some(entry) => drop(all.insert(hub.to_string(), json!(entry))),
            None => drop(all.remove(hub.as_str())),
        }
        if all == before {
            return Ok(());
        }
        self.replace(&Value::Object(all))?;
        folder_open.sync_all().map_err(file(folder, "sync"))
    }

    fn replace(&self, all: &Value) -> Result<()> {
        let new = self.beside(".new");
        // A crash may have left one; whoever writes now holds the lock.
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(file(&new, "replace")(error));
            }
            _ => {}
        }
        let written = write(&new, all).and_then(|()| std::fs::rename(&new, &self.path));
        written.map_err(|error| {
            let _ = std::fs::remove_file(&new);
            file(&self.path, "write")(error)
        })
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    }

    fn read(&self) -> Result<Map<String, Value>> {
        let open = match OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(&self.path)
        {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Map::new()),
            opened => opened.map_err(file(&self.path, "read"))?,
        };
        let meta = open.metadata().map_err(file(&self.path, "read"))?;
        if !meta.is_file() {
            return Err(self.foreign());
        }
        if meta.mode() & 0o777 != 0o600 {
            return Err(loose_token_file(&self.path, meta.mode() & 0o777));
        }
        if meta.uid() != rustix::process::geteuid().as_raw() {
            return Err(Error::new(
                Code::InsecurePermissions,
                format!("--token-file {} belongs to another user", self.path.display()),
                "make it yours, or give another path",
            ));
        }
        let mut text = Vec::new();
        open.take(MAX_BYTES).read_to_end(&mut text).map_err(file(&self.path, "read"))?;
        if text.is_empty() {
            return Ok(Map::new());
        }
        serde_json::from_slice(&text).map_err(|_| self.foreign())
    }

    /// What stands in it is not repeated: it may be a token all the same.
    fn foreign(&self) -> Error {
        Error::new(
            Code::FileFailed,
            format!("--token-file {} is no file of tokens", self.path.display()),
            "give another path; or move it away, and log in: heph auth login",
        )
    }
}

fn held_elsewhere(lock: &Path) -> Error {
    Error::new(
        Code::FileFailed,
        format!("another process has held {} for {} s", lock.display(), LOCK_WAIT.as_secs()),
        "try again; if that does not help, see who holds it: fuser, lsof",
    )
}

fn write(path: &Path, all: &Value) -> std::io::Result<()> {
    let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    new.write_all(format!("{all:#}\n").as_bytes())?;
    sync_to_medium(&new)
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    use super::{super::entry::entry_for_tests, *};

    fn hub(name: &str) -> Url {
        crate::config::parse_hub_url(&format!("http://{name}:8787")).unwrap()
    }

    fn put(file: &TokenFile, hub: &Url, entry: Option<&Entry>) -> Result<()> {
        file.put(&file.lock()?, hub, entry)
    }

    fn lay(path: &Path, text: &str) {
        let mut options = OpenOptions::new();
        let open = options.write(true).create(true).truncate(true).mode(0o600).open(path);
        open.unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o777
    }

    #[test]
    fn logins_at_several_hubs_do_not_meet() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        let file = TokenFile::at(&path);
        assert_eq!(file.get(&hub("a")).unwrap(), None);
        put(&file, &hub("a"), None).unwrap();
        assert!(!path.exists(), "nothing to write, nothing written");
        let (one, two) = (entry_for_tests("one", 1, 10), entry_for_tests("two", 1, 10));
        put(&file, &hub("a"), Some(&one)).unwrap();
        assert_eq!(mode(&path), 0o600);
        put(&file, &hub("b"), Some(&two)).unwrap();
        let slash = crate::config::parse_hub_url("http://a:8787/").unwrap();
        assert_eq!(file.get(&slash).unwrap().as_ref(), Some(&one));
        put(&file, &slash, None).unwrap();
        assert_eq!(file.get(&hub("a")).unwrap(), None);
        assert_eq!(file.get(&hub("b")).unwrap(), Some(two));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "it, and its lock");
    }

    #[test]
    fn whatever_is_no_token_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        for text in ["not json canary", "[1]", "\"canary\"", "{\"http://a:8787/\": \"canary\"}"] {
            lay(&path, text);
            let refused = TokenFile::at(&path).get(&hub("a")).unwrap_err();
            assert_eq!(refused.code, Code::FileFailed);
            assert!(!format!("{refused:?}").contains("canary"), "{refused:?}");
            if !text.starts_with('{') {
                let entry = entry_for_tests("one", 1, 10);
                put(&TokenFile::at(&path), &hub("a"), Some(&entry)).unwrap_err();
                assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            }
        }
    }

    #[test]
    fn others_may_not_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        put(&TokenFile::at(&path), &hub("a"), Some(&entry_for_tests("one", 1, 10))).unwrap();
        for wrong in [0o644, 0o640, 0o660, 0o700, 0o400, 0o604] {
            std::fs::set_permissions(&path, Permissions::from_mode(wrong)).unwrap();
            let file = TokenFile::at(&path);
            for refused in [file.get(&hub("a")).map(drop), put(&file, &hub("b"), None)] {
                let refused = refused.unwrap_err();
                assert_eq!(refused.code, Code::InsecurePermissions, "{wrong:o}");
                assert!(refused.hint.starts_with("chmod 600 "), "{}", refused.hint);
            }
        }
    }

    #[test]
    fn a_link_stays_and_a_crash_leaves_nothing_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("tokens"), dir.path().join("link"));
        put(&TokenFile::at(&path), &hub("a"), Some(&entry_for_tests("one", 1, 10))).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        lay(&dir.path().join("tokens.new"), "half");
        put(&TokenFile::at(&link), &hub("b"), Some(&entry_for_tests("two", 1, 10))).unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert!(TokenFile::at(&path).get(&hub("b")).unwrap().is_some());
        assert!(!dir.path().join("tokens.new").exists());
    }

    #[test]
    fn a_lock_that_is_held_is_named_and_not_waited_for_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        let held = TokenFile::at(&path).lock().unwrap();
        let begun = Instant::now();
        let refused = TokenFile::at(&path).lock().unwrap_err();
        assert!(begun.elapsed() >= LOCK_WAIT && begun.elapsed() < LOCK_WAIT * 3);
        assert_eq!(refused.code, Code::FileFailed);
        assert!(refused.message.contains("tokens.lock"), "{}", refused.message);
        // Reading needs no lock.
        assert_eq!(TokenFile::at(&path).get(&hub("a")).unwrap(), None);
        assert_eq!(mode(&dir.path().join("tokens.lock")), 0o600);
        drop(held);
        TokenFile::at(&path).lock().unwrap();
    }
}
