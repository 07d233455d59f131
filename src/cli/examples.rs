//! What stands below the help of each command: how it is called, and how it ends.

/// How a command ends that has a verdict.
macro_rules! exits {
    ($good:literal, $bad:literal) => {
        concat!(
            "\nExit codes:\n  0  ",
            $good,
            "\n  1  ",
            $bad,
            "\n  2  wrong usage or a bad file\n  3  something was not judged, or khumbu is at fault"
        )
    };
}

/// How a command ends that has none.
macro_rules! ends {
    () => {
        "\nExit codes:\n  0  done\n  2  wrong usage or a bad file\n  3  khumbu is at fault, or its output got lost"
    };
}

pub(super) const RUN: &str = concat!(
    "Examples:
  khumbu run
      plays scenarios/ against the built-in modules
  khumbu run scenarios/client --module 'python3 my_display.py --port {port}'
      against a client of yours, which is started anew for each scenario
  khumbu run first.yaml --attach --listen 127.0.0.1:1883
      against a module that runs already, or that you start in a debugger
  khumbu run -k withdraw --release all --junit report.xml
      only scenarios with that word in their path or description, for every release of EVerest
",
    exits!("everything passed", "a module failed")
);

pub(super) const CONFORM: &str = concat!(
    "Examples:
  khumbu conform --side client --module 'python3 my_display.py --port {port}'
      judges a client by all that is required of it
  khumbu conform --side everest --module ./my_everest --report report.html
      judges an EVerest, and writes a page for people
  khumbu conform --side client --api auth_token_validator --module ./my_backend --only VA-3
      puts one requirement to the test
  khumbu conform --list
      prints the requirements, with their sources
",
    exits!("nothing is broken", "a requirement is broken")
);

pub(super) const FUZZ: &str = concat!(
    "Examples:
  khumbu fuzz --side client --module 'python3 my_display.py --port {port}' --for 10m --save regressions
      looks for ten minutes, and keeps each find as a scenario that `khumbu run` plays
  khumbu fuzz --side everest --seed 7 --cases 500
      the same cases again
",
    exits!("nothing was found", "something was")
);

pub(super) const MERGE: &str = concat!(
    "Examples:
  khumbu merge 1.json 2.json 3.json --junit report.xml
      makes one verdict of three shards
",
    exits!("everything passed", "a module failed")
);

pub(super) const REPLAY: &str = concat!(
    "Examples:
  khumbu replay field.jsonl --module ./my_everest --station station.yaml
      does to an EVerest what was done in the recording, and compares its answers
  khumbu replay field.jsonl --side client --module 'python3 my_display.py --port {port}' --speed 10
      shows a client what EVerest said, ten times as fast
",
    exits!("the module did as recorded", "it did not")
);

pub(super) const PARITY: &str = concat!(
    "Examples:
  khumbu parity field.jsonl --station station.yaml
      whether the simulated station does what was recorded
",
    exits!("the station does what was recorded", "it does not")
);

pub(super) const DRIFT: &str = concat!(
    "Examples:
  khumbu drift --asyncapi docs/2026.02 --release 2026.02
      whether khumbu knows the APIs as EVerest documents them
  khumbu drift --asyncapi docs/2026.02 --asyncapi docs/main
      what a new release changes on the wire
",
    exits!("nothing differs", "something does")
);

pub(super) const CHECK: &str = concat!(
    "Examples:
  khumbu check
      checks scenarios/
  khumbu check --told first.yaml
      also lists what a module has to be told
",
    ends!()
);

pub(super) const FMT: &str = concat!(
    "Examples:
  khumbu fmt
      formats scenarios/, or what khumbu.yaml names, and khumbu.yaml itself
  khumbu fmt --check
      changes nothing; prints what would change, as a patch
  khumbu fmt - < scenarios/first.yaml
      from standard input to standard output, for editors
",
    "\nExit codes:\n  0  done; with --check: all is formatted\n  1  with --check: something is not\n  \
     2  wrong usage or a bad file\n  3  khumbu is at fault, or its output got lost"
);

pub(super) const LSP: &str = concat!(
    "Examples:
  khumbu lsp
      answers an editor, which starts it by itself; docs/editors.md has the settings for VS Code, Neovim and Helix
",
    "\nExit codes:\n  0  the editor was done, or went away\n  1  it left without saying so first, as the protocol asks\n  \
     2  wrong usage, or what came is not the protocol\n  3  khumbu is at fault, or its output got lost"
);

pub(super) const SIM: &str = concat!(
    "Examples:
  khumbu sim --listen 127.0.0.1:1883
      a charger to develop against; it takes commands on standard input, `help` lists them
  khumbu sim --record sim.jsonl
      the same, recorded: `khumbu scenario sim.jsonl` makes a scenario of what happened
",
    ends!()
);

pub(super) const RECORD: &str = concat!(
    "Examples:
  khumbu record --broker mqtt://localhost:1883 --filter 'everest_api/#' field.jsonl
      until Ctrl-C
",
    ends!()
);

pub(super) const EVEREST: &str = concat!(
    "Examples:
  khumbu everest scenarios/everest/withdraw_by_evse.yaml --config everest.yaml
      writes EVerest's configuration for the station of a scenario
  khumbu everest --run /opt/everest/bin/manager
      runs EVerest as a module under test; ends as EVerest ends
",
    "\nEnds as EVerest ends where it is run; else with 0, with 2 for wrong usage or a bad file, with 3 if khumbu is at fault"
);

pub(super) const REVIEW: &str = concat!(
    "Examples:
  khumbu review
      shows what changed in goldens, one after the other, and asks
  khumbu review --accept scenarios/client
      accepts all below a directory
",
    exits!("nothing waits", "a golden waits to be accepted or rejected")
);

pub(super) const SCHEMA: &str = concat!(
    "Examples:
  khumbu schema
      prints it, for an editor that completes and checks scenario files
  khumbu schema config
      the same for khumbu.yaml
  khumbu schema recording
      that of a line of a recording
  khumbu schema --markdown
      every key and step with its description, as a page
",
    ends!()
);

pub(super) const SERVE: &str = concat!(
    "Examples:
  khumbu serve --stdio
      answers requests on standard input until that ends; docs/test_suites.md has the methods, and packages for pytest, Node and Rust
",
    ends!()
);

pub(super) const EXPLAIN: &str = concat!(
    "Examples:
  khumbu explain monitor/second-reply
      what leads to a message, how it looks, what to do
  khumbu explain VA-3
      what a requirement asks, and where it is written
",
    ends!()
);

pub(super) const NEW: &str = concat!(
    "Examples:
  khumbu new --module 'python3 my_display.py --port {port}'
      for a display, in the working directory
  khumbu new checks --side client --api auth_token_validator --module ./my_backend --ci github
      for a backend, in a directory of its own, with a job for GitHub
  khumbu new my_display --lang python
      writes a display in Python, too: a client that conforms, to start from
",
    exits!("the first scenario passed", "it failed")
);

pub(super) const DOCTOR: &str = concat!(
    "Examples:
  khumbu doctor --module 'python3 my_display.py --port {port}'
      starts a display, and tells what it does and what is missing
  khumbu doctor --side client --api auth_token_validator --attach --listen 127.0.0.1:1883
      waits for a backend that runs already
",
    exits!("it is ready, and says that it is there", "it says nothing, ends with an error, or breaks a rule")
);

pub(super) const COMPLETIONS: &str = concat!(
    "Examples:
  khumbu completions bash
      prints them; put them where your shell looks, such as ~/.local/share/bash-completion/completions/khumbu
",
    ends!()
);

pub(super) const MAN: &str = concat!(
    "Examples:
  khumbu man ~/.local/share/man/man1
      writes khumbu.1 and a page for each command
",
    ends!()
);

pub(super) const SCENARIO: &str = concat!(
    "Examples:
  khumbu scenario recording.jsonl
      what was recorded, as a scenario on standard output
  khumbu scenario recording.jsonl --output scenarios/withdraw.yaml
      the same in a file that must not be there yet
  khumbu scenario recording.jsonl --from 12s --to 30s --side client
      a part of it, for a client
  khumbu scenario recording.jsonl --from 40 --to 95 --station station.yaml
      from line 40 to line 95; the station file says what foreign topics mean
",
    ends!()
);
