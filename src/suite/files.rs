//! The files of the suite, as they were when the binary was built.

/// A scenario file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// Its path in khumbu's repository, for example `scenarios/client/check_repeated.yaml`.
    pub path: &'static str,
    /// Its whole text.
    pub text: &'static str,
}

/// What the path of each begins with.
pub const ROOT: &str = "scenarios";

/// Every scenario of the suite, by path. Goldens are no part of it: they are pictures of khumbu's own modules.
pub static FILES: &[File] = &include!(concat!(env!("OUT_DIR"), "/suite.rs"));
