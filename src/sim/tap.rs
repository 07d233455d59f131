//! A tap: one subscriber of a broker that others use, which hears everything and says nothing.

use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use super::link::{Link, LinkError, Message};
use crate::broker::Upstream;
use crate::recording;

/// How long the name of a host may take to be looked up.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(5);
/// When nothing has come for so long, nothing was on its way.
const QUIET: Duration = Duration::from_millis(100);
/// How long what is on its way may take in all.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A tap on a broker.
#[derive(Debug)]
pub struct Tap {
    link: Link,
    messages: mpsc::UnboundedReceiver<Message>,
    start: Instant,
}

impl Tap {
    /// Connects; hears nothing yet.
    ///
    /// # Errors
    /// Why there is no connection, in words.
    pub async fn connect(broker: &Upstream) -> Result<Self, String> {
        let found = timeout(LOOK_UP_WITHIN, lookup_host((broker.host.as_str(), broker.port))).await;
        let addresses = found
            .map_err(|_| format!("host `{}` was not found within {LOOK_UP_WITHIN:?}", broker.host))?
            .map_err(|error| format!("host `{}` was not found: {error}", broker.host))?;
        let client_id = format!("khumbu-record-{}", Uuid::new_v4().simple());
        let mut why = format!("host `{}` has no address", broker.host);
        for address in addresses {
            match Link::open(address, &client_id).await {
                Ok((link, messages)) => return Ok(Self { link, messages, start: Instant::now() }),
                Err(error) => why = error.to_string(),
            }
        }
        Err(why)
    }

    /// Subscribes. From the moment that this returns everything is heard, and its time counts.
    ///
    /// # Errors
    /// As [`Link::overhear`].
    pub async fn listen(&mut self, filters: &[String]) -> Result<(), LinkError> {
        self.link.overhear(filters).await?;
        self.start = Instant::now();
        Ok(())
    }

    /// The next message; `None` when the connection is lost. May be cancelled without loss.
    pub async fn next(&mut self) -> Option<recording::Message> {
        let message = self.messages.recv().await?;
        Some(self.to_recorded(message))
    }

    /// A message that is there already.
    pub fn next_at_hand(&mut self) -> Option<recording::Message> {
        let message = self.messages.try_recv().ok()?;
        Some(self.to_recorded(message))
    }

    /// What the broker had on its way when this was called; then says goodbye.
    pub async fn finish(mut self) -> Vec<recording::Message> {
        let deadline = Instant::now() + LAST_WORDS;
        // The acknowledgement of a subscription comes behind what the broker had sent before; the filter is of no
        // interest. A connection that is lost has no more to give.
        let nothing = format!("khumbu/record/{}", Uuid::new_v4());
        let _ = timeout_at(deadline, self.link.subscribe(&[nothing], 0)).await;
        let mut last = Vec::new();
        // What waited for acknowledgements of ours still comes.
        while let Ok(Some(message)) = timeout_at(deadline.min(Instant::now() + QUIET), self.messages.recv()).await {
            last.push(self.to_recorded(message));
        }
        self.link.close().await;
        last
    }

    fn to_recorded(&self, message: Message) -> recording::Message {
        let Message { topic, payload, qos, retain, at } = message;
        // What the broker had kept may come before the acknowledgement.
        let at = at.saturating_duration_since(self.start);
        recording::Message::new(at, &topic, &payload, qos, retain)
    }
}
