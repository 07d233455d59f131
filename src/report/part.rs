//! Which part of a whole a report is of, so that `khumbu merge` can tell whether reports make a whole, and which.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::outcome::KnownFailure;
use crate::protocol::release::Release;

/// The version of khumbu.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// One of several parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shard {
    /// Which, from 1 on.
    pub index: usize,
    /// Of how many.
    pub of: usize,
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// What was played of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The version of khumbu that played.
    pub khumbu: String,
    /// The fingerprint of all scenarios that were chosen, in all shards together.
    pub suite: String,
    /// How many these are, each release counted.
    pub plays: usize,
    /// The shard; absent if it is all.
    pub shard: Option<Shard>,
    /// What is known to fail: what that excuses, and whether it is met after all, only the whole can tell.
    pub known_failures: Vec<KnownFailure>,
    /// Whether what is flaky passes.
    pub flaky_passes: bool,
    /// What was laid over every play, step by step as written.
    pub faults: Vec<String>,
    /// Whether every play was played under each fault that is survived (`--sweep`).
    pub sweep: bool,
    /// Whether scenarios were chosen by a word or a side, so that what the others judge is left out.
    pub selected: bool,
}

impl Part {
    /// Whether it is all.
    pub fn is_whole(&self) -> bool {
        self.shard.is_none_or(|shard| shard.of == 1)
    }

    /// The part of these plays, each with its path, its text and its release, in this order.
    pub fn new<'p>(
        plays: impl Iterator<Item = (&'p str, &'p str, Release)>,
        shard: Option<Shard>,
        known: &[KnownFailure],
    ) -> Self {
        let mut fingerprint = Fingerprint::default();
        let mut count = 0;
        for (path, text, release) in plays {
            count += 1;
            for piece in [path, text, release.name()] {
                fingerprint.add(piece.as_bytes());
            }
        }
        Self {
            khumbu: VERSION.to_owned(),
            suite: format!("{:016x}", fingerprint.0),
            plays: count,
            shard,
            known_failures: known.to_vec(),
            flaky_passes: false,
            faults: Vec::new(),
            sweep: false,
            selected: false,
        }
    }
}

/// FNV-1a of 64 bits: it guards against mistakes, and not against anybody who wants to deceive himself.
struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    /// Takes a text, and that it ends here.
    fn add(&mut self, bytes: &[u8]) {
        // No text has this byte.
        for byte in bytes.iter().chain(&[0xff]) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
