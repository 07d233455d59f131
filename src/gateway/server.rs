//! Connections: how many, how slow, and what becomes of a panic.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::error::ApiError;
use super::fleet::Fleet;
use super::routes::{self, Gateway};
use super::tokens::Tokens;

/// What clients may take.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Connections at a time; others wait.
    connections: usize,
    /// Time for the head of a request, also for the next one of an idle connection.
    head: Duration,
    /// Time for a request, its body included.
    request: Duration,
}

const LIMITS: Limits = Limits { connections: 512, head: Duration::from_secs(30), request: Duration::from_secs(20) };
/// Streams of events at a time; each takes a connection.
const MOST_WATCHERS: usize = 16;
/// A pause after a connection that could not be accepted, as when there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(50);

/// A gateway that serves, until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Server {
    /// Listens, and serves the chargers to whoever has a token.
    ///
    /// # Errors
    /// When the address is taken or is none of this machine.
    pub async fn start(listen: SocketAddr, fleet: Fleet, tokens: Tokens) -> std::io::Result<Self> {
        let gateway = Gateway { fleet, tokens, places: Arc::new(Semaphore::new(MOST_WATCHERS)) };
        let router = routes::router(Arc::new(gateway), listen.ip().to_canonical().is_loopback());
        Self::serve(TcpListener::bind(listen).await?, router, LIMITS)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn serve(listener: TcpListener, router: Router, limits: Limits) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let router = router.layer(middleware::from_fn(move |request, next| guard(request, next, limits.request)));
        Ok(Self { address, accepting: tokio::spawn(accept(listener, router, limits)) })
    }
}

async fn accept(listener: TcpListener, router: Router, limits: Limits) {
    let places = Arc::new(Semaphore::new(limits.connections));
    // They end with this task.
    let mut connections = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = stream else {
            sleep(PAUSE).await;
            continue;
        };
        let router = router.clone();
        connections.spawn(async move {
            converse(stream, router, limits.head).await;
            drop(place);
        });
    }
}

async fn converse(stream: TcpStream, router: Router, head: Duration) {
    // Answers are small; a socket that has no such option works all the same.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // A client that breaks off or sends no HTTP is no concern of anybody else.
    let _ = connection.await;
}

/// Keeps a request within its time, and a panic within its request.
async fn guard(request: Request, next: Next, within: Duration) -> Response {
    let mut work = tokio::spawn(next.run(request));
    match timeout(within, &mut work).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => ApiError::Internal.into_response(),
        Err(_) => {
            work.abort();
            ApiError::TooSlow(within.as_secs()).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn say(server: &Server, text: &str) -> String {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(Duration::from_secs(60), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    }

    async fn server(limits: Limits) -> Server {
        let router = Router::new()
            .route("/panic", get(async || -> Response { panic!("on purpose") }))
            .route("/body", post(async |body: String| body));
        Server::serve(TcpListener::bind("127.0.0.1:0").await.unwrap(), router, limits).unwrap()
    }

    #[tokio::test]
    async fn a_panic_is_a_500_and_nothing_more() {
        let server = server(LIMITS).await;
        for _ in 0..2 {
            let answer = say(&server, "GET /panic HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
            assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
            assert!(answer.ends_with("{\"detail\":\"Internal Server Error\"}"), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_a_408() {
        let server = server(Limits { request: Duration::from_millis(100), ..LIMITS }).await;
        let answer = say(&server, "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc").await;
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("{\"detail\":"), "{answer}");
    }

    #[tokio::test]
    async fn a_head_that_does_not_come_ends_the_connection() {
        let server = server(Limits { head: Duration::from_millis(100), ..LIMITS }).await;
        for head in ["", "GET /panic HTTP/1.1\r\nhost:"] {
            assert_eq!(say(&server, head).await, "", "{head}");
        }
    }

    #[tokio::test]
    async fn more_connections_than_allowed_wait_for_their_turn() {
        let server = server(Limits { connections: 1, head: Duration::from_millis(200), ..LIMITS }).await;
        let silent = TcpStream::connect(server.address()).await.unwrap();
        let answer = say(&server, "GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        // It was let go before the other one had its turn.
        let mut rest = Vec::new();
        let mut silent = silent;
        assert_eq!(timeout(Duration::from_secs(60), silent.read_to_end(&mut rest)).await.unwrap().unwrap(), 0);
    }
}
