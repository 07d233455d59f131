//! The listening socket and the tasks of the connections that came through it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
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
    task: JoinHandle<()>,
}

impl Running {
    pub(super) fn start(hub: Arc<Hub>, listener: TcpListener) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self { stop, task: tokio::spawn(accept(hub, listener, stopped)) }
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

async fn accept(hub: Arc<Hub>, listener: TcpListener, mut stopped: oneshot::Receiver<String>) {
    // Dropped with this task, and all its tasks with it.
    let mut connections = JoinSet::new();
    connections.spawn(keep_time(hub.clone()));
    let cause = loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => welcome(&hub, stream, peer, &mut connections),
                Err(_) => sleep(REST).await,
            },
            Some(_) = connections.join_next() => {}
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

fn welcome(hub: &Arc<Hub>, stream: tokio::net::TcpStream, peer: SocketAddr, connections: &mut JoinSet<()>) {
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
