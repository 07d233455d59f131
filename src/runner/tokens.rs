//! The steps about tokens: who presents them, and who is told what they are worth.
//!
//! A token is presented by the module under test if that is a token provider, by khumbu if it plays the provider of an
//! EVerest under test, else at the station itself. Verdicts are told to whoever is the token validator.

use serde_json::{Value, json};

use super::findings;
use super::module::command_name;
use super::played::Played;
use super::stage::{Stage, Stop, broken};
use super::steps::strings_filled;
use crate::conformance::judge::{After, Demand, What};
use crate::conformance::sighting::{Kind, Party};
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::control::Command;
use crate::protocol::types::{ValidationResult, ValidationResultUpdate};
use crate::scenario::model::UpdateVerdict;
use crate::scenario::pattern::Pattern;
use crate::sim::everest::Order;

impl Stage<'_> {
    /// A token of the scenario is presented.
    ///
    /// # Errors
    /// When the module under test does not present it, or cannot be told to.
    pub async fn present_token(&mut self, name: &str, at: &str) -> Result<(), Stop> {
        let config = self.token(name)?;
        let (command, provided, value) = (config.to_command(), config.to_provided(), config.value.clone());
        if self.sisters.has(ApiType::AUTH_TOKEN_PROVIDER) {
            self.set_mark();
            self.say_as(ApiType::AUTH_TOKEN_PROVIDER, command, Channel::PROVIDED_TOKEN).await?;
        } else if self.scene.is_client_of(ApiType::AUTH_TOKEN_PROVIDER) {
            let at = format!("{at}/present_token");
            self.demand(Channel::PROVIDED_TOKEN, &json!(provided), command, at).await?;
        } else {
            self.stimulate(command, at).await?;
        }
        if self.scene.is_client_of(ApiType::AUTH_TOKEN_VALIDATOR) {
            self.judge.past.forget_last_request();
        }
        self.judge.past.present(value);
        Ok(())
    }

    /// Whoever validates tokens learns what to say of one.
    ///
    /// # Errors
    /// When the module under test is the validator and cannot be told.
    pub async fn set_verdict(&mut self, command: Command, at: &str) -> Result<(), Stop> {
        let is_provided = self.sisters.has(ApiType::AUTH_TOKEN_PROVIDER);
        match &self.played {
            _ if self.sisters.has(ApiType::AUTH_TOKEN_VALIDATOR) => {
                self.sisters.tell(ApiType::AUTH_TOKEN_VALIDATOR, command).map(drop)
            }
            Played::Everest { .. } if self.scene.is_client_of(ApiType::AUTH_TOKEN_VALIDATOR) => {
                self.demand_silently(command, at).await
            }
            Played::Everest { .. } if self.scene.is_client_of(ApiType::AUTH_TOKEN_PROVIDER) => {
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
    pub async fn update_verdict(&mut self, update: &UpdateVerdict, at: &str) -> Result<(), Stop> {
        self.observer.monitors.verdict_updated();
        let says_nothing = update.tariff_messages.is_empty();
        let mut result = ValidationResult::new(update.verdict);
        result.tariff_messages.clone_from(&update.tariff_messages);
        let update = ValidationResultUpdate { connector_id: update.evse, validation_result: result };
        let mut wanted = json!(update);
        if let Some(result) = wanted["validation_result"].as_object_mut().filter(|_| says_nothing) {
            result.remove("tariff_messages");
        }
        let command = Command::UpdateVerdict(update);
        if self.sisters.has(ApiType::AUTH_TOKEN_VALIDATOR) {
            self.set_mark();
            self.say_as(ApiType::AUTH_TOKEN_VALIDATOR, command, Channel::VALIDATE_RESULT_UPDATE).await
        } else if self.scene.is_client_of(ApiType::AUTH_TOKEN_VALIDATOR) {
            let at = format!("{at}/update_verdict");
            self.demand(Channel::VALIDATE_RESULT_UPDATE, &wanted, command, at).await
        } else {
            self.stimulate(command, at).await
        }
    }

    /// The client that khumbu plays at another API says something on this channel.
    async fn say_as(&mut self, api: ApiType, command: Command, channel: Channel) -> Result<(), Stop> {
        let from = self.observer.messages.len();
        let topic = self.sisters.tell(api, command)?.topic(channel);
        self.reach_broker(from, &topic).await
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
        self.order(Order::Command(Box::new(command), answer))?;
        done.await.map(drop).map_err(|_| broken("the simulated EVerest has ended").into())
    }

    /// Demands a message of the module under test; it must have at least what `wanted` has.
    async fn demand(&mut self, channel: Channel, wanted: &Value, command: Command, at: String) -> Result<(), Stop> {
        self.set_mark();
        let is_told = self.tell(&command, &at).await?;
        let literal = |text: &str| if text.starts_with('$') { format!("${text}") } else { text.to_owned() };
        let pattern = Pattern::compile(&strings_filled(wanted, &literal)).map_err(|error| broken(&error.message))?;
        let what = What::Request { kind: Kind::Channel(channel), payload: pattern, at: at.clone() };
        let (within, by, after) = (self.judge.case().within(), Party::Module, After::InOrder);
        self.have_sent(Demand { pointer: at, within, by, what, is_told, after }).await.map(drop)
    }

    /// Tells the module under test something that no message shows.
    async fn demand_silently(&mut self, command: Command, at: &str) -> Result<(), Stop> {
        match self.tell(&command, at).await? {
            true => Ok(()),
            false => Err(findings::cannot_be_told(self, at, &command_name(&command)).into()),
        }
    }
}
