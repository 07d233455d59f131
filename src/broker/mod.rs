//! The embedded MQTT broker: a front door of our own around rumqttd's codecs, sessions, routing, and the record of
//! every packet.
//!
//! One port speaks MQTT 3.1.1 and 5. With an [`Upstream`] the same front door relays every connection, byte for byte,
//! to a broker that is already there; the record is the same.
//!
//! rumqttd's router is left out. It lives on a thread of its own, and the two hops make a round trip almost twice as
//! long as mosquitto's; it also keeps order per filter only and can be brought down by ordinary clients. Here the task
//! that reads a PUBLISH matches the filters itself and writes to its subscribers' sockets: a round trip is shorter than
//! mosquitto's with no-delay, and one to a hundred more than ten times as fast as its default. `ci/bench` measures it.
//!
//! What a client may count on: delivery QoS is the lower of publication and subscription; one copy a client however many
//! of its filters match; one order for each client across topics and subscriptions; a QoS 2 message is handed on when
//! its PUBREL has come, as mosquitto does; shared subscriptions work, for 3.1.1 too. What a tester may count on: nothing is lost in silence ([`Event::Overflow`]), and every refusal says why.
//!
//! | file | has |
//! | --- | --- |
//! | `frame` | packets out of bytes, and the checks that the codecs leave out |
//! | `packet` | typed packets, read and written with rumqttd's codecs |
//! | `limit` | how large a packet may be, as people write it |
//! | `tree`, `retained` | who subscribed to what; retained messages |
//! | `session` | queue, acknowledgements and retransmission of one client |
//! | `hub` | all state behind one lock, connections and wills, and the order of the record |
//! | `routing` | publications and subscriptions |
//! | `pipe`, `connection`, `listener` | sockets and tasks |
//! | `faults`, `injection` | faults that are injected: what befalls which message, and how |
//! | `relay`, `relayed` | the way to an upstream broker, and who takes it |

mod connection;
mod faults;
mod frame;
mod hub;
mod injection;
mod limit;
mod listener;
mod packet;
mod pipe;
mod relay;
mod relayed;
mod retained;
mod routing;
mod session;
mod tree;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Mutex;

pub use faults::{Rule, Sieve};
use hub::Hub;
pub use limit::PacketLimit;
use listener::Running;

use crate::transcript::injected::{ConnectRefusal, Injected};
use crate::transcript::record::{Event, Record};

/// What a broker is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The broker to relay to, instead of being one.
    pub upstream: Option<Upstream>,
    /// What clients must present; `None` accepts any user name and password.
    pub credentials: Option<Credentials>,
    /// The largest packet accepted from a client, in bytes, its fixed header included.
    pub max_packet: PacketLimit,
    /// How many messages may wait for one client.
    pub queue_limit: usize,
    /// How many bytes may wait for one client, and how many of its own QoS 2 messages for their release.
    pub queue_bytes: usize,
    /// How many messages may be unacknowledged by one client; lower if the client says so.
    pub inflight: u16,
    /// How many bytes all retained messages may take.
    pub retained_bytes: usize,
    /// How many connections may be open.
    pub max_connections: usize,
    /// How long a connection may take to its CONNECT, and the upstream to be reached.
    pub connect_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            upstream: None,
            credentials: None,
            max_packet: PacketLimit::default(),
            queue_limit: 100_000,
            queue_bytes: 64 * 1024 * 1024,
            inflight: 1024,
            retained_bytes: 64 * 1024 * 1024,
            max_connections: 10_000,
            connect_timeout: Duration::from_secs(5),
        }
    }
}

/// What clients must present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
}

/// A broker that is already there, written `mqtt://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// A name or an address, without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl FromStr for Upstream {
    type Err = String;

    /// Reads `mqtt://host:port`, `mqtt://host` (port 1883) and `mqtt://[::1]:port`.
    fn from_str(url: &str) -> Result<Self, String> {
        let fault = |why: &str| Err(format!("broker `{url}` {why}; write it like `mqtt://localhost:1883`"));
        let rest = match url.split_once("://") {
            Some(("mqtt", rest)) => rest,
            Some(("mqtts" | "wss" | "ws", _)) => return fault("wants TLS or WebSocket, which are not spoken here"),
            Some((scheme, _)) => return fault(&format!("has the scheme `{scheme}`, not `mqtt`")),
            None => return fault("has no scheme"),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return fault("has a user name; the module under test sends its own through");
        }
        if rest.contains(['/', '?', '#']) {
            return fault("has a path");
        }
        let (host, port) = match rest.strip_prefix('[').map(|inner| inner.split_once(']')) {
            Some(Some((host, ""))) => (host, None),
            Some(Some((host, port))) => match port.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None => return fault("has something else than a port after `]`"),
            },
            Some(None) => return fault("has no `]`"),
            None => match rest.split_once(':') {
                Some((_, port)) if port.contains(':') => return fault("has an IPv6 address without brackets"),
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        if host.is_empty() {
            return fault("has no host");
        }
        match port.map_or(Ok(1883), str::parse) {
            Ok(0) | Err(_) => fault("has no port between 1 and 65535"),
            Ok(port) => Ok(Self { host: host.to_owned(), port }),
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "mqtt://[{}]:{}", self.host, self.port),
            false => write!(f, "mqtt://{}:{}", self.host, self.port),
        }
    }
}

/// A broker could not listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct StartError {
    /// What was asked for.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// So many connections may wait to be accepted, as tokio has it for a listener.
const BACKLOG: u32 = 1024;

/// A running broker. Dropping it closes everything without a record; [`Broker::stop`] is the proper end.
pub struct Broker {
    hub: Arc<Hub>,
    address: SocketAddr,
    running: Mutex<Option<Running>>,
    /// The port for when it is closed: bound and not listening, so that clients are refused, and the system gives it to nobody else,
    /// not for a moment. Nothing where the system does not allow that while another socket listens.
    kept: Mutex<Option<TcpSocket>>,
}

impl Broker {
    /// Starts to listen; must be called within a tokio runtime, best a single-threaded one: a record or a task that is
    /// handed from thread to thread costs a round trip up to 13 µs, as much as the broker's own work. `record` is called for each entry, in the order of
    /// [`Record::seq`], while the broker stands still: it must be quick and must not call the broker. Sending into an
    /// unbounded channel is the thing to do.
    pub async fn start(config: Config, record: impl Fn(Record) + Send + Sync + 'static) -> Result<Self, StartError> {
        let asked = config.listen;
        let failed = |source| StartError { address: asked, source };
        let socket = bind(asked).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let kept = Mutex::new(bind(address).ok());
        let listener = socket.listen(BACKLOG).map_err(failed)?;
        let hub = Arc::new(Hub::new(config, Box::new(record)));
        let running = Mutex::new(Some(Running::start(hub.clone(), listener)));
        Ok(Self { hub, address, running, kept })
    }

    /// Where it listens, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What time it is by the clock of the records.
    pub fn now(&self) -> Duration {
        self.hub.now()
    }

    /// Cuts a client off, as a network that fails; its will is published. `false` if there is no such client.
    pub fn disconnect(&self, client: &str) -> bool {
        self.hub.disconnect(client)
    }

    /// Goes down: the port is closed, and every client sees the loss. Sessions that were asked to last, and retained
    /// messages, stay; wills are not published. Nothing happens if it is already down.
    pub async fn suspend(&self) {
        if let Some(running) = self.running.lock().await.take() {
            running.stop("broker down").await;
            self.keep_port().await;
        }
    }

    /// Comes back on the same port. Nothing happens if it is not down.
    pub async fn resume(&self) -> Result<(), StartError> {
        let mut running = self.running.lock().await;
        if running.is_none() {
            let listener = self.listen_again().await?;
            *running = Some(Running::start(self.hub.clone(), listener));
        }
        Ok(())
    }

    /// Has faults injected from now on, of which none is in force yet; or none any more. `sieve` tells whom and what they
    /// befall.
    pub fn inject(&self, sieve: Option<Arc<dyn Sieve>>) {
        self.hub.inject(sieve);
    }

    /// Puts a rule in force; its number for the sieve. Nothing if faults are not injected, or where messages are relayed:
    /// there they pass unchanged.
    pub fn add_fault(&self, rule: Rule) -> Option<usize> {
        self.hub.config.upstream.is_none().then(|| self.hub.add_fault(rule))?
    }

    /// Refuses the next CONNECTs of others, so many or all until it is lifted.
    pub fn refuse_connects(&self, refusal: ConnectRefusal, most: Option<u32>) {
        self.hub.refuse_connects(refusal, most);
    }

    /// Lets nothing pass the connections that others have, and tells neither end: they are half open. New ones are not
    /// touched.
    pub fn stall(&self) {
        self.hub.stall();
    }

    /// Lets everything pass again, with what was sent meanwhile.
    pub fn flow(&self) {
        self.hub.flow();
    }

    /// Lifts every fault but [`Broker::go_away`]: what was held back follows, and connections that were half open flow.
    pub fn lift_faults(&self) {
        self.hub.lift_faults();
    }

    /// Closes the port and cuts off everybody but khumbu, without a word, as a broker that went down. As with
    /// [`Broker::suspend`], sessions that were asked to last and retained messages stay.
    pub async fn go_away(&self) {
        if let Some(running) = self.running.lock().await.as_mut().filter(|running| !running.is_shut()) {
            running.shut().await;
            self.keep_port().await;
        }
    }

    /// Forgets the sessions of clients that are not connected, as a broker does that keeps nothing over a restart; their wills are
    /// not published.
    pub fn forget_sessions(&self) {
        self.hub.forget_sessions();
    }

    /// Opens the same port again after [`Broker::go_away`]. Nothing happens if it is open.
    ///
    /// # Errors
    /// When somebody else has taken it.
    pub async fn come_back(&self) -> Result<(), StartError> {
        if let Some(running) = self.running.lock().await.as_mut().filter(|running| running.is_shut()) {
            let listener = self.listen_again().await?;
            self.hub.record(&"broker".into(), Event::Injected(Injected::BrokerBack));
            running.open(listener);
        }
        Ok(())
    }

    /// Keeps the port that was just closed, if it is not kept. If that fails it is as free as any, and [`Self::listen_again`] finds
    /// out.
    async fn keep_port(&self) {
        let mut kept = self.kept.lock().await;
        *kept = kept.take().or_else(|| bind(self.address).ok());
    }

    /// Listens on the port that was kept, or on the same one if it was not.
    async fn listen_again(&self) -> Result<TcpListener, StartError> {
        let address = self.address;
        let failed = |source| StartError { address, source };
        let mut kept = self.kept.lock().await;
        let socket = kept.take().map_or_else(|| bind(address), Ok).map_err(failed)?;
        *kept = bind(address).ok();
        socket.listen(BACKLOG).map_err(failed)
    }

    /// Ends: every connection is closed and its end recorded, the port is free, and no task is left.
    pub async fn stop(self) {
        if let Some(running) = self.running.lock().await.take() {
            running.stop("broker stopped").await;
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(running) = self.running.get_mut() {
            running.abort();
        }
    }
}

/// A socket with this address that does not listen.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections that came through the port before may be there still.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
