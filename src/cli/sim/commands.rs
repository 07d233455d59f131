//! The commands of `khumbu sim`: how each is written, what it does, and what may follow a word that is typed. Pure: prints
//! nothing, and does nothing at the station.

use crate::scenario::suggestion;

/// A command.
#[derive(Debug)]
pub struct Known {
    /// Its first word.
    pub name: &'static str,
    /// What follows it.
    takes: &'static [Takes],
    /// What it does, in the list of all.
    does: &'static str,
    /// The same at length.
    more: &'static str,
    example: &'static str,
}

/// A word that follows a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Evse,
    Token,
    Verdict,
    What,
    Command,
}

impl Takes {
    fn label(self) -> &'static str {
        match self {
            Self::Evse => "EVSE",
            Self::Token => "NAME",
            Self::Verdict => "VERDICT",
            Self::What => "WHAT",
            Self::Command => "[COMMAND]",
        }
    }
}

const fn at_evse(name: &'static str, does: &'static str, more: &'static str, example: &'static str) -> Known {
    Known { name, takes: &[Takes::Evse], does, more, example }
}

const KNOWN: [Known; 12] = [
    at_evse(
        "plug_in",
        "an EV is plugged in",
        "A token that was presented, or is presented within EVerest's time for it, is then authorized for this EVSE.",
        "plug_in 1",
    ),
    at_evse(
        "unplug",
        "the EV is unplugged",
        "A transaction and the authorization end with it. There has to be an EV at the EVSE.",
        "unplug 1",
    ),
    Known {
        name: "present_token",
        takes: &[Takes::Token],
        does: "a token of the station is presented",
        more: "Auth asks the validators, and tells clients what becomes of the token. A station file has `tokens` of its own; \
               without one, there are ALICE and BOB.",
        example: "present_token ALICE",
    },
    Known {
        name: "set_verdict",
        takes: &[Takes::Token, Takes::Verdict],
        does: "what validators will say of it",
        more: "It holds from the next time on that the token is presented.",
        example: "set_verdict ALICE Blocked",
    },
    at_evse(
        "start_transaction",
        "energy flows",
        "An EV has to be plugged in, and a token has to be authorized for the EVSE.",
        "start_transaction 1",
    ),
    at_evse("stop_transaction", "the transaction ends", "The EV is still plugged in afterwards.", "stop_transaction 1"),
    at_evse(
        "inject_fault",
        "the EVSE becomes unusable",
        "Auth authorizes no token for it any more, until `clear_fault`.",
        "inject_fault 2",
    ),
    at_evse("clear_fault", "the EVSE becomes usable again", "It takes back what `inject_fault` did.", "clear_fault 2"),
    Known {
        name: "heartbeats",
        takes: &[Takes::What],
        does: "pause, resume, every TIME, next NUMBER",
        more: "`every` changes the time between two heartbeats, such as 500ms or 2s, and `next` the number of the next one.",
        example: "heartbeats every 500ms",
    },
    Known {
        name: "restart_everest",
        takes: &[],
        does: "everything starts anew, also an EVerest that has ended",
        more: "EVs stay plugged in, and faults stay; what was authorized is not authorized any more.",
        example: "restart_everest",
    },
    Known {
        name: "status",
        takes: &[],
        does: "the station as JSON; `ended` says whether EVerest has",
        more: "It shows EVSEs, tokens and reservations as Auth sees them now.",
        example: "status",
    },
    Known {
        name: "help",
        takes: &[Takes::Command],
        does: "this, or more about a command",
        more: "It tells how a command is written, what it does, and gives an example.",
        example: "help plug_in",
    },
];

/// What follows `heartbeats`.
const HEARTBEATS: [&str; 4] = ["every", "next", "pause", "resume"];

/// What validators say of tokens.
pub const VERDICTS: [&str; 12] = [
    "Accepted",
    "Blocked",
    "ConcurrentTx",
    "Expired",
    "Invalid",
    "NoCredit",
    "NotAllowedTypeEVSE",
    "NotAtThisLocation",
    "NotAtThisTime",
    "PinRequired",
    "Timeout",
    "Unknown",
];

impl Known {
    fn usage(&self) -> String {
        self.takes.iter().fold(self.name.to_owned(), |usage, takes| usage + " " + takes.label())
    }

    fn line(&self) -> String {
        format!("{:<26}{}", self.usage(), self.does)
    }
}

/// The command of this name.
pub fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

/// All commands, a line each.
pub fn list() -> String {
    KNOWN.iter().map(|known| known.line() + "\n").collect()
}

/// One command at length.
///
/// # Errors
/// That there is none of that name.
pub fn help(name: &str) -> Result<String, String> {
    let known = find(name).ok_or_else(|| unknown(name))?;
    Ok(format!("{}\n    {}\nFor example:\n    {}\n", known.line(), known.more, known.example))
}

/// A line that begins with this word cannot be followed, and how it is written.
pub fn misused(name: &str) -> String {
    match find(name) {
        Some(known) => format!("write it like this: `{}`: {}", known.usage(), known.does),
        None => unknown(name),
    }
}

fn unknown(name: &str) -> String {
    if ["exit", "quit"].contains(&name) {
        return format!("unknown command `{name}`; Ctrl-C ends");
    }
    match suggestion(name, KNOWN.iter().map(|known| known.name)) {
        Some(meant) => format!("unknown command `{name}`; did you mean `{meant}`?"),
        None => format!("unknown command `{name}`; `help` lists them"),
    }
}

/// `did you mean …? `, if something was meant.
pub fn meant<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    suggestion(written, known).map_or_else(String::new, |meant| format!("did you mean `{meant}`? "))
}

/// The words that a station has for what is typed.
#[derive(Debug, Clone)]
pub struct Words {
    /// The names of its tokens.
    pub tokens: Vec<String>,
    /// How many EVSEs it has.
    pub evses: u8,
}

impl Words {
    /// Where the last word of what is typed begins, and what it may become.
    pub fn completions(&self, typed: &str) -> (usize, Vec<String>) {
        let start = typed.rfind(' ').map_or(0, |space| space + 1);
        let (before, last) = typed.split_at(start);
        let before: Vec<_> = before.split_ascii_whitespace().collect();
        let all = match before.as_slice() {
            [] => names(),
            [name, others @ ..] => {
                let takes = find(name).and_then(|known| known.takes.get(others.len()));
                takes.map(|takes| self.words(*takes)).unwrap_or_default()
            }
        };
        (start, all.into_iter().filter(|word| word.starts_with(last)).collect())
    }

    fn words(&self, takes: Takes) -> Vec<String> {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match takes {
            Takes::Evse => (1..=self.evses).map(|evse| evse.to_string()).collect(),
            Takes::Token => self.tokens.clone(),
            Takes::Verdict => owned(&VERDICTS),
            Takes::What => owned(&HEARTBEATS),
            Takes::Command => names(),
        }
    }
}

fn names() -> Vec<String> {
    KNOWN.iter().map(|known| known.name.to_owned()).collect()
}

/// What a command that is typed still takes.
pub fn still_to_come(typed: &str) -> Option<String> {
    let mut words = typed.split_ascii_whitespace();
    let known = find(words.next()?)?;
    // A word that is still typed counts as there.
    let left: Vec<_> = known.takes.get(words.count()..)?.iter().map(|takes| takes.label()).collect();
    let space = if typed.ends_with(' ') { "" } else { " " };
    (!left.is_empty()).then(|| format!("{space}{}", left.join(" ")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::protocol::types::AuthorizationStatus;

    fn words() -> Words {
        Words { tokens: vec!["ALICE".to_owned(), "BOB".to_owned()], evses: 3 }
    }

    #[test]
    fn each_word_is_completed_by_what_may_stand_there() {
        for (typed, start, wanted) in [
            ("pl", 0, &["plug_in"][..]),
            ("st", 0, &["start_transaction", "stop_transaction", "status"]),
            ("plug_in ", 8, &["1", "2", "3"]),
            ("  plug_in 2", 10, &["2"]),
            ("present_token A", 14, &["ALICE"]),
            ("set_verdict BOB NotAtThis", 16, &["NotAtThisLocation", "NotAtThisTime"]),
            ("heartbeats e", 11, &["every"]),
            ("help unp", 5, &["unplug"]),
            ("plug_in 1 ", 10, &[]),
            ("status ", 7, &[]),
            ("fly ", 4, &[]),
        ] {
            let (at, found) = words().completions(typed);
            assert_eq!((at, found.iter().map(String::as_str).collect::<Vec<_>>()), (start, wanted.to_vec()), "{typed}");
        }
        assert_eq!(words().completions("").1.len(), KNOWN.len());
    }

    #[test]
    fn what_is_still_to_come_is_shown() {
        for (typed, wanted) in [
            ("plug_in", Some(" EVSE")),
            ("plug_in ", Some("EVSE")),
            ("set_verdict ALICE", Some(" VERDICT")),
            ("plug_in 1", None),
            ("plug_in 1 2 3", None),
            ("plug", None),
            ("", None),
        ] {
            assert_eq!(still_to_come(typed).as_deref(), wanted, "{typed}");
        }
    }

    #[test]
    fn all_verdicts_are_known() {
        let schema = schemars::schema_for!(AuthorizationStatus).to_value();
        let all: Vec<_> = schema["enum"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        assert_eq!(all.len(), VERDICTS.len());
        assert!(all.iter().all(|word| VERDICTS.contains(word)), "{all:?}");
    }

    #[test]
    fn every_command_has_help_and_an_example_of_its_own() {
        for known in &KNOWN {
            let help = help(known.name).unwrap();
            assert!(help.starts_with(&known.usage()), "{help}");
            assert!(known.example.starts_with(known.name), "{help}");
        }
        assert_eq!(help("plugin").unwrap_err(), "unknown command `plugin`; did you mean `plug_in`?");
    }
}
