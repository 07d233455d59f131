//! Properties of your own, with khumbu's strategies: `cargo test --example own_property`.
//!
//! One is of the station in process, in virtual time. The other is of a client over the broker: yours, if its command line is in
//! `MODULE`, such as `MODULE='python3 my_display.py --port {port}'`; else the built-in one.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "an example says what it expects, and no more")]

fn main() {
    println!("cargo test --example own_property");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use khumbu::conformance::requirements;
    use khumbu::fuzz::{Case, Ground, Head, Input, strategies};
    use khumbu::protocol::channel::ApiType;
    use khumbu::protocol::release::Release;
    use khumbu::protocol::side::Side;
    use khumbu::protocol::types::TokenValidationStatus;
    use khumbu::runner::{self, ModuleSource, Piece, Settings};
    use khumbu::scenario::{self, Known};
    use khumbu::verdict::Verdict;
    use proptest::prelude::*;

    /// Two EVSEs, and tokens of all kinds.
    fn ground(under_test: Side) -> Ground {
        Ground::all(under_test, ApiType::AUTH_CONSUMER, Release::default()).remove(0)
    }

    proptest! {
        /// Whatever went before, a token that is presented is first in process, or is ignored.
        #[test]
        fn a_token_is_first_in_process(inputs in strategies::inputs(&ground(Side::Everest), 1..30)) {
            let mut model = ground(Side::Everest).model();
            for input in &inputs {
                let led = model.led(input);
                if let Input::PresentToken(token) = input {
                    let first = led.statuses.first().map(|(of, status)| (of, status.status));
                    prop_assert!(first.is_none_or(|first| first == (token, TokenValidationStatus::Processing)));
                }
            }
        }
    }

    proptest! {
        // Each of them starts the module.
        #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

        /// The client breaks no requirement, whatever it is shown.
        #[test]
        fn my_client_survives(inputs in strategies::inputs(&ground(Side::Client), 1..10)) {
            let case = Case { ground: ground(Side::Client), inputs };
            let ids: Vec<_> = requirements::ids().collect();
            let text = case.scenario(&Head { description: "what nobody thought of", ..Head::default() });
            let scenario = scenario::parse("case", &text, Known { requirements: &ids, answers: None }).unwrap();
            let module = match std::env::var("MODULE") {
                Ok(line) => ModuleSource::Command(line.split_whitespace().map(str::to_owned).collect()),
                Err(_) => ModuleSource::Builtin(None),
            };
            let release = Release::default();
            let piece = Piece::new(Arc::new(scenario), release);
            let (events, _) = tokio::sync::mpsc::unbounded_channel();
            let (_interrupt, interrupted) = tokio::sync::watch::channel(false);
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let results = runtime.block_on(runner::run(vec![piece], Settings::new(module), events, interrupted, |_| false));
            prop_assert_eq!(results[0].verdict, Verdict::Pass, "{:#?}\n{}", results[0].findings, text);
        }
    }
}
