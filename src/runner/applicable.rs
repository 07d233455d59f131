//! Why a scenario is not played: its own word, the release, or what the module is and cannot do. Looks and says; judges
//! no module.

use super::known::{Contradiction, needs_start};
use super::settings::{ModuleSource, Scene};
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::ApiType;
use crate::protocol::side::Side;
use crate::scenario::step::Injects;
use crate::scenario::{Pointer, lacking};

/// Why a scenario is not played: its own word, the release, or the module.
pub fn not_applicable(scene: &Scene<'_>) -> Option<Diagnostic> {
    let scenario = scene.scenario;
    if !scenario.holds_for(scene.station.release) {
        let names: Vec<_> = scenario.releases().iter().map(|release| release.name()).collect();
        let headline = format!("the scenario holds for {} only", names.join(", "));
        let diagnostic = Diagnostic::new(Severity::Note, "release/not-listed", headline);
        return Some(diagnostic.at(scenario.place("/releases")));
    }
    if let Some(Contradiction { pointer, wanted, running }) = scene.contradictions.first() {
        let key = pointer.trim_start_matches("/station/").replace('/', ".");
        let headline = format!("the EVerest that runs is another one: its `{key}` is {running}, not {wanted}");
        let help = "describe it in the station file that `module: {station: FILE}` of khumbu.yaml names, or have khumbu start it";
        let diagnostic = Diagnostic::new(Severity::Note, "module/other-station", headline);
        return Some(diagnostic.at(scenario.place(pointer)).with_help(help));
    }
    let note = |id, headline| Diagnostic::new(Severity::Note, id, headline);
    let is_attached = scene.settings.module == ModuleSource::Attached && scenario.model.under_test == Side::Everest;
    if let Some(at) = needs_start(scenario, scene.station.release).filter(|_| is_attached) {
        let headline = "the scenario is about EVerest's start, and the module runs already".to_owned();
        return Some(note("module/runs-already", headline).at(scenario.place(&at)));
    }
    if scene.has_prefix_of_its_own() && scene.settings.module == ModuleSource::Attached {
        let headline = "the scenario is about another external prefix, and the module runs already".to_owned();
        return Some(note("module/runs-already", headline).at(scenario.place("/external_prefix")));
    }
    lacking(scenario, &scene.station)
        .or_else(|| {
            let api = what_it_lacks(scene)?.name();
            Some(note("module/lacks", format!("the module was declared to have no `{api}`")))
        })
        .or_else(|| {
            let headline = "the module asks one validator only, the `auth_token_validator` of its station file";
            Some(note("module/lacks", headline.to_owned()).at(scenario.place(&second_validator(scene)?)))
        })
        .or_else(|| {
            let headline = "faults befall messages at khumbu's own broker only; another one passes them on unchanged";
            Some(note("broker/passes-on", headline.to_owned()).at(scenario.place(&befalls_messages(scene)?)))
        })
        .or_else(|| {
            let command = what_it_cannot(scene)?;
            Some(note("module/cannot", format!("the module was declared not to follow `{command}`")))
        })
}

/// The first API module that the scenario needs EVerest to have and that it has not.
fn what_it_lacks(scene: &Scene<'_>) -> Option<ApiType> {
    let model = &scene.scenario.model;
    let mut lacks = scene.settings.lacks.iter().copied().filter(|_| model.under_test == Side::Everest);
    lacks.find(|api| model.station.cadence(*api).is_some())
}

/// Where the scenario wants a second validator of an EVerest whose one validator the station file names.
fn second_validator(scene: &Scene<'_>) -> Option<Pointer> {
    scene.station.auth_token_validator.as_ref()?;
    let (name, _) = scene.station.tokens.iter().find(|(_, token)| !token.other_validators.is_empty())?;
    Some(Pointer::from("/station/tokens").key(name).key("other_validators"))
}

/// Where the scenario injects faults into messages that another broker hands over.
fn befalls_messages(scene: &Scene<'_>) -> Option<Pointer> {
    scene.settings.upstream.as_ref()?;
    let rows = scene.scenario.rows(scene.frame(), scene.station.release);
    rows.into_iter().find(|(_, row)| row.injects == Injects::Messages).map(|(at, row)| at.key(row.key))
}

/// The first command that the scenario needs the module to follow and that it cannot.
fn what_it_cannot(scene: &Scene<'_>) -> Option<&'static str> {
    let rows = scene.scenario.rows(scene.frame(), scene.station.release);
    let mut needed = rows.iter().filter_map(|(_, row)| row.follows);
    needed.find(|name| scene.settings.cannot.contains(*name))
}
