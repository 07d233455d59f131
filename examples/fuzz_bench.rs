//! Measures fuzzing in process: what drawing cases of 20 inputs takes, with what each input has to lead to, and what playing
//! each of them at a station and comparing takes, on all processors. `ci/bench fuzz` starts it.
//!
//! `fuzz_bench CASES [SEED]` prints cases a second: drawn, played, and both. The station does what it has to, so that no case
//! ends before its last input. Stations whose times run out in a case take other cases, and are left out.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that cannot be made has nothing to say")]

use std::num::NonZero;
use std::thread;
use std::time::{Duration, Instant};

use khumbu::fuzz::{Ground, Input, Led, strategies};
use khumbu::protocol::channel::ApiType;
use khumbu::protocol::release::Release;
use khumbu::protocol::side::Side;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const INPUTS: usize = 20;

/// Inputs, each with what it has to lead to.
type Case = Vec<(Input, Led)>;

/// What was done on one processor.
#[derive(Default)]
struct Done {
    inputs: usize,
    drawing: Duration,
    playing: Duration,
}

fn main() {
    let arguments: Vec<u64> = std::env::args().skip(1).map(|argument| argument.parse().unwrap()).collect();
    let (cases, seed) = match arguments[..] {
        [cases] => (cases, 1),
        [cases, seed] => (cases, seed),
        _ => panic!("usage: fuzz_bench CASES [SEED]"),
    };
    let mut grounds = Ground::all(Side::Everest, ApiType::AUTH_CONSUMER, Release::default());
    grounds.retain(|ground| !ground.site.is_slow());
    let threads = thread::available_parallelism().map_or(1, NonZero::get) as u64;
    let each = cases.div_ceil(threads * grounds.len() as u64);
    let total = (each * threads * grounds.len() as u64) as f64;
    let began = Instant::now();
    let done: Vec<_> = thread::scope(|scope| {
        let grounds = &grounds;
        let on_one = move |thread| {
            let mut done = Done::default();
            for (turn, ground) in (0..).zip(grounds) {
                play_all(ground, each, [seed, thread, turn], &mut done);
            }
            done
        };
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || on_one(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let took = began.elapsed();
    let inputs: usize = done.iter().map(|done| done.inputs).sum();
    assert!(inputs as f64 > total * INPUTS as f64 * 0.9, "{inputs} inputs in {total} cases are too few");
    // All threads draw, and play, as much.
    let per_second = |part: fn(&Done) -> Duration| {
        let took: Duration = done.iter().map(part).sum();
        total * threads as f64 / took.as_secs_f64()
    };
    println!("in_process_cases_per_s {:.0}", total / took.as_secs_f64());
    println!("drawn_cases_per_s {:.0}", per_second(|done| done.drawing));
    println!("played_cases_per_s {:.0}", per_second(|done| done.playing));
}

/// Draws cases and plays each at once, as a campaign does.
fn play_all(ground: &Ground, cases: u64, seeds: [u64; 3], done: &mut Done) {
    let mut seed = [0; 32];
    for (to, from) in seed.chunks_exact_mut(8).zip(seeds) {
        to.copy_from_slice(&from.to_le_bytes());
    }
    let config = Config { failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let (inputs, model) = (strategies::foreseen(ground, INPUTS..INPUTS + 1), ground.model());
    for _ in 0..cases {
        let began = Instant::now();
        let case: Case = inputs.new_tree(&mut runner).unwrap().current();
        let drawn = Instant::now();
        let mut station = model.clone();
        assert!(case.iter().all(|(input, led)| station.led(input).looks_like(led)));
        done.drawing += drawn - began;
        done.playing += drawn.elapsed();
        done.inputs += case.len();
    }
}
