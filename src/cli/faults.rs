//! `--fault`: a fault that is laid over scenarios, from the command line to its steps.

use std::sync::Arc;

use crate::conformance::{requirements, survived};
use crate::diagnostic::{Diagnostic, Severity};
use crate::runner::{Fault, Settings};
use crate::scenario::step::{Injects, Step};
use crate::scenario::{self, Known};

/// The fault that these steps make; none without any.
///
/// # Errors
/// `usage/bad-fault`; what is wrong with a step.
pub fn over(texts: &[String], settings: &Settings) -> Result<Option<Arc<Fault>>, Vec<Diagnostic>> {
    if texts.is_empty() {
        return Ok(None);
    }
    let fault = read(texts)?;
    if let Some(upstream) = settings.upstream.as_ref().filter(|_| befalls_messages(&fault)) {
        let headline =
            format!("`--fault` cannot befall messages on the broker `{upstream}`, which passes them on itself");
        return Err(refused(headline, "leave `--broker` out: khumbu's own broker injects faults"));
    }
    Ok(Some(Arc::new(fault)))
}

/// Whether a fault needs khumbu's own broker.
pub fn befalls_messages(fault: &Fault) -> bool {
    fault.steps.iter().any(|step| step.befalls().is_some())
}

/// A fault as its steps say it.
///
/// # Errors
/// `usage/bad-fault`; what is wrong with a step.
pub fn read(texts: &[String]) -> Result<Fault, Vec<Diagnostic>> {
    let steps = texts.iter().map(|text| step(text)).collect::<Result<_, _>>()?;
    let requirement = survived::by(texts).and_then(requirements::find);
    Ok(Fault { texts: texts.to_vec(), steps, requirement })
}

fn step(text: &str) -> Result<Step, Vec<Diagnostic>> {
    let frame =
        "description: a fault\nunder_test: client\nstation: {auth_token_provider: {}, auth_token_validator: {}}";
    let scenario = scenario::parse("--fault", &format!("{frame}\nsteps:\n  - {text}\n"), Known::default())?;
    let (frame, [step]) =
        (scenario.model.frame(), <[Step; 1]>::try_from(scenario.model.steps).map_err(|_| other(text))?);
    let is_fault = step.row(frame).injects != Injects::Nothing && !matches!(step, Step::LiftFaults);
    if is_fault || matches!(step, Step::Disconnect) { Ok(step) } else { Err(other(text)) }
}

fn other(text: &str) -> Vec<Diagnostic> {
    let help = "write one step, for example `--fault 'drop: {message: heartbeat, next: 3}'`";
    refused(format!("`{text}` is no fault on the wire"), help)
}

fn refused(headline: String, help: &str) -> Vec<Diagnostic> {
    vec![Diagnostic::new(Severity::Error, "usage/bad-fault", headline).with_help(help)]
}
