//! `khumbu record`: a tap on a broker that others use, until a signal comes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::recorder::unwritable;
use super::{Exit, print, quiet_runtime, signals};
use crate::broker::Upstream;
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::topic;
use crate::recording::{LATEST_MS, Message};
use crate::sim::tap::Tap;
use crate::timespan::Timespan;

/// Records everything that passes a broker, until Ctrl-C or SIGTERM. QoS and retain flag are recorded as they were
/// published; messages that the broker had kept come first, with the retain flag. A tap cannot see who published, what
/// passed before it came, packets other than PUBLISH, or a second delivery.
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples::RECORD)]
pub struct Arguments {
    /// The broker: mqtt://host:port; it must speak MQTT 5
    #[arg(long, value_name = "URL")]
    broker: Upstream,
    /// Only topics that match; may be given several times [default: #]
    #[arg(long, value_name = "FILTER", value_parser = filter)]
    filter: Vec<String>,
    /// End by itself after this time [default: ten days]
    #[arg(long, value_name = "TIME")]
    r#for: Option<Timespan>,
    /// Where the recording goes; `-` is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

fn filter(text: &str) -> Result<String, String> {
    topic::check_filter(text).map(|()| text.to_owned())
}

/// Records.
pub fn run(arguments: &Arguments) -> Exit {
    let runtime = match quiet_runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    runtime.block_on(record(arguments)).unwrap_or_else(|(diagnostic, exit)| {
        print::diagnostics(&[*diagnostic]);
        exit
    })
}

type Failed = (Box<Diagnostic>, Exit);

async fn record(arguments: &Arguments) -> Result<Exit, Failed> {
    let filters = if arguments.filter.is_empty() { vec!["#".to_owned()] } else { arguments.filter.clone() };
    for (index, filter) in filters.iter().enumerate() {
        if let Some(other) = filters[..index].iter().find(|other| topic::overlap(other, filter)) {
            let headline = format!("a topic can match both `{other}` and `{filter}`, and would be recorded twice");
            return Err((
                Box::new(Diagnostic::new(Severity::Error, "usage/overlapping-filters", headline)),
                Exit::Usage,
            ));
        }
    }
    let url = &arguments.broker;
    let unusable = |why: String| {
        let headline = format!("broker `{url}` cannot be used: {why}");
        let help = "start it, or name another with --broker";
        (Box::new(Diagnostic::new(Severity::Error, "harness/no-broker", headline).with_help(help)), Exit::Error)
    };
    let mut interrupt = signals::interrupt();
    let mut tap = tokio::select! {
        connected = Tap::connect(url) => connected.map_err(unusable)?,
        () = wanted(&mut interrupt) => return Ok(Exit::Pass),
    };
    let mut output =
        Output::open(&arguments.file).map_err(|error| (unwritable(&arguments.file, &error), Exit::Usage))?;
    tap.listen(&filters).await.map_err(|error| unusable(error.to_string()))?;
    let shown = filters.join("`, `");
    print::err(&format!("recording `{shown}` of {url} in {}; Ctrl-C ends it\n", output.name));
    let longest = Duration::from_millis(LATEST_MS);
    let deadline = Instant::now() + arguments.r#for.map_or(longest, |span| span.0).min(longest);
    let is_lost = loop {
        let message = tokio::select! {
            biased;
            () = wanted(&mut interrupt) => break false,
            message = tap.next() => message,
            () = sleep_until(deadline) => break false,
        };
        let Some(message) = message else { break true };
        let mut written = output.write(&message);
        while let Some(message) = tap.next_at_hand() {
            written = written.and_then(|()| output.write(&message));
        }
        // Whatever happens to this program, what was heard is there.
        match written.and_then(|()| output.flush()) {
            Ok(()) => {}
            Err(error) => return Err((output.lost(&error), Exit::Error)),
        }
    };
    if is_lost {
        let headline = format!("broker `{url}` has closed the connection");
        let diagnostic = Diagnostic::new(Severity::Error, "broker/lost", headline).with_evidence(output.count());
        return Err((Box::new(diagnostic), Exit::Error));
    }
    let last = tap.finish().await;
    let written = last.iter().try_for_each(|message| output.write(message)).and_then(|()| output.flush());
    if let Err(error) = written {
        return Err((output.lost(&error), Exit::Error));
    }
    print::err(&format!("{}\n", output.count()));
    Ok(Exit::Pass)
}

/// Returns when the user wants to stop.
async fn wanted(interrupt: &mut watch::Receiver<bool>) {
    if interrupt.wait_for(|wanted| *wanted).await.is_err() {
        std::future::pending().await
    }
}

/// Where the recording goes.
struct Output {
    name: String,
    sink: BufWriter<Box<dyn Write>>,
    messages: usize,
}

impl Output {
    fn open(path: &Path) -> io::Result<Self> {
        let (name, sink): (_, Box<dyn Write>) = match path == Path::new("-") {
            true => ("standard output".to_owned(), Box::new(io::stdout())),
            false => (format!("`{}`", path.display()), Box::new(File::create(path)?)),
        };
        Ok(Self { name, sink: BufWriter::new(sink), messages: 0 })
    }

    fn write(&mut self, message: &Message) -> io::Result<()> {
        self.sink.write_all(message.to_line().as_bytes())?;
        self.messages += 1;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }

    fn count(&self) -> String {
        format!("{} recorded in {}", print::count(self.messages, "message"), self.name)
    }

    fn lost(&self, error: &io::Error) -> Box<Diagnostic> {
        let headline = format!("the recording in {} could not be written: {error}", self.name);
        Box::new(Diagnostic::new(Severity::Error, "run/recording-lost", headline))
    }
}
