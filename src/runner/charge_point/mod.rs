//! The charge point of the EVerest that khumbu plays, with its gateway, and what it tells its CSMS.
//!
//! The gateway is a real one for this charge point alone, on a port of its own, with a token of its own.

mod findings;
mod steps;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;
use tokio::sync::mpsc;

use crate::gateway::{Chargers, Fleet, Server, Tokens};
use crate::scenario::model::{CsmsMessage, CsmsState};
use crate::sim::everest::{CsmsMessage as Passed, Order, Said};
use crate::station::charge_point::Report;
use crate::station::config::StationConfig;

/// The charge point.
pub struct ChargePoint {
    /// What it and its CSMS say, not yet taken note of.
    said: mpsc::UnboundedReceiver<Passed>,
    /// Shows the gateway the same.
    shown: mpsc::UnboundedSender<Passed>,
    /// What it has told its CSMS.
    told: Vec<Told>,
    /// How much of it came before the last stimulus.
    mark: usize,
    /// Those that have met an expectation.
    claimed: BTreeSet<usize>,
    /// What a scenario has made of its CSMS.
    csms: CsmsState,
    server: Server,
    token: String,
}

/// Something that a charge point told its CSMS.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// What.
    pub message: CsmsMessage,
    /// What it said.
    pub payload: Value,
}

impl Told {
    fn new(report: &Report) -> Option<Self> {
        let message = match report {
            Report::Authorize { .. } => CsmsMessage::Authorize,
            Report::Status { .. } => CsmsMessage::StatusNotification,
            Report::TransactionStarted { .. } => CsmsMessage::StartTransaction,
            Report::MeterValue { .. } => CsmsMessage::MeterValues,
            Report::TransactionStopped { .. } => CsmsMessage::StopTransaction,
            // The state of the connector says the same.
            Report::ReservationEnded { .. }
            | Report::Booted { .. }
            | Report::Configured(_)
            | Report::ChargingState { .. } => return None,
        };
        // An enum in JSON is an object whose only key is the name of the variant.
        let json = serde_json::to_value(report).ok()?;
        let payload = json.as_object()?.values().next()?.clone();
        Some(Self { message, payload })
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.message.name(), self.payload)
    }
}

impl ChargePoint {
    /// Opens the gateway of a station that runs, takes `orders`, and passes on in `said` what its charge point and the
    /// CSMS say to each other. The gateway holds `orders` until this is dropped.
    ///
    /// # Errors
    /// When there is no port or no random number.
    pub async fn open(
        station: StationConfig,
        module_id: &str,
        orders: mpsc::UnboundedSender<Order>,
        said: mpsc::UnboundedReceiver<Passed>,
    ) -> std::io::Result<Self> {
        let (shown, listened) = mpsc::unbounded_channel();
        let (id, config) = Chargers::one(station, module_id).chargers.pop_first().unwrap_or_default();
        let (tokens, token) = Tokens::generate().map_err(std::io::Error::other)?;
        let fleet = Fleet::of_one(&id, config, orders, listened);
        let server = Server::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), fleet, tokens).await?;
        let (told, claimed, csms) = (Vec::new(), BTreeSet::new(), CsmsState::Online);
        Ok(Self { said, shown, told, mark: 0, claimed, csms, server, token })
    }

    /// A stimulus comes: what is told from now on counts.
    pub fn set_mark(&mut self) {
        self.drain();
        self.mark = self.told.len();
    }

    fn drain(&mut self) {
        while let Ok(passed) = self.said.try_recv() {
            self.hear(passed);
        }
    }

    fn hear(&mut self, passed: Passed) {
        if let Said::ByChargePoint(report) = &passed.said {
            self.told.extend(Told::new(report));
        }
        // The gateway ends with this; nobody else listens.
        let _ = self.shown.send(passed);
    }

    /// Waits until there is more to take note of; never, if there will be nothing.
    async fn listen(&mut self) {
        match self.said.recv().await {
            Some(passed) => self.hear(passed),
            None => std::future::pending().await,
        }
    }

    /// The first since the mark that is of this kind, fits, and has met nothing else.
    fn find(&self, message: CsmsMessage, mut fits: impl FnMut(&Value) -> bool) -> Option<usize> {
        let of_kind = (self.mark..self.told.len()).filter(|at| self.told[*at].message == message);
        of_kind.filter(|at| !self.claimed.contains(at)).find(|at| fits(&self.told[*at].payload))
    }

    /// What it has told since the mark.
    fn told_since_mark(&self) -> &[Told] {
        &self.told[self.mark..]
    }
}
