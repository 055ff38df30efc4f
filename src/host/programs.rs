//! Running programs.

use std::{
    fs::OpenOptions,
    io::{Read, Write},
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Context;
use hephd::error::{Code, Error, Result, file};

use super::Host;
use crate::guard;

impl Host {
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn command(&self, argv: &[String]) -> Result<Command> {
        let [program, args @ ..] = argv else { return Err(Error::internal("an empty command")) };
        if self.under_test {
            guard::refuse_real(argv)?;
        }
        let mut command = Command::new(program);
        // A signal from the terminal is ours to tell, not the program's.
        command.args(args).stdin(Stdio::null()).process_group(0);
        // Under sudo it may be somebody else's; the folder below says enough.
        command.env_remove("DBUS_SESSION_BUS_ADDRESS");
        if let Some(dir) = self.runtime_dir() {
            command.env("XDG_RUNTIME_DIR", dir);
        }
        Ok(command)
    }

    /// Runs a program to its end and gives what it printed.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, argv: &[String]) -> Result<Output> {
        let output = self.command(argv)?.output();
        Ok(output.with_context(|| format!("cannot run {}", argv.join(" ")))?)
    }

    /// The same of a program that has been seen to hang; none where it does.
    ///
    /// # Errors
    /// As [`Host::run`].
    pub fn run_within(&self, argv: &[String], deadline: Duration) -> Result<Option<Output>> {
        let mut command = self.command(argv)?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().with_context(|| format!("cannot run {}", argv.join(" ")))?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (out, err) = (read_beside(out), read_beside(err));
        let Some(status) = self.poll(deadline, || child.try_wait().ok().flatten()) else {
            let _ = child.kill();
            let _ = child.wait();
            return Ok(None);
        };
        let text = |reader: JoinHandle<Vec<u8>>| reader.join().unwrap_or_default();
        Ok(Some(Output { status, stdout: text(out), stderr: text(err) }))
    }

    /// Starts a program that is fed a text; its output is the caller's to read.
    ///
    /// # Errors
    /// When it cannot be started.
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub fn pipe_through(&self, argv: &[String], text: String) -> Result<Child> {
        let [program, args @ ..] = argv else { return Err(Error::internal("an empty command")) };
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A signal from the terminal is ours to tell, not the program's.
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| {
            Error::new(
                Code::SourceUnreachable,
                format!("cannot run {program}: {error}"),
                format!("install {program} on this machine"),
            )
        })?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that has ended already says why by its exit.
            std::thread::spawn(move || stdin.write_all(text.as_bytes()));
        }
        Ok(child)
    }

    /// Starts a program that tells a person what to do: its standard error is
    /// ours, what it answers is the caller's to read.
    ///
    /// # Errors
    /// When it cannot be started.
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub fn ask_person_by(&self, argv: &[String]) -> Result<Child> {
        let [program, args @ ..] = argv else { return Err(Error::internal("an empty command")) };
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(command.spawn().with_context(|| format!("cannot run {program}"))?)
    }

    /// Starts a program beside this one; what it prints goes into a file. Its
    /// standard input ends when this process does, however that ends.
    ///
    /// # Errors
    /// When it cannot be started.
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub fn start(&self, argv: &[String], log: &Path) -> Result<Child> {
        let [program, args @ ..] = argv else { return Err(Error::internal("an empty command")) };
        let mut options = OpenOptions::new();
        let log =
            options.create(true).append(true).mode(0o600).open(log).map_err(file(log, "open"))?;
        let (stdin, stderr) = (Stdio::piped(), log.try_clone().map_err(Error::internal)?);
        let mut command = Command::new(program);
        command.args(args).stdin(stdin).stdout(log).stderr(stderr).process_group(0);
        Ok(command.spawn().with_context(|| format!("cannot run {program}"))?)
    }
}

/// Reads to the end beside whoever waits for the program.
fn read_beside(from: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        if let Some(mut from) = from {
            let _ = from.read_to_end(&mut all);
        }
        all
    })
}
