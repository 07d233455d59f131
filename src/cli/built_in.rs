//! The built-in modules as they are named on the command line: `builtin`, `builtin:SIDE`, `builtin:SIDE?bug=NAME`.

use super::module_flags::side;
use crate::conformance::requirements;
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::side::Side;
use crate::scenario::suggestion;
use crate::sim::bugs::{self, Bug};

/// A built-in module.
#[derive(Debug)]
pub struct BuiltIn {
    /// Its side; that of each scenario if absent.
    pub side: Option<Side>,
    /// Its deliberate fault.
    pub bug: Option<&'static Bug>,
}

/// What lists them.
const LIST: &str = "khumbu run --list-bugs   (lists them all)";

impl BuiltIn {
    /// Whether a command line means one, rightly written or not.
    pub fn is_meant(command: &str) -> bool {
        command.strip_prefix("builtin").is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '?']))
    }

    /// Reads the name of one.
    ///
    /// # Errors
    /// `usage/bad-value`, `usage/unknown-bug`.
    pub fn read(name: &str) -> Result<Self, Box<Diagnostic>> {
        let bad = |headline: String| Diagnostic::new(Severity::Error, "usage/bad-value", headline);
        let (module, query) = name.split_once('?').map_or((name, None), |(module, query)| (module, Some(query)));
        let own_side = module.strip_prefix("builtin:").map(side).transpose();
        let Ok(own_side) = own_side else {
            let headline = format!("there is no module `{module}`, only `builtin:client` and `builtin:everest`");
            return Err(Box::new(bad(headline)));
        };
        let Some(query) = query else { return Ok(Self { side: own_side, bug: None }) };
        let Some(wanted) = query.strip_prefix("bug=") else {
            let headline = format!("module `{module}` takes `bug=NAME`, not `{query}`");
            return Err(Box::new(bad(headline).with_help(LIST)));
        };
        let known = bugs::all().find(|bug| bug.name == wanted);
        match (own_side, known) {
            (None, known) => {
                let help = known.map_or_else(|| "--module 'builtin:client?bug=NAME'".to_owned(), flag);
                let headline = format!("module `{module}` has no side: a bug is one of a client or of an EVerest");
                Err(Box::new(bad(headline).with_help(help)))
            }
            (Some(side), Some(bug)) if bug.side == side => Ok(Self { side: Some(side), bug: Some(bug) }),
            (Some(_), Some(bug)) => {
                let headline = format!("module `{module}` cannot have `{wanted}`: that is a bug of the other side");
                Err(Box::new(unknown(headline).with_help(flag(bug))))
            }
            (Some(side), None) => {
                let near = suggestion(wanted, bugs::of(side).map(|bug| bug.name));
                let near = near.map(|name| format!(", did you mean `{name}`?")).unwrap_or_default();
                Err(Box::new(unknown(format!("module `{module}` has no bug `{wanted}`{near}")).with_help(LIST)))
            }
        }
    }
}

fn unknown(headline: String) -> Diagnostic {
    Diagnostic::new(Severity::Error, "usage/unknown-bug", headline)
}

/// The flag that asks for a bug.
fn flag(bug: &Bug) -> String {
    format!("--module 'builtin:{}?bug={}'", bug.side.name(), bug.name)
}

/// Every bug as text: how it is asked for, what the module does, and the requirement that it breaks.
pub fn list_bugs() -> String {
    let entries = bugs::all().map(|bug| {
        let statement = requirements::find(bug.breaks).map_or("", |requirement| requirement.statement);
        let Bug { name, does, breaks, .. } = bug;
        format!("builtin:{}?bug={name}\n  does    {does}\n  breaks  {breaks}: {statement}\n\n", bug.side.name())
    });
    entries.collect()
}
