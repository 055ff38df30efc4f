//! heph-ops: argv in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    heph_ops::cli::main().into()
}
