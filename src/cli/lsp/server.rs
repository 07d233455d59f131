//! What is answered to an editor, without a word of input or output.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gen_lsp_types as lsp;
use lsp_server::{ErrorCode, Message, Notification, Request, RequestId, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::config::{self, Config};
use crate::cli::schema::Of;
use crate::cli::{Exit, VERSION};
use crate::conformance::requirements;
use crate::diagnostic::{Diagnostic, Severity, catalogue};
use crate::editor::{self, Kind, Position};
use crate::gateway;
use crate::gateway::chargers::Chargers;
use crate::gateway::tokens::Tokens;
use crate::parity::StationFile;
use crate::scenario::{self, Known, idle, near_topics};

/// More files than anybody has open.
const MOST_OPEN: usize = 256;
/// The scheme under which an editor may ask for what `khumbu explain` says.
const SCHEME: &str = "khumbu";

/// How far it has come with the editor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Serving,
    ShutDown,
}

/// A file that is open.
struct Open {
    version: i32,
    text: String,
    kind: usize,
    /// It is a file of khumbu's, and no other program's.
    is_ours: bool,
    found: Vec<Diagnostic>,
    is_looked_at: bool,
}

/// The server of one editor.
pub(super) struct Server {
    /// How the process is to end, once it is.
    pub(super) exit: Option<Exit>,
    state: State,
    kinds: Vec<(Of, Value)>,
    open: BTreeMap<String, Open>,
    /// The editor shows what stands behind a link of [`SCHEME`].
    shows_links: bool,
}

impl Server {
    pub(super) fn new() -> Self {
        let kinds = Of::YAML.into_iter().map(|of| (of, of.schema())).collect();
        Self { exit: None, state: State::New, kinds, open: BTreeMap::new(), shows_links: false }
    }

    /// Takes a message, and says what is to be sent.
    pub(super) fn take(&mut self, message: Message) -> Vec<Message> {
        match message {
            Message::Request(request) => {
                // Whoever asks knows what is wrong.
                let mut out = self.look();
                out.push(self.answer(request).into());
                out
            }
            Message::Notification(notification) => self.hear(notification),
            Message::Response(_) => Vec::new(),
        }
    }

    /// What is wrong with the files that have changed since the last look.
    pub(super) fn look(&mut self) -> Vec<Message> {
        let mut out = Vec::new();
        for (uri, open) in self.open.iter_mut().filter(|(_, open)| !open.is_looked_at) {
            open.is_looked_at = true;
            let of = open.is_ours.then_some(self.kinds[open.kind].0);
            open.found = of.map(|of| found(of, &to_path(uri), &open.text)).unwrap_or_default();
            let shown = open.found.iter().map(|it| shown(it, &open.text, self.shows_links)).collect();
            out.push(published(uri, Some(open.version), shown));
        }
        out
    }

    fn hear(&mut self, notification: Notification) -> Vec<Message> {
        let Notification { method, params } = notification;
        match &*method {
            "exit" => self.exit = Some(if self.state == State::ShutDown { Exit::Pass } else { Exit::Fail }),
            _ if self.state != State::Serving => {}
            "textDocument/didOpen" => {
                if let Ok(lsp::DidOpenTextDocumentParams { text_document: it }) = serde_json::from_value(params) {
                    if self.open.len() == MOST_OPEN {
                        let message = format!("khumbu looks at {MOST_OPEN} open files at most");
                        let params = lsp::ShowMessageParams { kind: lsp::MessageType::Warning, message };
                        return vec![notified("window/showMessage", params)];
                    }
                    self.put(it.uri.0, it.version, it.text);
                }
            }
            "textDocument/didChange" => {
                if let Ok(lsp::DidChangeTextDocumentParams { text_document: it, content_changes }) =
                    serde_json::from_value(params)
                    && let Some(lsp::TextDocumentContentChangeEvent::TextDocumentContentChangeWholeDocument(whole)) =
                        content_changes.into_iter().next_back()
                    && self.open.contains_key(&it.text_document_identifier.uri.0)
                {
                    self.put(it.text_document_identifier.uri.0, it.version, whole.text);
                }
            }
            "textDocument/didClose" => {
                if let Ok(lsp::DidCloseTextDocumentParams { text_document: it }) = serde_json::from_value(params)
                    && self.open.remove(&it.uri.0).is_some()
                {
                    return vec![published(&it.uri.0, None, Vec::new())];
                }
            }
            _ => {}
        }
        Vec::new()
    }

    fn put(&mut self, uri: String, version: i32, text: String) {
        let is_config = to_path(&uri).file_name().is_some_and(|name| name == config::DEFAULT);
        let (kind, is_ours) = match self.kinds.iter().position(|(of, _)| *of == Of::Config).filter(|_| is_config) {
            Some(kind) => (kind, true),
            None => editor::kind_of(&text, &self.kinds.iter().map(|(_, schema)| schema).collect::<Vec<_>>()),
        };
        self.open.insert(uri, Open { version, text, kind, is_ours, found: Vec::new(), is_looked_at: false });
    }

    fn answer(&mut self, request: Request) -> Response {
        let Request { id, method, params } = request;
        match (self.state, &*method) {
            (State::New, "initialize") => self.initialize(id, params),
            (State::New, _) => {
                Response::new_err(id, ErrorCode::ServerNotInitialized as i32, "`initialize` comes first".to_owned())
            }
            (State::ShutDown, _) => {
                Response::new_err(id, ErrorCode::InvalidRequest as i32, "the server is shut down".to_owned())
            }
            (_, "shutdown") => {
                self.state = State::ShutDown;
                Response::new_ok(id, Value::Null)
            }
            (_, "textDocument/hover") => self.asked(id, params, Self::hover),
            (_, "textDocument/completion") => self.asked(id, params, Self::complete),
            (_, "textDocument/formatting") => self.format(id, params),
            (_, "workspace/textDocumentContent") => explained(id, params),
            _ => Response::new_err(id, ErrorCode::MethodNotFound as i32, format!("there is no method `{method}`")),
        }
    }

    fn initialize(&mut self, id: RequestId, params: Value) -> Response {
        self.state = State::Serving;
        self.shows_links = params.pointer("/capabilities/workspace/textDocumentContent").is_some_and(Value::is_object);
        let contents = lsp::TextDocumentContentOptions { schemes: vec![SCHEME.to_owned()] };
        let capabilities = lsp::ServerCapabilities {
            position_encoding: Some(lsp::PositionEncodingKind::UTF16),
            text_document_sync: Some(lsp::TextDocumentSync::Options(lsp::TextDocumentSyncOptions {
                open_close: Some(true),
                change: Some(lsp::TextDocumentSyncKind::Full),
                ..Default::default()
            })),
            completion_provider: Some(lsp::CompletionOptions {
                trigger_characters: Some([" ", "-", "{", "[", ":", ","].map(str::to_owned).to_vec()),
                ..Default::default()
            }),
            hover_provider: Some(lsp::HoverProvider::Bool(true)),
            document_formatting_provider: Some(lsp::DocumentFormattingProvider::Bool(true)),
            workspace: Some(lsp::WorkspaceOptions {
                text_document_content: Some(lsp::TextDocumentContent::Options(contents)),
                ..Default::default()
            }),
            ..Default::default()
        };
        let server_info = lsp::ServerInfo { name: "khumbu".to_owned(), version: Some(VERSION.to_owned()) };
        Response::new_ok(id, lsp::InitializeResult { capabilities, server_info: Some(server_info) })
    }

    /// Answers what is asked of a place in an open file; nothing is known of other files.
    fn asked<T: Serialize>(
        &self,
        id: RequestId,
        params: Value,
        answer: impl Fn(&Self, &Open, usize) -> Option<T>,
    ) -> Response {
        let at: lsp::TextDocumentPositionParams = match read(&id, params) {
            Ok(at) => at,
            Err(refused) => return *refused,
        };
        let answer = self.open.get(&at.text_document.uri.0).and_then(|open| {
            let lsp::Position { line, character } = at.position;
            answer(self, open, editor::to_byte(&open.text, Position { line, character }))
        });
        Response::new_ok(id, answer)
    }

    fn hover(&self, open: &Open, byte: usize) -> Option<lsp::Hover> {
        let explained = editor::hover(&open.text, &self.kinds[open.kind].1, byte);
        let is_here = |it: &&Diagnostic| {
            it.place.as_ref().is_some_and(|place| place.range.start <= byte && byte <= place.range.end)
        };
        let wrong = open.found.iter().filter(is_here).filter_map(|it| catalogue::find(it.id));
        let wrong = wrong.map(|entry| format!("**{}**\n\n{}", entry.id, entry.markdown()));
        let all: Vec<_> = explained.iter().map(|it| it.about.clone()).chain(wrong).collect();
        let contents = lsp::MarkupContent { kind: lsp::MarkupKind::Markdown, value: all.join("\n\n---\n\n") };
        (!all.is_empty()).then(|| lsp::Hover {
            contents: lsp::Contents::MarkupContent(contents),
            range: explained.map(|it| to_range(&open.text, it.range)),
        })
    }

    fn complete(&self, open: &Open, byte: usize) -> Option<Vec<lsp::CompletionItem>> {
        let (word, suggestions) = editor::complete(&open.text, &self.kinds[open.kind].1, byte);
        let range = to_range(&open.text, word);
        let item = |(at, it): (usize, editor::Suggestion)| lsp::CompletionItem {
            kind: Some(match it.kind {
                Kind::Key => lsp::CompletionItemKind::Property,
                Kind::Value => lsp::CompletionItemKind::EnumMember,
                Kind::Token => lsp::CompletionItemKind::Variable,
                Kind::Requirement => lsp::CompletionItemKind::Reference,
            }),
            documentation: it.about.map(|value| {
                lsp::Documentation::MarkupContent(lsp::MarkupContent { kind: lsp::MarkupKind::Markdown, value })
            }),
            // In the order of the language, not of the alphabet.
            sort_text: Some(format!("{at:04}")),
            text_edit: Some(lsp::CompletionItemTextEdit::TextEdit(lsp::TextEdit { range, new_text: it.insert })),
            label: it.label,
            ..Default::default()
        };
        Some(suggestions.into_iter().enumerate().map(item).collect())
    }

    fn format(&self, id: RequestId, params: Value) -> Response {
        let params: lsp::DocumentFormattingParams = match read(&id, params) {
            Ok(params) => params,
            Err(refused) => return *refused,
        };
        let uri = &params.text_document.uri.0;
        let Some(open) = self.open.get(uri) else { return Response::new_ok(id, Value::Null) };
        match scenario::format(&to_path(uri).display().to_string(), &open.text) {
            Ok(text) if text == open.text => Response::new_ok(id, Vec::<lsp::TextEdit>::new()),
            Ok(new_text) => {
                let range = to_range(&open.text, 0..open.text.len());
                Response::new_ok(id, vec![lsp::TextEdit { range, new_text }])
            }
            Err(errors) => {
                let why = errors.first().map_or_else(String::new, |error| error.headline.clone());
                Response::new_err(id, ErrorCode::RequestFailed as i32, format!("not formatted: {why}"))
            }
        }
    }
}

fn read<T: DeserializeOwned>(id: &RequestId, params: Value) -> Result<T, Box<Response>> {
    serde_json::from_value(params)
        .map_err(|error| Box::new(Response::new_err(id.clone(), ErrorCode::InvalidParams as i32, error.to_string())))
}

/// What `khumbu check` and whoever reads these files says of a text.
fn found(of: Of, path: &Path, text: &str) -> Vec<Diagnostic> {
    let name = path.display().to_string();
    match of {
        Of::Scenario => {
            let ids: Vec<_> = requirements::ids().collect();
            let known = Known { requirements: &ids, answers: Some(gateway::answer_schema) };
            match scenario::parse(&name, text, known) {
                Ok(scenario) => idle(&scenario).into_iter().chain(near_topics(&scenario)).collect(),
                Err(errors) => errors,
            }
        }
        Of::Config => Config::read(path, text).err().unwrap_or_default(),
        Of::Station => scenario::parse_around_station::<StationFile>(&name, text).err().unwrap_or_default(),
        Of::Chargers => Chargers::parse(&name, text).err().unwrap_or_default(),
        // Which chargers there are stands in another file.
        Of::Tokens => Tokens::parse(&name, text, |_| true).err().unwrap_or_default(),
        Of::Recording => Vec::new(),
    }
}

/// What is wrong, as an editor shows it.
fn shown(it: &Diagnostic, text: &str, shows_links: bool) -> lsp::Diagnostic {
    let range = it.place.as_ref().map_or(0..text.lines().next().map_or(0, str::len), |place| place.range.clone());
    let label = it.place.as_ref().map(|place| place.label.as_str()).filter(|label| !label.is_empty());
    let mut message = it.headline.clone();
    message.extend(label.map(|label| format!(": {label}")));
    message.extend(it.evidence.iter().map(|line| format!("\n= {line}")));
    message.extend(it.help.iter().map(|help| format!("\n= help: {help}")));
    lsp::Diagnostic {
        range: to_range(text, range),
        severity: Some(match it.severity {
            Severity::Note => lsp::DiagnosticSeverity::Information,
            Severity::Warning => lsp::DiagnosticSeverity::Warning,
            _ => lsp::DiagnosticSeverity::Error,
        }),
        code: Some(lsp::Code::String(it.id.to_owned())),
        code_description: shows_links
            .then(|| lsp::CodeDescription { href: lsp::Uri(format!("{SCHEME}:explain/{}.md", it.id)) }),
        source: Some("khumbu".to_owned()),
        message: lsp::Message::String(message),
        tags: None,
        related_information: None,
        data: None,
    }
}

/// What stands behind the link of a message.
fn explained(id: RequestId, params: Value) -> Response {
    let params: lsp::TextDocumentContentParams = match read(&id, params) {
        Ok(params) => params,
        Err(refused) => return *refused,
    };
    let asked = params.uri.0.strip_prefix(SCHEME).and_then(|uri| uri.strip_prefix(":explain/")?.strip_suffix(".md"));
    match asked.and_then(catalogue::find) {
        Some(entry) => {
            let text = format!("# {}\n\n{}\n", entry.id, entry.markdown());
            Response::new_ok(id, lsp::TextDocumentContentResult { text })
        }
        None => Response::new_err(id, ErrorCode::InvalidParams as i32, "there is no such message".to_owned()),
    }
}

fn published(uri: &str, version: Option<i32>, diagnostics: Vec<lsp::Diagnostic>) -> Message {
    let params = lsp::PublishDiagnosticsParams { uri: lsp::Uri(uri.to_owned()), version, diagnostics };
    notified("textDocument/publishDiagnostics", params)
}

fn notified(method: &str, params: impl Serialize) -> Message {
    let params = serde_json::to_value(params).unwrap_or_default();
    Notification { method: method.to_owned(), params }.into()
}

fn to_range(text: &str, range: std::ops::Range<usize>) -> lsp::Range {
    let at = |byte| {
        let Position { line, character } = editor::to_position(text, byte);
        lsp::Position { line, character }
    };
    lsp::Range { start: at(range.start), end: at(range.end) }
}

/// The path of a file, or the whole of what is none.
fn to_path(uri: &str) -> PathBuf {
    let Some(path) = uri.strip_prefix("file://") else { return PathBuf::from(uri) };
    PathBuf::from(percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned())
}
