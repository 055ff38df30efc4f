//! A service in a few words: what each deed says, and how things stand after it.

use super::Deed;

/// A place that launchd loads services into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The session at the screen.
    Screen,
    /// What is there without one.
    Background,
}

/// How the service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Is {
    Down,
    /// It runs, in that place: our own supervisors have one only.
    Up(Place),
    /// Its supervisor was killed.
    Orphan,
    /// It runs in the background, and is loaded at the screen as well.
    Twice,
}

/// What is expected to be.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    pub launchd: bool,
    /// Somebody is logged in at the screen.
    pub login: bool,
    /// The interval of the service that is installed.
    pub installed: Option<u32>,
    pub is: Is,
}

impl Model {
    pub const fn new(launchd: bool, login: bool) -> Self {
        Self { launchd, login, installed: None, is: Is::Down }
    }

    /// Where something that is started now comes to.
    const fn place(&self) -> Place {
        if self.login { Place::Screen } else { Place::Background }
    }

    /// It can be done at all, and shows something.
    pub fn allows(&self, deed: Deed) -> bool {
        match deed {
            Deed::KillDaemon => matches!(self.is, Is::Up(_) | Is::Orphan),
            Deed::KillSupervisor => !self.launchd && self.is == Is::Up(Place::Screen),
            Deed::Login => self.launchd && !self.login,
            Deed::Logout => self.launchd && self.login,
            _ => true,
        }
    }

    /// The exit code that a command ends with, its status, and whether it says
    /// that it has changed something. None for what is no command of ours.
    pub fn answer(&self, deed: Deed) -> Option<(i32, &'static str, bool)> {
        let is_well = self.is == Is::Up(self.place());
        let said = |changes: bool, done: &'static str, already: &'static str| {
            Some((0, if changes { done } else { already }, changes))
        };
        match (deed, self.installed) {
            (Deed::Install(_), None) => Some((0, "installed", true)),
            (Deed::Install(interval), Some(old)) => {
                said(old != interval || !is_well, "updated", "already_installed")
            }
            (Deed::Uninstall, old) => said(old.is_some(), "uninstalled", "already_uninstalled"),
            (Deed::Start | Deed::Stop | Deed::Restart, None) => Some((4, "refused", false)),
            (Deed::Start, Some(_)) => said(!is_well, "started", "already_started"),
            (Deed::Stop, Some(_)) => said(self.is != Is::Down, "stopped", "already_stopped"),
            (Deed::Restart, Some(_)) => Some((0, "restarted", true)),
            _ => None,
        }
    }

    /// How things stand after it.
    pub fn follow(&mut self, deed: Deed) {
        let was = self.is;
        match deed {
            Deed::Install(interval) => self.installed = Some(interval),
            Deed::Uninstall => self.installed = None,
            Deed::Login => self.login = true,
            Deed::Logout => self.login = false,
            _ => {}
        }
        let up = Is::Up(self.place());
        let is_there = self.installed.is_some();
        self.is = match deed {
            Deed::Install(_) | Deed::Start | Deed::Restart if is_there => up,
            Deed::Start | Deed::Restart | Deed::Install(_) => was,
            Deed::Stop | Deed::Uninstall => Is::Down,
            Deed::KillDaemon if was == Is::Orphan => Is::Down,
            Deed::KillDaemon => was,
            Deed::KillSupervisor => Is::Orphan,
            // What launchd finds in its folder it loads, where somebody sits.
            Deed::Reboot if self.launchd && self.login && is_there => up,
            Deed::Reboot => Is::Down,
            Deed::Login if was == Is::Up(Place::Background) => Is::Twice,
            Deed::Login if is_there => up,
            Deed::Login => was,
            Deed::Logout if was == Is::Twice => Is::Up(Place::Background),
            Deed::Logout => Is::Down,
        };
    }
}
