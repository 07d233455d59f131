//! The steps about reservations. Whoever reserves speaks to Auth inside EVerest, so that a module in EVerest's place has to
//! be told to, and to tell what Auth answered.

use std::time::Duration;

use serde_json::{Value, json};

use super::patterns::compiled;
use super::stage::Stage;
use super::stop::Stop;
use crate::conformance::judge::{After, Demand, Prompt, What};
use crate::conformance::sighting::Party;
use crate::protocol::control::{Command, Deed, Reserve as Wish};
use crate::protocol::side::Side;
use crate::scenario::Pointer;
use crate::scenario::model::{CancelReservation, Reserve};
use crate::timespan::Timespan;

/// When a reservation expires if the scenario does not say.
const EXPIRES: Duration = Duration::from_secs(3600);

impl Stage<'_> {
    /// Somebody reserves, and Auth answers.
    ///
    /// # Errors
    /// When it answers something else, or the module under test cannot be told.
    pub async fn reserve(&mut self, step: &Reserve, at: &Pointer) -> Result<(), Stop> {
        let id_token = match &step.token {
            Some(name) => self.token(name)?.value.clone(),
            None => step.id_token.clone().unwrap_or_default(),
        };
        let millis = |span: Timespan| i64::try_from(span.0.as_millis()).unwrap_or(i64::MAX);
        let wish = Wish {
            reservation_id: step.reservation_id,
            id_token,
            parent_id_token: step.parent_id_token.clone(),
            evse_id: step.evse_id,
            connector_type: step.connector_type,
            expires_in_ms: match step.expired_for {
                // Not even a moment is left.
                Some(span) => -millis(span).max(1),
                None => millis(step.expires_in.unwrap_or(Timespan(EXPIRES))),
            },
        };
        self.stimulate(Command::Reserve(wish), at).await?;
        self.expect_answer(Deed::Reserve, step.reservation_id, &json!(step.result), at).await
    }

    /// Somebody cancels a reservation, and Auth answers.
    ///
    /// # Errors
    /// As [`Stage::reserve`].
    pub async fn cancel_reservation(&mut self, step: &CancelReservation, at: &Pointer) -> Result<(), Stop> {
        let reservation_id = step.reservation_id;
        self.stimulate(Command::CancelReservation { reservation_id }, at).await?;
        self.expect_answer(Deed::CancelReservation, reservation_id, &json!(step.result), at).await
    }

    async fn expect_answer(&mut self, deed: Deed, id: i32, result: &Value, at: &Pointer) -> Result<(), Stop> {
        let pointer = at.key(deed.name());
        let payload = Some((pointer.key("result"), compiled(result)?));
        let what = What::Did { deed, which: vec![("reservation_id", json!(id))], member: "result", payload };
        let by = if self.scene.scenario.model.under_test == Side::Everest { Party::Module } else { Party::Harness };
        let (within, prompt, after) = (self.case().within(), Prompt::Told, After::Nothing);
        let demand = Demand { pointer, within, by, what, prompt, after };
        self.judging.have_sent(&mut self.lookout, demand).await.map(drop)
    }
}
