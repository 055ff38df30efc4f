//! What launchd is told, and what its answers mean.
//!
//! | exit | text | what it means here |
//! | --- | --- | --- |
//! | 3 | No such process | not loaded: what a bootout wants |
//! | 5 | Input/output error | at a bootstrap: the old one is not gone yet, or it is disabled; at a bootout: not loaded, on new systems |
//! | 36 | Operation now in progress | a bootout has begun |
//! | 37 | Operation already in progress | it is loaded, or still going |
//! | 112 | Could not find specified domain | nobody is logged in at the screen |
//! | 113 | Could not find specified service | not loaded |
//! | 119 | Service is disabled | somebody turned it off: it is turned on |
//! | 125 | Domain does not support specified action | as 112 |

use std::{path::PathBuf, time::Duration};

use hephd::error::{Code, Error, Result};

use super::launchctl;
use crate::host::Host;

/// launchctl has been seen to hang. No call of it waits longer.
const CALL: Duration = Duration::from_secs(5);

/// A service has 30 s to end before launchd kills it.
const GONE: Duration = Duration::from_secs(45);

/// How long a bootstrap is tried again: the old job may take that long to go.
const LOADED: Duration = Duration::from_secs(30);

/// One thing to tell launchd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Ends a service and unloads it; done when it is gone.
    Bootout {
        /// Domain and label.
        target: String,
    },
    /// Lets it start, also after a reboot.
    Enable {
        /// Domain and label.
        target: String,
    },
    /// Loads a service from its file.
    Bootstrap {
        /// Where to.
        domain: String,
        /// Domain and label.
        target: String,
        /// Its file.
        plist: PathBuf,
    },
    /// Starts what is loaded and does not run.
    Kickstart {
        /// Domain and label.
        target: String,
    },
}

impl Act {
    fn argv(&self) -> Vec<String> {
        match self {
            Self::Bootout { target } => launchctl(&["bootout", target]),
            Self::Enable { target } => launchctl(&["enable", target]),
            Self::Bootstrap { domain, plist, .. } => {
                launchctl(&["bootstrap", domain, &plist.display().to_string()])
            }
            Self::Kickstart { target } => launchctl(&["kickstart", target]),
        }
    }

    /// The act in words.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("run {}", self.argv().join(" "))
    }

    /// Does it.
    ///
    /// # Errors
    /// `not_ready` where it does not come to an end; `no_service_manager` where
    /// the domain is not there; else what launchctl says.
    pub fn carry_out(&self, host: &Host) -> Result<()> {
        match self {
            Self::Bootout { target } => self.bootout(host, target),
            Self::Bootstrap { target, .. } => self.bootstrap(host, target),
            Self::Enable { target } => match ask(host, &self.argv())? {
                answer if matches!(answer.code, 112 | 125) => Err(no_domain(target)),
                answer => answer.or_failed(self),
            },
            // Whether it runs is for whoever waits to see: it may do so already,
            // or launchd may be about to start it.
            Self::Kickstart { .. } => ask(host, &self.argv()).map(drop),
        }
    }

    fn bootout(&self, host: &Host, target: &str) -> Result<()> {
        let mut answer = ask(host, &self.argv())?;
        let gone = || match print(host, target) {
            Ok(None) => Some(Ok(())),
            Err(error) => Some(Err(error)),
            // It said that it did not do it: it is asked again.
            Ok(Some(_)) if !matches!(answer.code, 0 | 36 | 37) => match ask(host, &self.argv()) {
                Ok(again) => {
                    answer = again;
                    None
                }
                Err(error) => Some(Err(error)),
            },
            Ok(Some(_)) => None,
        };
        if let Some(seen) = host.poll(GONE, gone) {
            return seen;
        }
        answer.or_failed(self)?;
        Err(Error::new(
            Code::NotReady,
            format!("{target} has not ended in {} s", GONE.as_secs()),
            format!("look at it: launchctl print {target}"),
        ))
    }

    fn bootstrap(&self, host: &Host, target: &str) -> Result<()> {
        let mut last = None;
        let done = host.poll(LOADED, || {
            let answer = match ask(host, &self.argv()) {
                Ok(answer) => answer,
                Err(error) => return Some(Err(error)),
            };
            match answer.code {
                0 => return Some(Ok(())),
                112 | 125 => return Some(Err(no_domain(target))),
                119 => drop(ask(host, &launchctl(&["enable", target]))),
                // It may be disabled too, without saying so.
                5 => drop(ask(host, &launchctl(&["enable", target]))),
                37 | 17 => {}
                _ => return Some(answer.or_failed(self)),
            }
            last = Some(answer);
            None
        });
        match (done, last) {
            (Some(done), _) => done,
            (None, Some(answer)) => answer.or_failed(self),
            (None, None) => Ok(()),
        }
    }
}

/// What launchd says of a domain or a service; none where it is not there.
///
/// # Errors
/// Where it says something else, several times.
pub fn print(host: &Host, target: &str) -> Result<Option<String>> {
    let mut answer = ask(host, &launchctl(&["print", target]))?;
    for _ in 0..2 {
        if matches!(answer.code, 0 | 3 | 64 | 112 | 113 | 125) {
            break;
        }
        answer = ask(host, &launchctl(&["print", target]))?;
    }
    match answer.code {
        0 => Ok(Some(answer.out)),
        // 5 is all that some systems say to somebody who is not root.
        3 | 5 | 64 | 112 | 113 | 125 => Ok(None),
        code => Err(Error::internal(format!(
            "launchctl print {target} failed ({code}): {}",
            answer.said()
        ))),
    }
}

fn no_domain(target: &str) -> Error {
    Error::new(
        Code::NoServiceManager,
        format!("this Mac has no domain for {target}: nobody is logged in at its screen"),
        "for a Mac without a screen: sudo heph-ops install-service … --scope system --run-as NAME",
    )
}

/// What launchctl answered.
#[derive(Debug)]
pub struct Answer {
    code: i32,
    /// What it printed.
    pub out: String,
    err: String,
}

impl Answer {
    fn said(&self) -> &str {
        self.err.lines().chain(self.out.lines()).next().unwrap_or("it said nothing")
    }

    fn or_failed(&self, act: &Act) -> Result<()> {
        let what = format!("{} failed ({}): {}", act.argv().join(" "), self.code, self.said());
        match self.code {
            0 => Ok(()),
            122 => Err(Error::new(
                Code::InsecurePermissions,
                what,
                "its file must be its user's, root's for the machine, and nobody else's to write",
            )),
            _ => Err(Error::internal(what)),
        }
    }
}

/// Asks or tells launchctl something.
///
/// # Errors
/// `not_ready` where it hangs.
pub fn ask(host: &Host, argv: &[String]) -> Result<Answer> {
    let output = host.run_within(argv, CALL)?;
    let Some(output) = output else {
        return Err(Error::new(
            Code::NotReady,
            format!("{} has not answered in {} s", argv.join(" "), CALL.as_secs()),
            "run it again; if it hangs by hand too, restart the Mac",
        ));
    };
    Ok(Answer {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
