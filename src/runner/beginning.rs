//! What comes before the first step: the module is ready, an EVerest that runs already is in a known state, khumbu's own clients
//! say that they are there, and the fault lies over the scenario that is to lie over it.

use super::faults::Fault;
use super::played::Played;
use super::settings::ModuleSource;
use super::stage::Stage;
use super::stop::{Stop, broken};
use crate::protocol::side::Side;

impl Stage<'_> {
    /// From the start of the module to the first step.
    ///
    /// # Errors
    /// When the module is not ready, or cannot be played with.
    pub async fn begin(&mut self, fault: Option<&Fault>) -> Result<(), Stop> {
        self.lookout.awaited.phase(self.scene.scenario, "the module is to be ready");
        self.wait_ready().await?;
        if self.scene.settings.module == ModuleSource::Attached && self.scene.scenario.model.under_test == Side::Everest
        {
            self.begin_afresh().await?;
        }
        self.teach_module().await?;
        if let Played::Client(client) = &mut self.cast.played
            && self.scene.station.auth_consumer.cfg_communication_check_to_s > 0
        {
            client.communication_check(true).await.map_err(|error| broken(&error.to_string()))?;
        }
        self.cast.other_apis.begin_checks(self.scene)?;
        if let Some(fault) = fault {
            self.lay_over(fault).await?;
        }
        Ok(())
    }
}
