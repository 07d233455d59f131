//! The listening socket and the tasks of the connections that came through it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use super::connection;
use super::hub::Hub;

/// How long accepting rests when the system has no more file descriptors.
const REST: Duration = Duration::from_millis(10);

/// A broker that accepts connections.
#[derive(Debug)]
pub(super) struct Running {
    stop: oneshot::Sender<String>,
    door: mpsc::UnboundedSender<Door>,
    is_shut: bool,
    task: JoinHandle<()>,
}

/// What becomes of the port while khumbu's own clients stay.
#[derive(Debug)]
enum Door {
    Shut(oneshot::Sender<()>),
    Open(TcpListener),
}

impl Running {
    pub(super) fn start(hub: Arc<Hub>, listener: TcpListener) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (door, doors) = mpsc::unbounded_channel();
        Self { stop, door, is_shut: false, task: tokio::spawn(accept(hub, listener, doors, stopped)) }
    }

    /// Closes the port and cuts off everybody but khumbu; when this returns all of it is done.
    pub(super) async fn shut(&mut self) {
        self.is_shut = true;
        let (done, is_done) = oneshot::channel();
        // A task that is gone has closed everything.
        let _ = self.door.send(Door::Shut(done));
        let _ = is_done.await;
    }

    pub(super) fn is_shut(&self) -> bool {
        self.is_shut
    }

    /// Accepts connections again.
    pub(super) fn open(&mut self, listener: TcpListener) {
        self.is_shut = false;
        let _ = self.door.send(Door::Open(listener));
    }

    /// Closes everything. When this returns the port is free, every end is recorded, and no task is left.
    pub(super) async fn stop(self, cause: &str) {
        // The task ends on its own only by a bug; then there is nobody to be told.
        let _ = self.stop.send(cause.to_owned());
        let _ = self.task.await;
    }

    /// Ends all tasks at once, without a record.
    pub(super) fn abort(&self) {
        self.task.abort();
    }
}

async fn accept(
    hub: Arc<Hub>,
    listener: TcpListener,
    mut doors: mpsc::UnboundedReceiver<Door>,
    mut stopped: oneshot::Receiver<String>,
) {
    let mut listener = Some(listener);
    // Dropped with this task, and all its tasks with it.
    let mut connections = JoinSet::new();
    connections.spawn(keep_time(hub.clone()));
    let cause = loop {
        tokio::select! {
            accepted = accepted(listener.as_ref()) => match accepted {
                Ok((stream, peer)) => welcome(&hub, stream, peer, &mut connections),
                Err(_) => sleep(REST).await,
            },
            Some(_) = connections.join_next() => {}
            Some(door) = doors.recv() => match door {
                Door::Open(open) => listener = Some(open),
                Door::Shut(done) => {
                    listener = None;
                    hub.close_foreign("broker down");
                    // Whoever waits may have been given up.
                    let _ = done.send(());
                }
            },
            cause = &mut stopped => break cause,
        }
    };
    drop(listener);
    let Ok(cause) = cause else { return };
    hub.close_all(&cause);
    // All but the keeper of time end by themselves.
    while connections.len() > 1 {
        connections.join_next().await;
    }
    connections.shutdown().await;
}

/// The next connection; none comes while the port is closed.
async fn accepted(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

fn welcome(hub: &Arc<Hub>, stream: TcpStream, peer: SocketAddr, connections: &mut JoinSet<()>) {
    // A socket that cannot be prepared is one that is gone already.
    let Ok((half, pipe)) = connection::split(stream) else { return };
    if let Some(number) = hub.accept(peer, &pipe) {
        connections.spawn(connection::serve(hub.clone(), half, pipe, peer, number));
    }
}

/// Publishes delayed wills and ends sessions when their time has come.
async fn keep_time(hub: Arc<Hub>) {
    loop {
        match hub.tick() {
            None => hub.due.notified().await,
            Some(next) => tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {}
                () = hub.due.notified() => {}
            },
        }
    }
}
