//! Measures a commands gateway from outside. `ci/bench` starts it.
//!
//! `gateway_bench PORT TOKEN CHARGERS SECONDS` resets the authorization caches of chargers `dep-0` to `dep-N` in turn,
//! over a few connections that stay open, and prints the requests a second that were answered well.
//! `gateway_bench PORT TOKEN LOCATION` has an EV plugged in at each charger of a location, and prints how long that takes.
//! The client is the same for every gateway: plain sockets, no-delay.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that cannot be made has nothing to say")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

const THREADS: usize = 2;
/// Requests under way at a time, of each thread: so the gateway never waits for us.
const CONNECTIONS: usize = 16;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [port, token, chargers, seconds] => {
            let within = Duration::from_secs_f64(seconds.parse().unwrap());
            println!(
                "cache_reset_per_s {:.0}",
                resets(port.parse().unwrap(), token, chargers.parse().unwrap(), within)
            );
        }
        [port, token, location] => {
            let body = format!(r#"{{"target":{{"location_id":"{location}"}},"event":{{"evse_id":1}}}}"#);
            let mut client = Client::connect(port.parse().unwrap());
            let began = Instant::now();
            client.send(&request("plug-connector", token, &body));
            let answer = client.answer();
            let took = began.elapsed();
            let count = answer.split_once("\"queued_count\":").unwrap().1.split(',').next().unwrap();
            println!("location_command_ms {:.1}\nlocation_chargers {count}", took.as_secs_f64() * 1e3);
        }
        _ => panic!("usage: gateway_bench PORT TOKEN CHARGERS SECONDS | gateway_bench PORT TOKEN LOCATION"),
    }
}

fn resets(port: u16, token: &str, chargers: usize, within: Duration) -> f64 {
    let requests: Vec<_> = (0..chargers)
        .map(|n| request("cache/reset", token, &format!(r#"{{"target":{{"charger_id":"dep-{n}"}},"event":{{}}}}"#)))
        .collect();
    let work = |first: usize| {
        let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| Client::connect(port)).collect();
        let mut next = (first..).map(|n| &requests[n % chargers]);
        let (mut count, mut began) = (0, Instant::now());
        // The first tenth warms up.
        let start = began + within / 10;
        while began < start || began.elapsed() < within {
            for client in &mut clients {
                client.send(next.next().unwrap());
            }
            for client in &mut clients {
                assert!(client.answer().contains("\"cleared_entries\":0"));
                count += 1;
            }
            if began < start && Instant::now() >= start {
                (count, began) = (0, Instant::now());
            }
        }
        f64::from(count) / began.elapsed().as_secs_f64()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|n| scope.spawn(move || work(n * chargers / THREADS))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

fn request(command: &str, token: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "POST /ocpp/commands/{command} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (head + body).into_bytes()
}

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    fn send(&mut self, request: &[u8]) {
        self.stream.write_all(request).unwrap();
    }

    /// The body of the next answer, which must be a 200 with a length.
    fn answer(&mut self) -> String {
        let mut more = [0; 16 * 1024];
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
                assert!(head.starts_with("http/1.1 200 "), "{head}");
                let length: usize =
                    head.split_once("content-length: ").unwrap().1.lines().next().unwrap().parse().unwrap();
                if self.buffer.len() >= end + 4 + length {
                    let answer: Vec<u8> = self.buffer.drain(..end + 4 + length).skip(end + 4).collect();
                    return String::from_utf8(answer).unwrap();
                }
            }
            let read = self.stream.read(&mut more).unwrap();
            assert_ne!(read, 0, "closed by the gateway");
            self.buffer.extend_from_slice(&more[..read]);
        }
    }
}
