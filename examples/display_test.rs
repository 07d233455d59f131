//! A test of a display in Rust, with a station of EVerest in the same process: `cargo test --example display_test`.
//!
//! The display is an ordinary MQTT client, on rumqttc. In a project of your own, khumbu is a dev-dependency, and this a file in `tests/`.

#![allow(clippy::print_stdout, reason = "an example says how it is run, and no more")]

fn main() {
    println!("cargo test --example display_test");
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use khumbu::testing::{Failure, Station};
    use rumqttc::{Client, Event, Incoming, MqttOptions, QoS};

    /// A display: what it is shown goes to a channel, and it can withdraw what was authorized.
    struct Display {
        client: Client,
        base: String,
        shown: Receiver<String>,
    }

    impl Display {
        fn connect(broker: SocketAddr, module_id: &str) -> Self {
            let mut options = MqttOptions::new("display", broker.ip().to_string(), broker.port());
            options.set_keep_alive(Duration::from_secs(5));
            let (client, mut connection) = Client::new(options, 10);
            let base = format!("everest_api/1/auth_consumer/{module_id}");
            let (show, shown) = channel();
            let (again, own) = (client.clone(), base.clone());
            std::thread::spawn(move || {
                for event in connection.iter() {
                    match event {
                        Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                            let _ = again.try_subscribe(format!("{own}/e2m/token_validation_status"), QoS::AtLeastOnce);
                        }
                        // EVerest wants to hear every five seconds that somebody is there.
                        Ok(Event::Incoming(Incoming::SubAck(_))) => {
                            let topic = format!("{own}/m2e/communication_check");
                            let _ = again.try_publish(topic, QoS::AtLeastOnce, false, "true");
                        }
                        Ok(Event::Incoming(Incoming::Publish(publish))) => {
                            let status: serde_json::Value =
                                serde_json::from_slice(&publish.payload).unwrap_or_default();
                            let _ = show.send(status["status"].as_str().unwrap_or_default().to_owned());
                        }
                        Ok(_) => {}
                        // The station is gone.
                        Err(_) => return,
                    }
                }
            });
            Self { client, base, shown }
        }

        fn withdraw(&self, evse: u32) {
            let request = format!(r#"{{"headers": {{}}, "payload": {{"evse_id": {evse}}}}}"#);
            let topic = format!("{}/m2e/withdraw_authorization", self.base);
            self.client.publish(topic, QoS::AtLeastOnce, false, request).expect("its connection is there");
        }
    }

    const HEAD: &str = "
station:
  evses: 2
  tokens:
    ALICE: {value: \"04A2F3B1\", type: ISO14443}
";

    #[test]
    fn a_driver_sees_what_becomes_of_a_token() -> Result<(), Failure> {
        let station = Station::open(HEAD)?;
        let display = Display::connect(station.address(), station.module_id());
        station.play("plug_in: {evse: 1}")?;
        station.play("present_token: ALICE")?;
        station.play("expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart]}")?;
        let shown: Vec<_> = display.shown.iter().take(3).collect();
        assert_eq!(shown, ["Processing", "Accepted", "UsedToStart"]);
        display.withdraw(1);
        station.play("expect: {message: withdraw_authorization, payload: {payload: {evse_id: 1}}}")?;
        station.play("expect_status: {token: ALICE, status: Withdrawn}")?;
        assert!(station.close()?.is_pass);
        Ok(())
    }

    /// One that counts EVSEs from 0 is found out: what follows is what its author would read.
    #[test]
    fn a_display_that_withdraws_elsewhere_is_found_out() -> Result<(), Failure> {
        let station = Station::open(HEAD)?;
        let display = Display::connect(station.address(), station.module_id());
        station.play("plug_in: {evse: 1}")?;
        display.withdraw(0);
        let expected = "expect: {message: withdraw_authorization, payload: {payload: {evse_id: 1}}, within: 1s}";
        let failure = station.play(expected).expect_err("it withdraws at another EVSE");
        assert_eq!(failure.id(), "expect/missing");
        assert!(failure.to_string().contains("but `payload.evse_id` is `0`, expected `1`"), "{failure}");
        // What a step has found is in the verdict as well.
        assert_eq!(station.close().expect_err("a step was not met").id(), "expect/missing");
        Ok(())
    }
}
