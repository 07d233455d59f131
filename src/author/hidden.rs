//! What no message shows of EVs and EVSEs: the simplest events at the station after which it says what was recorded.

use crate::fuzz::{Input, Led, Model};
use crate::protocol::control::{AtConnector, AtEvse, Command};
use crate::protocol::types::TokenValidationStatusMessage;

/// More than this happens unseen between two messages only where nobody could tell what.
const MOST: usize = 3;

/// What is looked for.
pub(super) struct Wanted<'a> {
    /// The statuses that follow each other closely, in their order.
    pub statuses: &'a [&'a TokenValidationStatusMessage],
    /// EVSEs at which something may have happened.
    pub evses: &'a [i32],
}

/// What was found.
pub(super) struct Found {
    /// The events, in their order.
    pub events: Vec<Command>,
    /// How many of the statuses follow then.
    pub matched: usize,
}

/// The fewest events before something (`act`, if it is known what) after which the station says the most of what is wanted;
/// `tries` is how many events may still be tried in all.
pub(super) fn events(model: &Model, act: Option<&Input>, wanted: &Wanted<'_>, tries: &mut usize) -> Found {
    let mut best = Found { events: Vec::new(), matched: score(model, Vec::new(), act, wanted) };
    let mut level = vec![(model.clone(), Vec::<Command>::new(), Vec::<Led>::new())];
    for _ in 0..MOST {
        let mut next = Vec::new();
        for (model, events, led) in &level {
            for command in candidates(wanted.evses) {
                if best.matched == wanted.statuses.len() || *tries == 0 {
                    return best;
                }
                let input = Input::Command(command.clone());
                if !model.would_move(&command) {
                    continue;
                }
                *tries -= 1;
                let mut after = model.clone();
                let led = led.iter().cloned().chain([after.led(&input)]).collect::<Vec<_>>();
                let matched = score(&after, led.clone(), act, wanted);
                let events: Vec<_> = events.iter().cloned().chain([command]).collect();
                if matched > best.matched {
                    best = Found { events: events.clone(), matched };
                }
                next.push((after, events, led));
            }
        }
        level = next;
    }
    best
}

fn candidates(evses: &[i32]) -> Vec<Command> {
    let at = |evse: i32| {
        let connector = AtConnector { evse, connector: None };
        let evse = AtEvse { evse };
        [
            Command::PlugIn(connector),
            Command::StartTransaction(evse),
            Command::StopTransaction(evse),
            Command::Unplug(evse),
            Command::ClearFault(connector),
            Command::InjectFault(connector),
        ]
    };
    evses.iter().copied().flat_map(at).collect()
}

/// How many of the wanted statuses the station says, as the first that it says of each token.
fn score(model: &Model, mut led: Vec<Led>, act: Option<&Input>, wanted: &Wanted<'_>) -> usize {
    if let Some(act) = act {
        led.push(model.clone().led(act));
    }
    let said: Vec<_> = led.iter().flat_map(|led| led.statuses.iter().map(|(_, status)| status.as_ref())).collect();
    let mut values: Vec<_> = wanted.statuses.iter().map(|status| &status.token.id_token.value).collect();
    values.sort_unstable();
    values.dedup();
    let of_token = |value: &String| {
        let own = |status: &&&TokenValidationStatusMessage| status.token.id_token.value == *value;
        let (said, wanted) = (said.iter().filter(own), wanted.statuses.iter().filter(own));
        said.zip(wanted).take_while(|(said, wanted)| is_same(said, wanted)).count()
    };
    let matched: usize = values.into_iter().map(of_token).sum();
    // What it says besides was not recorded.
    if said.len() > wanted.statuses.len() { matched.saturating_sub(1) } else { matched }
}

/// Whether a status that the station says is the recorded one.
pub(super) fn is_same(said: &TokenValidationStatusMessage, recorded: &TokenValidationStatusMessage) -> bool {
    let of = |status: &TokenValidationStatusMessage| status.token.connectors.clone().unwrap_or_default();
    said.status == recorded.status && of(said) == of(recorded)
}
