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

/// What is done with one ground on one processor, all cases of it in turn.
type Cases = Vec<(Ground, Vec<Case>)>;

/// Inputs, each with what it has to lead to.
type Case = Vec<(Input, Led)>;

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
    let (drawn, drawing) = on_all((0..threads).collect(), |thread| {
        let draw = |(turn, ground): (u64, &Ground)| (ground.clone(), draw(ground, each, [seed, thread, turn]));
        (0..).zip(&grounds).map(draw).collect::<Cases>()
    });
    let (inputs, playing) =
        on_all(drawn, |cases| cases.into_iter().map(|(ground, cases)| play(&ground, &cases)).sum::<usize>());
    let inputs: usize = inputs.into_iter().sum();
    assert!(inputs as f64 > total * INPUTS as f64 * 0.9, "{inputs} inputs in {total} cases are too few");
    let per_second = |took: Duration| total / took.as_secs_f64();
    println!("in_process_cases_per_s {:.0}", per_second(drawing + playing));
    println!("drawn_cases_per_s {:.0}", per_second(drawing));
    println!("played_cases_per_s {:.0}", per_second(playing));
}

/// Does something with each of these, on a thread each, and says how long all of it takes.
fn on_all<T: Send, U: Send>(all: Vec<T>, act: impl Fn(T) -> U + Sync) -> (Vec<U>, Duration) {
    let began = Instant::now();
    let done = thread::scope(|scope| {
        let threads: Vec<_> = all.into_iter().map(|it| scope.spawn(|| act(it))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    (done, began.elapsed())
}

fn draw(ground: &Ground, cases: u64, seeds: [u64; 3]) -> Vec<Case> {
    let mut seed = [0; 32];
    for (to, from) in seed.chunks_exact_mut(8).zip(seeds) {
        to.copy_from_slice(&from.to_le_bytes());
    }
    let config = Config { failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let inputs = strategies::foreseen(ground, INPUTS..INPUTS + 1);
    (0..cases).map(|_| inputs.new_tree(&mut runner).unwrap().current()).collect()
}

/// How many inputs were played.
fn play(ground: &Ground, cases: &[Case]) -> usize {
    let model = ground.model();
    let play = |case: &Case| {
        let mut station = model.clone();
        assert!(case.iter().all(|(input, led)| station.led(input).looks_like(led)));
        case.len()
    };
    cases.iter().map(play).sum()
}
