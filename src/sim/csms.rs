//! The link of a charge point to a CSMS outside: OCPP-J over a WebSocket, in real time.
//!
//! The session ([`crate::ocpp::Session`]) decides everything; this module brings it frames, reports of the charge point
//! and the time, and carries out its effects. It never shows a password.

use std::fmt;
use std::future::pending;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::everest::{CsmsMessage, Order, Said};
use crate::ocpp::{Effect, Identity, Input, Note, Session};

/// Where a CSMS takes a charge point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    uri: Uri,
    host: String,
    port: u16,
    identity: String,
}

/// A text that nobody is to see.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// A connection that comes and goes.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Where to.
    pub endpoint: Endpoint,
    /// For basic authentication, with the identity as the user.
    pub password: Option<Password>,
    /// Who the charge point is.
    pub identity: Identity,
}

/// A message that somebody wants to be sent.
#[derive(Debug)]
pub struct Proxied {
    /// The action in OCPP.
    pub action: &'static str,
    /// The request.
    pub payload: Value,
    /// Told whether it is on its way, or why not.
    pub answer: oneshot::Sender<Result<(), String>>,
}

/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long the other side may take nothing.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// How long the other side may take to read what was said last.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// The most bytes of a message.
const LARGEST: usize = 1024 * 1024;

type Socket = WebSocketStream<TcpStream>;
type Opening = Pin<Box<dyn Future<Output = Result<Socket, String>> + Send>>;

impl Endpoint {
    /// The endpoint of a charge point at this address.
    ///
    /// # Errors
    /// What is wrong with the address, in words; without the address, in which there may be a password.
    pub fn new(url: &str, identity: &str) -> Result<Self, String> {
        let url = url.trim_end_matches('/');
        let escaped: String = identity.bytes().map(escaped).collect();
        let uri: Uri = format!("{url}/{escaped}").parse().map_err(|error| format!("no address of a CSMS: {error}"))?;
        if uri.scheme_str() != Some("ws") {
            return Err("no address of a CSMS: it does not begin with `ws://`; TLS is not spoken".to_owned());
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            return Err("no address of a CSMS: the password goes to `csms_password`".to_owned());
        }
        if uri.query().is_some() {
            return Err("no address of a CSMS: it has a query".to_owned());
        }
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err("no address of a CSMS: it has no host".to_owned());
        }
        let port = uri.port_u16().unwrap_or(80);
        Ok(Self { host, port, identity: identity.to_owned(), uri })
    }
}

/// A byte of an identity as a path has it (RFC 3986, 2.3).
fn escaped(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    }
}

/// A link while it runs.
struct Link<N> {
    connection: Connection,
    session: Session,
    born: Instant,
    epoch: Duration,
    opening: Option<Opening>,
    socket: Option<Socket>,
    orders: mpsc::WeakUnboundedSender<Order>,
    note: N,
}

impl Connection {
    /// Runs until the charge point ends. `said` is what the charge point says, `orders` what it takes; `note` hears all
    /// that passes.
    pub async fn run(
        self,
        mut said: mpsc::UnboundedReceiver<CsmsMessage>,
        orders: mpsc::WeakUnboundedSender<Order>,
        mut proxied: mpsc::Receiver<Proxied>,
        note: impl FnMut(Note) + Send,
    ) {
        let session = Session::new(self.identity.clone());
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (opening, socket) = (None, None);
        let mut link = Link { connection: self, session, born: Instant::now(), epoch, opening, socket, orders, note };
        loop {
            let deadline = link.session.next_deadline().map(|at| link.born + at.saturating_sub(link.epoch));
            tokio::select! {
                // What the charge point said before it answered comes before what the CSMS makes of that answer.
                biased;
                message = said.recv() => match message {
                    Some(CsmsMessage { said: Said::ByChargePoint(report), .. }) => {
                        link.apply(Input::Reported(report)).await;
                    }
                    // The CSMS inside, which is not asked.
                    Some(_) => {}
                    None => return link.close().await,
                },
                Some(Proxied { action, payload, answer }) = proxied.recv() => {
                    let (outcome, effects) = link.session.send(link.now(), action, payload);
                    // Whoever asked may have gone away.
                    let _ = answer.send(outcome);
                    link.carry_out(effects).await;
                }
                opened = opened(&mut link.opening) => {
                    link.opening = None;
                    match opened {
                        Ok(socket) => {
                            link.socket = Some(socket);
                            link.apply(Input::Opened).await;
                        }
                        Err(why) => link.apply(Input::Closed(why)).await,
                    }
                }
                message = next(&mut link.socket) => {
                    let input = match message {
                        Some(Ok(Message::Text(text))) => Input::Received(text.as_str().to_owned()),
                        Some(Ok(Message::Close(_))) | None => Input::Closed("the CSMS has closed the connection".to_owned()),
                        Some(Ok(_)) => Input::Heard,
                        Some(Err(error)) => Input::Closed(error.to_string()),
                    };
                    if matches!(input, Input::Closed(_)) {
                        link.close().await;
                    }
                    link.apply(input).await;
                }
                () = until(deadline) => link.apply(Input::Deadline).await,
            }
        }
    }

    /// What asks for the connection.
    fn request(&self) -> Result<Request, Error> {
        let mut request = self.endpoint.uri.clone().into_client_request()?;
        let headers = request.headers_mut();
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(self.identity.version.name()));
        if let Some(Password(password)) = &self.password {
            let text = STANDARD.encode(format!("{}:{password}", self.endpoint.identity));
            let mut value = HeaderValue::try_from(format!("Basic {text}"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(request)
    }

    async fn open(self) -> Result<Socket, String> {
        let request = self.request().map_err(|error| error.to_string())?;
        let Endpoint { host, port, .. } = &self.endpoint;
        let config = WebSocketConfig::default()
            // Many chargers run in one process.
            .read_buffer_size(4 * 1024)
            .write_buffer_size(0)
            .max_write_buffer_size(2 * LARGEST)
            .max_message_size(Some(LARGEST))
            .max_frame_size(Some(LARGEST));
        let connecting = async {
            let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|error| error.to_string())?;
            // A socket that has no such option works all the same.
            let _ = stream.set_nodelay(true);
            let shaken = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
            shaken.map(|(socket, _)| socket).map_err(|error| error.to_string())
        };
        let late = || format!("no connection within {} s", CONNECT_WITHIN.as_secs());
        timeout(CONNECT_WITHIN, connecting).await.map_err(|_| late())?
    }
}

impl<N: FnMut(Note)> Link<N> {
    fn now(&self) -> Duration {
        self.epoch.saturating_add(self.born.elapsed())
    }

    async fn apply(&mut self, input: Input) {
        let effects = self.session.apply(self.now(), input);
        self.carry_out(effects).await;
    }

    /// Carries out effects, and those that come of them.
    async fn carry_out(&mut self, effects: Vec<Effect>) {
        let mut effects: std::collections::VecDeque<_> = effects.into();
        while let Some(effect) = effects.pop_front() {
            let input = match effect {
                Effect::Connect => {
                    self.opening = Some(Box::pin(self.connection.clone().open()));
                    None
                }
                Effect::Close => {
                    self.close().await;
                    None
                }
                Effect::Send(text) => self.send(Message::text(text)).await.err().map(Input::Closed),
                Effect::Ping => self.send(Message::Ping(bytes::Bytes::new())).await.err().map(Input::Closed),
                Effect::Tell(said) => {
                    self.order(Order::Csms(said));
                    None
                }
                Effect::Ask(request) => {
                    let (answer, answered) = oneshot::channel();
                    self.order(Order::Request(request, answer));
                    let gone = || Err("the charger does not run any more".to_owned());
                    Some(Input::Answered(answered.await.unwrap_or_else(|_| gone())))
                }
                Effect::Restart => {
                    // It reports when it has booted.
                    self.order(Order::Restart(oneshot::channel().0));
                    None
                }
                Effect::Note(note) => {
                    (self.note)(note);
                    None
                }
            };
            if let Some(input) = input {
                // What comes of this goes before what comes later.
                let more = self.session.apply(self.now(), input);
                more.into_iter().rev().for_each(|effect| effects.push_front(effect));
            }
        }
    }

    fn order(&self, order: Order) {
        if let Some(orders) = self.orders.upgrade() {
            // A charger that has ended takes none.
            let _ = orders.send(order);
        }
    }

    /// Hands a message to the socket.
    async fn send(&mut self, message: Message) -> Result<(), String> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        let sent = timeout(SEND_WITHIN, socket.send(message)).await;
        let outcome = match sent {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err(format!("the CSMS has taken nothing for {} s", SEND_WITHIN.as_secs())),
        };
        if outcome.is_err() {
            self.socket = None;
        }
        outcome
    }

    /// Ends the connection in good order (RFC 6455, 7.1.1): says so and reads on until the other side has said it, too,
    /// or has had its time. A socket that goes with something unread takes what the other side has not read with it.
    async fn close(&mut self) {
        self.opening = None;
        let Some(mut socket) = self.socket.take() else { return };
        let farewell = async {
            // Whether it can be said or not, the other side may still say something.
            let _ = socket.close(None).await;
            while let Some(Ok(_)) = socket.next().await {}
        };
        let _ = timeout(CLOSE_WITHIN, farewell).await;
    }
}

async fn opened(opening: &mut Option<Opening>) -> Result<Socket, String> {
    match opening {
        Some(opening) => opening.await,
        None => pending().await,
    }
}

async fn next(socket: &mut Option<Socket>) -> Option<Result<Message, Error>> {
    match socket {
        Some(socket) => socket.next().await,
        None => pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn identities_become_part_of_the_path() {
        let endpoint = Endpoint::new("ws://csms.example:9000/ocpp/", "CP 1/ü").unwrap();
        assert_eq!(endpoint.uri.to_string(), "ws://csms.example:9000/ocpp/CP%201%2F%C3%BC");
        assert_eq!((endpoint.host.as_str(), endpoint.port), ("csms.example", 9000));
        assert_eq!(Endpoint::new("ws://[::1]", "a").unwrap().host, "::1");
    }

    #[test]
    fn what_is_no_address_is_refused_without_showing_it() {
        for url in
            ["", "csms", "wss://csms", "http://csms", "ws://", "ws://a:secret@csms", "ws://csms/?a=secret", "ws://a b"]
        {
            let error = Endpoint::new(url, "CP").unwrap_err();
            assert!(error.starts_with("no address of a CSMS") && !error.contains("secret"), "{url}: {error}");
        }
    }
}
