//! Where a value stands in a file: a JSON pointer (RFC 6901) that grows by a key or an index.

use std::fmt;
use std::ops::Deref;

/// A pointer. Whoever wants to read it as text may.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Pointer(String);

impl Pointer {
    /// The value of a key here.
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{self}/{}", escaped(key)))
    }

    /// An element of a list here, counted from 0.
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{self}/{index}"))
    }

    /// What a pointer that begins here leads to; an empty one leads nowhere else.
    pub fn below(&self, rest: &str) -> Self {
        Self(format!("{self}{rest}"))
    }
}

impl From<&str> for Pointer {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Deref for Pointer {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key as a token of a pointer.
pub fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
