//! Clients to start from, in several languages. Each conforms, and takes the orders of the scenario language as lines on its
//! standard input. Says what is written, and writes nothing.

use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::ApiType;

/// A language that there is a client in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Lang {
    Python,
    Node,
    C,
    Rust,
}

/// A client of an API, in a language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    lang: Lang,
    api: ApiType,
    text: &'static str,
}

const TEXTS: [(Lang, ApiType, &str); 8] = [
    (Lang::Python, ApiType::AUTH_CONSUMER, include_str!("clients/auth_consumer.py")),
    (Lang::Python, ApiType::AUTH_TOKEN_PROVIDER, include_str!("clients/auth_token_provider.py")),
    (Lang::Python, ApiType::AUTH_TOKEN_VALIDATOR, include_str!("clients/auth_token_validator.py")),
    (Lang::Node, ApiType::AUTH_CONSUMER, include_str!("clients/auth_consumer.mjs")),
    (Lang::Node, ApiType::AUTH_TOKEN_PROVIDER, include_str!("clients/auth_token_provider.mjs")),
    (Lang::Node, ApiType::AUTH_TOKEN_VALIDATOR, include_str!("clients/auth_token_validator.mjs")),
    (Lang::C, ApiType::AUTH_CONSUMER, include_str!("clients/auth_consumer.c")),
    (Lang::Rust, ApiType::AUTH_CONSUMER, include_str!("clients/auth_consumer.rs")),
];

impl Client {
    /// The client of an API in a language.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn new(lang: Lang, api: ApiType) -> Result<Self, Box<Diagnostic>> {
        let found = TEXTS.iter().find(|(known, of, _)| (*known, *of) == (lang, api));
        found.map(|(_, _, text)| Self { lang, api, text }).ok_or_else(|| {
            let headline = format!("there is no client of `{}` in this language", api.name());
            let others = "`--lang python` and `--lang node` have one of each API";
            Box::new(Diagnostic::new(Severity::Error, "usage/bad-value", headline).with_help(others))
        })
    }

    /// Its files, below the directory of the project.
    pub(super) fn files(self) -> Vec<(&'static str, String)> {
        let text = self.text.to_owned();
        match self.lang {
            Lang::Python => vec![("client.py", text)],
            Lang::Node => vec![("client.mjs", text), ("package.json", include_str!("clients/package.json").to_owned())],
            Lang::C => vec![("client.c", text)],
            Lang::Rust => {
                vec![("src/main.rs", text), ("Cargo.toml", include_str!("clients/Cargo.toml.txt").to_owned())]
            }
        }
    }

    /// What makes it ready to be started, once.
    pub(super) fn setup(self) -> &'static str {
        match self.lang {
            Lang::Python => "pip install 'paho-mqtt>=2'",
            Lang::Node => "npm install",
            Lang::C => "cc -std=c11 -Wall -o client client.c -lmosquitto",
            Lang::Rust => "cargo build",
        }
    }

    /// How it is started.
    pub(super) fn command(self) -> &'static str {
        match self.lang {
            Lang::Python => "python3 client.py",
            Lang::Node => "node client.mjs",
            Lang::C => "./client",
            Lang::Rust => "target/debug/client",
        }
    }

    /// How it is told what to do: `bindings` of `khumbu.yaml`.
    pub(super) fn bindings(self) -> Value {
        let commands: &[&str] = match self.api {
            ApiType::AUTH_TOKEN_PROVIDER => &["present_token"],
            ApiType::AUTH_TOKEN_VALIDATOR => &["set_verdict", "update_verdict"],
            _ if self.lang == Lang::C => &["withdraw", "get_status"],
            _ => &["withdraw", "get_status", "discover"],
        };
        let line = |command: &&str| match *command {
            "get_status" | "discover" => (*command).to_owned(),
            _ => format!("{command} {{arguments}}"),
        };
        commands.iter().map(|command| ((*command).to_owned(), json!({"stdin": line(command)}))).collect()
    }
}
