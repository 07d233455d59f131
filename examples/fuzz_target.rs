//! Runs one of `tests/targets`. Built as it is for `ci/fuzz`, libFuzzer makes the inputs, guided by what they reach, and
//! `TARGET` in the environment says which target; built in the ordinary way, `fuzz_target TARGET FILE…` runs these files, which
//! is how a finding is looked at.
#![cfg_attr(fuzzing, no_main)]

#[path = "../tests/targets/mod.rs"]
mod targets;

use std::env;

use targets::{ALL, Target};

fn named(name: &str) -> &'static Target {
    ALL.iter().find(|target| target.name == name).expect("the name of a target")
}

#[cfg(fuzzing)]
mod guided {
    use std::sync::LazyLock;

    static RUN: LazyLock<fn(&[u8])> =
        LazyLock::new(|| super::named(&super::env::var("TARGET").expect("TARGET is the name of a target")).run);

    libfuzzer_sys::fuzz_target!(|bytes: &[u8]| RUN(bytes));
}

#[cfg(not(fuzzing))]
fn main() {
    let mut arguments = env::args().skip(1);
    let target = named(&arguments.next().expect("the name of a target"));
    for path in arguments {
        (target.run)(&std::fs::read(&path).expect("a file"));
    }
}
