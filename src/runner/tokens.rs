//! The steps about tokens: who presents them, and who is told what they are worth.
//!
//! A token is presented by the module under test if that is a token provider, by khumbu if it plays the provider of an
//! EVerest under test, else at the station itself. Verdicts are told to whoever is the token validator.

use serde_json::{Value, json};

use super::patterns::{compiled, literal};
use super::played::Played;
use super::stage::Stage;
use super::stop::{Stop, broken};
use crate::conformance::sighting::Kind;
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::control::Command;
use crate::protocol::types::{ValidationResult, ValidationResultUpdate};
use crate::scenario::Pointer;
use crate::scenario::model::UpdateVerdict;
use crate::sim::everest::Order;

impl Stage<'_> {
    /// A token of the scenario is presented.
    ///
    /// # Errors
    /// When the module under test does not present it, or cannot be told to.
    pub async fn present_token(&mut self, name: &str, channel: Channel, at: &Pointer) -> Result<(), Stop> {
        let config = self.token(name)?;
        let (command, provided, value) = (config.to_command(), config.to_provided(), config.value.clone());
        if self.cast.other_apis.has(channel.api()) {
            self.say_as(command, channel).await?;
        } else if self.scene.is_client_of(channel.api()) {
            let (wanted, at) = (json!(provided), at.key("present_token"));
            self.demand_at_least(channel, &wanted, &command, at).await?;
        } else {
            self.stimulate(command, at).await?;
        }
        if self.scene.is_client_of(ApiType::AUTH_TOKEN_VALIDATOR) {
            self.judging.judge.past.forget_last_request();
        }
        self.judging.judge.past.present(value);
        Ok(())
    }

    /// Whoever validates tokens learns what to say of one.
    ///
    /// # Errors
    /// When the module under test is the validator and cannot be told.
    pub async fn set_verdict(&mut self, command: Command, at: &str) -> Result<(), Stop> {
        let is_provided = self.cast.other_apis.has(ApiType::AUTH_TOKEN_PROVIDER);
        match &self.cast.played {
            _ if self.cast.other_apis.has(ApiType::AUTH_TOKEN_VALIDATOR) => {
                self.cast.other_apis.tell(ApiType::AUTH_TOKEN_VALIDATOR, command).map(drop)
            }
            Played::Everest { .. } if self.scene.is_client_of(ApiType::AUTH_TOKEN_VALIDATOR) => {
                self.demand_silently(command, at).await?;
                self.let_bound_module_hear("set_verdict").await
            }
            Played::Everest { .. } if self.scene.is_client_of(ApiType::AUTH_TOKEN_PROVIDER) => {
                self.note_deed(&json!(command));
                self.tell_station(command).await
            }
            // Tokens from a provider come without a verdict.
            Played::Client(_) if is_provided => self.demand_silently(command, at).await,
            // Each presentation carries its verdict.
            Played::Everest { .. } | Played::Client(_) => Ok(()),
        }
    }

    /// A validator changes its mind about the token in use at an EVSE.
    ///
    /// # Errors
    /// When the module under test does not say so, or cannot be told to.
    pub async fn update_verdict(&mut self, update: &UpdateVerdict, channel: Channel, at: &Pointer) -> Result<(), Stop> {
        self.lookout.observer.monitors.verdict_updated();
        let says_nothing = update.tariff_messages.is_empty();
        let mut result = ValidationResult::new(update.verdict);
        result.tariff_messages.clone_from(&update.tariff_messages);
        let update = ValidationResultUpdate { connector_id: update.evse, validation_result: result };
        let mut wanted = json!(update);
        if let Some(result) = wanted["validation_result"].as_object_mut().filter(|_| says_nothing) {
            result.remove("tariff_messages");
        }
        let command = Command::UpdateVerdict(update);
        if self.cast.other_apis.has(channel.api()) {
            self.say_as(command, channel).await
        } else if self.scene.is_client_of(channel.api()) {
            let at = at.key("update_verdict");
            self.demand_at_least(channel, &wanted, &command, at).await
        } else {
            self.stimulate(command, at).await
        }
    }

    /// The client that khumbu plays at another API says something on this channel.
    async fn say_as(&mut self, command: Command, channel: Channel) -> Result<(), Stop> {
        self.set_mark();
        let from = self.lookout.observer.messages.len();
        let topic = self.cast.other_apis.tell(channel.api(), command)?.topic(channel);
        self.reach_broker(from, &topic).await
    }

    /// Tells a validator under test what the tokens of the station are worth, if a binding says how. One that listens on the
    /// control topic reads them in `KHUMBU_STATION`.
    ///
    /// # Errors
    /// When the binding fails.
    pub async fn teach_module(&mut self) -> Result<(), Stop> {
        let is_bound = self.scene.settings.bindings.contains_key("set_verdict");
        if !is_bound || !self.scene.is_client_of(ApiType::AUTH_TOKEN_VALIDATOR) {
            return Ok(());
        }
        for (name, token) in self.tokens.clone() {
            self.tell(&token.to_verdict(), &format!("/station/tokens/{name}")).await?;
        }
        self.let_bound_module_hear("set_verdict").await
    }

    /// Tells the simulated EVerest, which forgets it when it starts again, what tokens are worth that a provider under
    /// test hands in.
    ///
    /// # Errors
    /// When it has broken down.
    pub async fn teach_station(&self) -> Result<(), Stop> {
        if self.scene.is_client_of(ApiType::AUTH_TOKEN_PROVIDER) {
            for token in self.tokens.values() {
                self.tell_station(token.to_verdict()).await?;
            }
        }
        Ok(())
    }

    async fn tell_station(&self, command: Command) -> Result<(), Stop> {
        let (answer, done) = tokio::sync::oneshot::channel();
        self.cast.played.order(Order::Command(Box::new(command), answer))?;
        done.await.map(drop).map_err(|_| broken("the simulated EVerest has ended").into())
    }

    /// Demands a message of the module under test; it must have at least what `wanted` has.
    async fn demand_at_least(
        &mut self,
        channel: Channel,
        wanted: &Value,
        command: &Command,
        at: Pointer,
    ) -> Result<(), Stop> {
        self.set_mark();
        let payload = compiled(&literal(wanted))?;
        self.demand(Kind::Channel(channel), payload, command, None, at).await.map(drop)
    }
}
