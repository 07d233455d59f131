//! The `khumbu` binary: hands its arguments to [`khumbu::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    khumbu::cli::run(std::env::args_os())
}
