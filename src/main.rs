//! The `khumbu` binary: hands its arguments to [`khumbu::cli`].

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    khumbu::cli::run(std::env::args_os())
}
