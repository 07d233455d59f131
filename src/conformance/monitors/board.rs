//! The monitors of every API module that the module under test uses or is.

use std::time::Duration;

use crate::diagnostic::Diagnostic;
use crate::transcript::record::Record;

use super::panel::Panel;
use super::{ApiModule, Context};

/// Watches the record of one scenario.
#[derive(Debug)]
pub struct Monitors {
    /// The API under test first.
    panels: Vec<Panel>,
}

impl Monitors {
    /// Monitors for one scenario.
    pub fn new(mut context: Context) -> Self {
        let sisters = std::mem::take(&mut context.sisters);
        let sisters =
            sisters.into_iter().map(|ApiModule { topics, communication_check_timeout, heartbeat_interval }| {
                Panel::new(Context { topics, communication_check_timeout, heartbeat_interval, ..context.clone() })
            });
        let mut panels: Vec<_> = sisters.collect();
        panels.insert(0, Panel::first(context));
        Self { panels }
    }

    /// Takes note of a record, in the order of the broker; `from_module` says whether its client belongs to the module
    /// under test. Gives back what the module did wrong.
    pub fn observe(&mut self, record: &Record, from_module: bool) -> Vec<Diagnostic> {
        self.panels.iter_mut().flat_map(|panel| panel.observe(record, from_module)).collect()
    }

    /// EVerest has been ended and started again, be it the harness or the module under test. Call it no later than the
    /// new one can connect.
    pub fn everest_restarted(&mut self) {
        self.panels.iter_mut().for_each(Panel::everest_restarted);
    }

    /// The harness is about to cut the module under test off, or the broker goes down.
    pub fn module_cut_off(&mut self) {
        self.panels.iter_mut().for_each(Panel::module_cut_off);
    }

    /// The harness told EVerest's side under test, by whatever way, to change its heartbeats.
    pub fn heartbeats_changed(&mut self) {
        self.panels.iter_mut().for_each(Panel::heartbeats_changed);
    }

    /// A token validator sends an update of its verdict, by whatever way.
    pub fn verdict_updated(&mut self) {
        self.panels.iter_mut().for_each(Panel::verdict_updated);
    }

    /// The last word, before the harness ends the module; `at` is the time of the record's clock.
    pub fn finish(&mut self, at: Duration) -> Vec<Diagnostic> {
        self.panels.iter_mut().flat_map(|panel| panel.finish(at)).collect()
    }
}
