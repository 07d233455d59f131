//! What an API is: its channels, which way and by which pattern messages pass there, and their shapes, each with the
//! releases in which it holds.
//!
//! A description of an API is data, one file each under `src/protocol/apis`; [`read()`] has their notation. What an EVerest makes
//! of a message beyond its shape is no business of a description. Pure.

mod behaviour;
mod known;
pub mod names;
mod notation;
mod read;

use super::deviations::{Deviation, Deviations};
use super::release::Release;
pub use behaviour::{Behaviour, Described, RETAINED};
pub(super) use known::{TEXTS, place_of, place_of_channel, stands_at};
pub use known::{add, all_built_in, at, channels, known, listed, module_names, name_at, of, of_modules, places};
pub use read::read;

/// An API, or the types that several have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Api {
    /// Its level in topics, its name in discovery and in scenarios.
    pub name: String,
    /// What its modules do, a sentence without its period.
    pub title: String,
    /// Where its topics begin, if not as usual with `everest_api/VERSION/NAME/MODULE`.
    pub pathname: Option<String>,
    /// EVerest's own description of it.
    pub source: String,
    /// Where messages pass.
    pub channels: Vec<Channel>,
    /// The types that have a name.
    pub types: Vec<(String, Shape)>,
}

/// A place where messages of one kind pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// The name used in scenarios and reports.
    pub name: String,
    /// What a message here is called in a sentence, without an article.
    pub called: String,
    /// Of or to whom it is, where its address alone says too little.
    pub whose: Option<String>,
    /// Where a message says what it is about, a JSON pointer: messages about different things have no order among each
    /// other.
    pub about: Option<String>,
    /// The address below the pathname.
    pub address: String,
    /// Whether EVerest publishes here; otherwise its clients do.
    pub is_from_everest: bool,
    /// How messages pass.
    pub pattern: Pattern,
    /// What passes; of a request, with its envelope.
    pub payload: Shape,
    /// What comes back.
    pub reply: Option<Reply>,
    /// When it is there.
    pub when: When,
}

/// What answers a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// What it is called in a sentence, without an article.
    pub called: String,
    /// What it consists of.
    pub payload: Shape,
}

/// How messages pass on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// Something is told, whenever it changes.
    Variable,
    /// Something is to be done; nobody replies.
    Command,
    /// Something is to be done or told, and is replied to.
    Request,
    /// What was told last is to be told again, to whoever asks.
    LatchedGet,
    /// An error is raised or cleared.
    Error,
    /// EVerest lives.
    Heartbeat,
    /// The client lives.
    CommunicationCheck,
}

/// What a value may be.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Anything.
    Any,
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer {
        /// The smallest.
        min: Option<i64>,
        /// The largest.
        max: Option<i64>,
    },
    /// A number.
    Number {
        /// The smallest.
        min: Option<f64>,
        /// The largest.
        max: Option<f64>,
    },
    /// A text; its format and its pattern are known and not judged.
    Text {
        /// The fewest characters.
        shortest: Option<u64>,
        /// The most characters.
        longest: Option<u64>,
        /// What JSON Schema calls its format.
        format: Option<String>,
        /// A regular expression.
        pattern: Option<String>,
    },
    /// One of several words.
    Words(Vec<Word>),
    /// A list.
    List {
        /// What each of its elements is.
        of: Box<Shape>,
        /// The fewest elements.
        shortest: Option<u64>,
        /// The most elements.
        longest: Option<u64>,
    },
    /// An object.
    Object {
        /// Its fields.
        fields: Vec<Field>,
        /// Whether it may have no others.
        is_closed: bool,
    },
    /// A type of this API, or `API.TYPE` of another.
    Named(String),
    /// The same, or `null`.
    OrNull(Box<Shape>),
    /// Any one of these, in no order.
    Alternatives {
        /// What it may be.
        shapes: Vec<Shape>,
        /// Whether it must be no second one, too; known and not judged.
        is_exclusive: bool,
    },
    /// The first of these that holds.
    Varying(Vec<Variant>),
}

/// A word of an enumeration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The word.
    pub text: String,
    /// When it is there.
    pub when: When,
}

/// A field of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its key.
    pub name: String,
    /// When an object must have it; `None` if it need not.
    pub required: Option<When>,
    /// What it is.
    pub shape: Shape,
    /// When it is there.
    pub when: When,
}

/// A shape that does not hold in every release.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// The shape.
    pub shape: Shape,
    /// When it holds.
    pub when: When,
}

/// When something holds: by the specification, and in EVerest as it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// The first and the last release whose specification has it; `None` if none has.
    pub specified: Option<(Release, Release)>,
    /// When it runs, which is what messages are judged by.
    pub runs: Runs,
}

/// When something holds in EVerest as it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// In every release.
    Always,
    /// In the releases that specify it.
    AsSpecified,
    /// Where a deviation is in force.
    If(Deviation),
    /// Where a deviation is not in force.
    Unless(Deviation),
}

impl When {
    /// In every release.
    pub const ALWAYS: When = When { specified: Some((Release::V1_0, Release::Next)), runs: Runs::AsSpecified };

    /// Whether the specification of a release has it.
    pub fn is_specified(self, release: Release) -> bool {
        self.specified.is_some_and(|(first, last)| (first..=last).contains(&release))
    }

    /// Whether it holds under these deviations.
    pub fn runs(self, in_force: Deviations) -> bool {
        match self.runs {
            Runs::Always => true,
            Runs::AsSpecified => self.is_specified(in_force.release()),
            Runs::If(deviation) => in_force.is_on(deviation),
            Runs::Unless(deviation) => !in_force.is_on(deviation),
        }
    }
}

impl Default for When {
    fn default() -> Self {
        Self::ALWAYS
    }
}

impl Api {
    /// A channel by its name.
    pub fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.name == name)
    }

    /// A type by its name.
    pub fn named(&self, name: &str) -> Option<&Shape> {
        self.types.iter().find(|(known, _)| known == name).map(|(_, shape)| shape)
    }

    /// The API and the type that a name in a shape of this one stands for.
    pub fn resolve<'a>(&'a self, name: &'a str) -> Option<(&'a Api, &'a str, &'a Shape)> {
        let (api, name) = match name.split_once('.') {
            Some((api, name)) => (of(api)?, name),
            None => (self, name),
        };
        Some((api, name, api.named(name)?))
    }
}
