//! Errors that people, scripts and Ansible can act on.
//!
//! Every failure is a [`Code`] (a stable slug), one line that names the thing,
//! and one line that says what to do next. The exit code follows from the
//! code, in one match. What nobody foresaw is `internal`, with its cause.

use std::fmt;

/// What went wrong, as a stable slug. Scripts match on it; it is only ever
/// added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the slug is the documentation; see docs/reference/commands.md")]
pub enum Code {
    AuthFailed,
    BackupNotFound,
    ChecksumMismatch,
    ConfigInvalid,
    ConflictChanged,
    CrashLoop,
    DiskFailed,
    FileFailed,
    HubUnreachable,
    IdReused,
    InsecurePermissions,
    Internal,
    Interrupted,
    IssuerMismatch,
    NetworkFilesystem,
    NoOwnerYet,
    NoServiceManager,
    NoSpace,
    NoUserBus,
    NodeNotFound,
    NotAHephStore,
    NotReady,
    NotSupported,
    OwnerMismatch,
    PortInUse,
    SameFile,
    SameOrigin,
    SchemaNewer,
    SchemaOlder,
    ServiceNotFound,
    SourceIsHub,
    SourceNotFound,
    SourceUnreachable,
    StoreCorrupt,
    StoreDiffers,
    StoreInUse,
    StoreMissing,
    TargetHasNewerData,
    TargetHasOtherOwner,
    TargetNotEmpty,
    TargetSidecarLeft,
    Terminated,
    TooFewFiles,
    UnitForeign,
    Usage,
    ValueTooLarge,
}

impl Code {
    /// The slug as it stands in JSON and in brackets behind a message.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthFailed => "auth_failed",
            Self::BackupNotFound => "backup_not_found",
            Self::ChecksumMismatch => "checksum_mismatch",
            Self::ConfigInvalid => "config_invalid",
            Self::ConflictChanged => "conflict_changed",
            Self::CrashLoop => "crash_loop",
            Self::DiskFailed => "disk_failed",
            Self::FileFailed => "file_failed",
            Self::HubUnreachable => "hub_unreachable",
            Self::IdReused => "id_reused",
            Self::InsecurePermissions => "insecure_permissions",
            Self::Internal => "internal",
            Self::Interrupted => "interrupted",
            Self::IssuerMismatch => "issuer_mismatch",
            Self::NetworkFilesystem => "network_filesystem",
            Self::NoOwnerYet => "no_owner_yet",
            Self::NoServiceManager => "no_service_manager",
            Self::NoSpace => "no_space",
            Self::NoUserBus => "no_user_bus",
            Self::NodeNotFound => "node_not_found",
            Self::NotAHephStore => "not_a_heph_store",
            Self::NotReady => "not_ready",
            Self::NotSupported => "not_supported",
            Self::OwnerMismatch => "owner_mismatch",
            Self::PortInUse => "port_in_use",
            Self::SameFile => "same_file",
            Self::SameOrigin => "same_origin",
            Self::SchemaNewer => "schema_newer",
            Self::SchemaOlder => "schema_older",
            Self::ServiceNotFound => "service_not_found",
            Self::SourceIsHub => "source_is_hub",
            Self::SourceNotFound => "source_not_found",
            Self::SourceUnreachable => "source_unreachable",
            Self::StoreCorrupt => "store_corrupt",
            Self::StoreDiffers => "store_differs",
            Self::StoreInUse => "store_in_use",
            Self::StoreMissing => "store_missing",
            Self::TargetHasNewerData => "target_has_newer_data",
            Self::TargetHasOtherOwner => "target_has_other_owner",
            Self::TargetNotEmpty => "target_not_empty",
            Self::TargetSidecarLeft => "target_sidecar_left",
            Self::Terminated => "terminated",
            Self::TooFewFiles => "too_few_files",
            Self::UnitForeign => "unit_foreign",
            Self::Usage => "usage",
            Self::ValueTooLarge => "value_too_large",
        }
    }

    /// The process's exit code. Everything that is not named here was refused
    /// by a safety check before anything was touched: 4.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage | Self::ConfigInvalid => 2,
            Self::NotReady | Self::CrashLoop | Self::HubUnreachable | Self::AuthFailed => 3,
            Self::Interrupted => 130,
            Self::Terminated => 143,
            _ => 4,
        }
    }

    /// The code of a slug, as it comes back over the local socket.
    #[must_use]
    pub fn from_slug(slug: &str) -> Option<Self> {
        ALL.iter().copied().find(|code| code.as_str() == slug)
    }
}

/// Every code, for the reference and for [`Code::from_slug`].
pub const ALL: &[Code] = &[
    Code::AuthFailed,
    Code::BackupNotFound,
    Code::ChecksumMismatch,
    Code::ConfigInvalid,
    Code::ConflictChanged,
    Code::CrashLoop,
    Code::DiskFailed,
    Code::FileFailed,
    Code::HubUnreachable,
    Code::IdReused,
    Code::InsecurePermissions,
    Code::Internal,
    Code::Interrupted,
    Code::IssuerMismatch,
    Code::NetworkFilesystem,
    Code::NoOwnerYet,
    Code::NoServiceManager,
    Code::NoSpace,
    Code::NoUserBus,
    Code::NodeNotFound,
    Code::NotAHephStore,
    Code::NotReady,
    Code::NotSupported,
    Code::OwnerMismatch,
    Code::PortInUse,
    Code::SameFile,
    Code::SameOrigin,
    Code::SchemaNewer,
    Code::SchemaOlder,
    Code::ServiceNotFound,
    Code::SourceIsHub,
    Code::SourceNotFound,
    Code::SourceUnreachable,
    Code::StoreCorrupt,
    Code::StoreDiffers,
    Code::StoreInUse,
    Code::StoreMissing,
    Code::TargetHasNewerData,
    Code::TargetHasOtherOwner,
    Code::TargetNotEmpty,
    Code::TargetSidecarLeft,
    Code::Terminated,
    Code::TooFewFiles,
    Code::UnitForeign,
    Code::Usage,
    Code::ValueTooLarge,
];

/// A failure: what, about which thing, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The stable slug.
    pub code: Code,
    /// One line that names the thing: a path, a URL, a flag.
    pub message: String,
    /// One line that says what to do.
    pub hint: String,
    /// Something was changed and put back: exit 1, whatever the code.
    pub attempted: bool,
}

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with its next step.
    pub fn new(code: Code, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: hint.into(), attempted: false }
    }

    /// A bad flag or word on the command line.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Code::Usage, message, hint)
    }

    /// Something that nobody foresaw.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(
            Code::Internal,
            message.to_string(),
            "run it again with -v; if it stays, report it with what it prints",
        )
    }

    /// The same failure, met after something had been changed and put back.
    #[must_use]
    pub fn after_attempt(mut self) -> Self {
        self.attempted = true;
        self
    }

    /// 1 for what was attempted and put back, else what the code says; a
    /// signal is told in any case.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self.code {
            Code::Interrupted | Code::Terminated => self.code.exit_code(),
            _ if self.attempted => 1,
            code => code.exit_code(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)
    }
}

impl std::error::Error for Error {}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(known) => known,
            Err(unknown) => Self::internal(format!("{unknown:#}")),
        }
    }
}

/// Names the thing in an I/O error: `file(path, "write")`.
pub fn file<'a>(
    path: &'a std::path::Path,
    verb: &'a str,
) -> impl FnOnce(std::io::Error) -> Error + 'a {
    move |error| {
        let message = format!("cannot {verb} {}: {error}", path.display());
        match error.kind() {
            std::io::ErrorKind::StorageFull
            | std::io::ErrorKind::QuotaExceeded
            | std::io::ErrorKind::FileTooLarge => {
                Error::new(Code::NoSpace, message, "free some space there, then run it again")
            }
            _ if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => Error::new(
                Code::DiskFailed,
                message,
                "the disk does not hold what it is given: look at its health before anything else",
            ),
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                Error::new(
                    Code::InsecurePermissions,
                    message,
                    format!("make {} yours to {verb}, then run it again", path.display()),
                )
            }
            _ => Error::new(Code::FileFailed, message, "look at that path, then run it again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slug_leads_back_to_its_code() {
        for code in ALL {
            assert_eq!(Code::from_slug(code.as_str()), Some(*code));
        }
    }
}
