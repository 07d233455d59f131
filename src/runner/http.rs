//! One request over HTTP and its answer, as a program that uses a gateway makes it.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// A request.
#[derive(Debug)]
pub struct Request<'r> {
    /// In capitals.
    pub method: &'static str,
    /// Path and query.
    pub path: &'r str,
    /// The bearer token.
    pub token: Option<&'r str>,
    /// Sent as JSON.
    pub body: Option<&'r Value>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// Of three digits.
    pub status: u16,
    /// The body: JSON, or a text if it is none.
    pub body: Value,
}

/// Makes a request over a connection of its own. The caller sets the limit of time.
///
/// # Errors
/// When it cannot be made, or when the answer breaks off.
pub async fn ask(
    address: SocketAddr,
    request: &Request<'_>,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let mut built =
        hyper::Request::builder().method(request.method).uri(request.path).header(HOST, address.to_string());
    if let Some(token) = request.token {
        built = built.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    if request.body.is_some() {
        built = built.header(CONTENT_TYPE, "application/json");
    }
    let body = request.body.map(Value::to_string).unwrap_or_default();
    let built = built.body(Full::new(Bytes::from(body)))?;
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async move {
        let response = sender.send_request(built).await?;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await?.to_bytes();
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        Ok(Answer { status, body: serde_json::from_slice(&bytes).unwrap_or_else(|_| text()) })
    };
    // The connection ends with the exchange, which says itself what went wrong.
    let (answer, _) = tokio::join!(exchange, connection);
    answer
}
