//! Measures an MQTT broker from outside: round trips, one to one, one to a hundred. `ci/bench` starts it.
//!
//! `broker_bench PORT ROUNDS` measures whatever broker listens on that port of the loopback interface, and prints one
//! line a figure. The client is the same for every broker: plain sockets, no-delay, nothing shared with the
//! broker but the machine.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that cannot be made has nothing to say")]

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

const PAYLOAD: usize = 200;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [port, rounds] => measure(port.parse().unwrap(), rounds.parse().unwrap()),
        _ => panic!("usage: broker_bench PORT ROUNDS"),
    }
}

fn measure(port: u16, rounds: usize) {
    for qos in [0, 1] {
        let mut times = round_trips(port, qos, rounds);
        times.sort_unstable();
        println!("rtt_qos{qos}_p50_us {:.1}", micros(times[times.len() / 2]));
        println!("rtt_qos{qos}_p99_us {:.1}", micros(times[times.len() * 99 / 100]));
    }
    println!("one_to_one_per_s {:.0}", fan_out(port, 1, 20_000));
    println!("one_to_100_per_s {:.0}", fan_out(port, 100, 2_000));
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A publication there and back again through the broker, on two connections; with QoS 1 until our own copy has come,
/// and all acknowledgements with it.
fn round_trips(port: u16, qos: u8, rounds: usize) -> Vec<Duration> {
    let mut subscriber = Client::connect(port, "rtt-subscriber");
    subscriber.subscribe("rtt", qos);
    let mut publisher = Client::connect(port, "rtt-publisher");
    let packet = publish("rtt", qos);
    let mut times = Vec::with_capacity(rounds);
    for round in 0..rounds + rounds / 10 {
        let began = Instant::now();
        publisher.stream.write_all(&packet).unwrap();
        let got = subscriber.packet();
        if qos == 1 {
            let pkid = [got[8], got[9]];
            subscriber.stream.write_all(&[0x40, 2, pkid[0], pkid[1]]).unwrap();
            assert_eq!(publisher.packet()[0], 0x40);
        }
        if round >= rounds / 10 {
            times.push(began.elapsed());
        }
    }
    times
}

/// Deliveries a second of QoS 0 messages from one to many, from the first sent to the last received.
fn fan_out(port: u16, subscribers: usize, messages: usize) -> f64 {
    let mut publisher = Client::connect(port, "fan-publisher");
    let ready = Arc::new(Barrier::new(3));
    let received = Arc::new(AtomicU64::new(0));
    let size = publish("fan", 0).len();
    let mut readers = Vec::new();
    // Two threads read all: what is measured is the broker, not the scheduling of a hundred threads.
    let clients: Vec<_> = (0..subscribers).map(|n| Client::connect(port, &format!("fan-{n}"))).collect();
    let mut halves = [Vec::new(), Vec::new()];
    for (at, mut client) in clients.into_iter().enumerate() {
        client.subscribe("fan", 0);
        client.stream.set_nonblocking(true).unwrap();
        halves[at % 2].push((client, 0_usize));
    }
    for mut half in halves {
        let (ready, received) = (ready.clone(), received.clone());
        readers.push(thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            ready.wait();
            let mut open = half.len();
            while open > 0 {
                let mut idle = true;
                for (client, bytes) in &mut half {
                    if *bytes == messages * size {
                        continue;
                    }
                    match client.stream.read(&mut buffer) {
                        Ok(0) => panic!("closed by the broker"),
                        Ok(read) => {
                            idle = false;
                            *bytes += read;
                            received.fetch_add(read as u64, Ordering::Relaxed);
                            open -= usize::from(*bytes == messages * size);
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                if idle {
                    // So many sockets at once are looked at in turn, and what is measured needs the processor.
                    thread::sleep(Duration::from_micros(200));
                }
            }
        }));
    }
    ready.wait();
    let batch: Vec<u8> = publish("fan", 0).repeat(16);
    let began = Instant::now();
    let mut sent = 0;
    while sent < messages {
        let count = (messages - sent).min(16);
        publisher.stream.write_all(&batch[..count * size]).unwrap();
        sent += count;
        // No further ahead than a broker with small queues can bear: nothing may be lost.
        while (sent * subscribers * size) as u64 > received.load(Ordering::Relaxed) + (500 * subscribers * size) as u64
        {
            if began.elapsed() > Duration::from_secs(60) {
                panic!("the broker lost messages: {} bytes received", received.load(Ordering::Relaxed));
            }
            thread::yield_now();
        }
    }
    for reader in readers {
        reader.join().unwrap();
    }
    (messages * subscribers) as f64 / began.elapsed().as_secs_f64()
}

fn publish(topic: &str, qos: u8) -> Vec<u8> {
    let mut body = vec![0, topic.len() as u8];
    body.extend(topic.as_bytes());
    if qos > 0 {
        body.extend([0, 1]);
    }
    body.extend([b'x'; PAYLOAD]);
    let mut packet = vec![0x30 | qos << 1, body.len() as u8 | 0x80, (body.len() / 128) as u8];
    packet.extend(body);
    packet
}

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    fn connect(port: u16, id: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut client = Self { stream, buffer: Vec::new() };
        let mut connect = vec![0x10, 12 + id.len() as u8];
        connect.extend(b"\0\x04MQTT\x04\x02\0\0");
        connect.extend([0, id.len() as u8]);
        connect.extend(id.as_bytes());
        client.stream.write_all(&connect).unwrap();
        assert_eq!(client.packet(), [0x20, 2, 0, 0]);
        client
    }

    fn subscribe(&mut self, topic: &str, qos: u8) {
        let mut subscribe = vec![0x82, 5 + topic.len() as u8, 0, 1, 0, topic.len() as u8];
        subscribe.extend(topic.as_bytes());
        subscribe.push(qos);
        self.stream.write_all(&subscribe).unwrap();
        assert_eq!(self.packet(), [0x90, 3, 0, 1, qos]);
    }

    /// The next packet, of less than 16 kB.
    fn packet(&mut self) -> Vec<u8> {
        loop {
            if let [_, low, ..] = self.buffer[..] {
                let (length, head) = match low {
                    0..0x80 => (usize::from(low), 2),
                    _ => (usize::from(low & 0x7f) | self.buffer.get(2).map_or(0, |high| usize::from(*high) << 7), 3),
                };
                if self.buffer.len() >= head + length {
                    return self.buffer.drain(..head + length).collect();
                }
            }
            let mut more = [0; 4096];
            let read = self.stream.read(&mut more).unwrap();
            assert_ne!(read, 0, "closed by the broker");
            self.buffer.extend_from_slice(&more[..read]);
        }
    }
}
