//! The conversation with an editor: who may say what when, and who answers.
//!
//! Takes messages in their order and answers each request once. Changes are followed as they come; what they mean is
//! looked at when nothing more is waiting, so that no version is checked that is old already.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use lsp_types as lsp;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::answers;
use super::complete::completion;
use super::documents::Documents;
use super::fixes::{Asked, fixes};
use super::here::Here;
use super::hover::hover;
use super::publish;
use super::shape;
use super::text::Encoding;
use super::uri;
use super::wire::{self, Incoming, Outgoing};
use super::worlds::{World, Worlds};
use crate::diag::Diagnostic;
use crate::engine::Settings;
use crate::repl::knowledge::Knowledge;

/// Messages that were read and not yet looked at.
const AHEAD: usize = 16;

/// A stream of messages that never pauses is interrupted for a look after this time.
const LATEST: Duration = Duration::from_secs(1);

/// The longest parameters of `initialize`.
const MAX_INITIALIZE: usize = 4 << 20;

/// What comes from outside of the conversation.
#[derive(Debug, Default)]
pub struct Options {
    /// Parameters and how nodes are reached.
    pub settings: Settings,
}

/// Speaks with an editor until it leaves; whether it left as it should, with `shutdown` before `exit`.
pub fn serve(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    options: Options,
) -> bool {
    let (send, receive) = sync_channel(AHEAD);
    std::thread::spawn(move || {
        let mut input = BufReader::new(input);
        loop {
            let message = wire::read(&mut input);
            let over = matches!(message, Incoming::Closed | Incoming::Broken(_));
            if send.send(message).is_err() || over {
                return;
            }
        }
    });
    let mut server = Server {
        phase: Phase::New,
        encoding: Encoding::default(),
        documents: Documents::default(),
        worlds: Worlds::default(),
        published: BTreeMap::new(),
        stale: None,
        watches: false,
        versioned: false,
        options,
        out: Outgoing::new(output),
    };
    let left = server.listen(&receive);
    server.out.finish();
    left
}

/// How far the conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waiting for `initialize`.
    New,
    /// At work.
    Running,
    /// Waiting for `exit`.
    ShutDown,
}

/// Why a request has no result.
pub(super) type Fault = (i32, String);

pub(super) struct Server {
    phase: Phase,
    pub(super) encoding: Encoding,
    pub(super) documents: Documents,
    pub(super) worlds: Worlds,
    /// What the editor shows.
    published: BTreeMap<String, publish::Shown>,
    /// Since when there is something that was not looked at.
    stale: Option<Instant>,
    /// Whether the editor tells of files that change.
    watches: bool,
    /// Whether it takes edits with versions.
    versioned: bool,
    pub(super) options: Options,
    out: Outgoing,
}

impl Server {
    /// Until the editor leaves; whether it left as it should.
    fn listen(&mut self, receive: &Receiver<Incoming>) -> bool {
        loop {
            let message = match receive.try_recv() {
                Ok(message) => message,
                Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => {
                    self.look();
                    match receive.recv() {
                        Ok(message) => message,
                        Err(_) => return false,
                    }
                }
            };
            match message {
                Incoming::Request(id, method, params) => {
                    let result = self.request(&method, params.as_deref());
                    self.out.answer(id, result);
                }
                Incoming::Notification(method, params) => {
                    if method == "exit" {
                        return self.phase == Phase::ShutDown;
                    }
                    self.notification(&method, params.as_deref());
                }
                Incoming::Response => {}
                Incoming::Malformed(code, why) => self.out.answer(Value::Null, Err((code, why))),
                Incoming::Broken(why) => {
                    self.out.answer(Value::Null, Err((wire::PARSE_ERROR, why)));
                    return false;
                }
                Incoming::Closed => return false,
            }
            if self.out.gone {
                return false;
            }
            if self.stale.is_some_and(|since| since.elapsed() > LATEST) {
                self.look();
            }
        }
    }

    /// Answers a request.
    fn request(&mut self, method: &str, params: Option<&RawValue>) -> Result<Value, Fault> {
        match (self.phase, method) {
            (Phase::New, "initialize") => {
                let result = self.initialize(params)?;
                self.phase = Phase::Running;
                Ok(result)
            }
            (Phase::New, _) => Err((
                wire::NOT_INITIALIZED,
                "the first request is `initialize`".to_owned(),
            )),
            (Phase::Running, "initialize") => Err((
                wire::INVALID_REQUEST,
                "`initialize` was said already".to_owned(),
            )),
            (Phase::Running, "shutdown") => {
                self.phase = Phase::ShutDown;
                Ok(Value::Null)
            }
            (Phase::ShutDown, _) => Err((
                wire::INVALID_REQUEST,
                "nothing is answered after `shutdown`".to_owned(),
            )),
            (Phase::Running, method) => self.answer(method, params),
        }
    }

    fn initialize(&mut self, params: Option<&RawValue>) -> Result<Value, Fault> {
        let raw = params.map_or("{}", RawValue::get);
        // Only what matters is looked at: editors say a lot, and not all of it is in order.
        let said = match raw.len() <= MAX_INITIALIZE {
            true => serde_json::from_str::<Value>(raw).ok(),
            false => None,
        };
        let Some(said) = said.filter(Value::is_object) else {
            return Err((
                wire::INVALID_PARAMS,
                "`initialize` wants an object".to_owned(),
            ));
        };
        let capability = |path: &str| said.pointer(&format!("/capabilities/{path}"));
        let encodings = capability("general/positionEncodings");
        let utf8 = encodings
            .and_then(Value::as_array)
            .is_some_and(|offered| offered.iter().any(|one| one == "utf-8"));
        self.encoding = if utf8 {
            Encoding::Utf8
        } else {
            Encoding::Utf16
        };
        self.watches = capability("workspace/didChangeWatchedFiles/dynamicRegistration")
            .is_some_and(|value| value == true);
        self.versioned = capability("workspace/workspaceEdit/documentChanges")
            .is_some_and(|value| value == true);
        let folder = said
            .pointer("/workspaceFolders/0/uri")
            .or_else(|| said.get("rootUri"))
            .and_then(Value::as_str)
            .and_then(uri::path);
        let here = || std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        self.documents.folder = folder.unwrap_or_else(here);
        Ok(json!({
            "capabilities": {
                "positionEncoding": if utf8 { "utf-8" } else { "utf-16" },
                "textDocumentSync": {
                    "openClose": true,
                    "change": 2,
                    "save": {"includeText": false},
                },
                "hoverProvider": true,
                "completionProvider": {"triggerCharacters": [":", "\"", "/", "{"]},
                "definitionProvider": true,
                "referencesProvider": true,
                "documentHighlightProvider": true,
                "documentSymbolProvider": true,
                "documentFormattingProvider": true,
                "codeActionProvider": {"codeActionKinds": ["quickfix"]},
                "renameProvider": {"prepareProvider": true},
            },
            "serverInfo": {"name": "updo", "version": env!("CARGO_PKG_VERSION")},
        }))
    }

    /// Answers a request of an editor that has said who it is.
    fn answer(&mut self, method: &str, params: Option<&RawValue>) -> Result<Value, Fault> {
        // What is asked is asked of the text as it is now.
        self.worlds.refresh(&self.documents, &self.options.settings);
        match method {
            "textDocument/hover" => {
                let params: lsp::HoverParams = taken(params)?;
                let place = params.text_document_position_params;
                let found = self.here(&place);
                let hover = found.map(|here| hover(&here, &self.told(here.world), None));
                Ok(hover.unwrap_or(Value::Null))
            }
            "textDocument/completion" => {
                let params: lsp::TextDocumentPositionParams = taken(params)?;
                let found = self.here(&params);
                let items = found.map(|here| completion(&here, self.knowledge(here.world)));
                Ok(items.unwrap_or(Value::Null))
            }
            "textDocument/definition" => {
                let params: lsp::GotoDefinitionParams = taken(params)?;
                let found = self.here(&params.text_document_position_params);
                Ok(found.map_or(Value::Null, |here| answers::definition(&here).into()))
            }
            "textDocument/references" => {
                let params: lsp::ReferenceParams = taken(params)?;
                let found = self.here(&params.text_document_position);
                let all = params.context.include_declaration;
                Ok(found.map_or(Value::Null, |here| answers::references(&here, all).into()))
            }
            "textDocument/documentHighlight" => {
                let params: lsp::DocumentHighlightParams = taken(params)?;
                let found = self.here(&params.text_document_position_params);
                Ok(found.map_or(Value::Null, |here| answers::highlights(&here).into()))
            }
            "textDocument/prepareRename" => {
                let params: lsp::TextDocumentPositionParams = taken(params)?;
                let found = self.here(&params);
                Ok(found.map_or(Value::Null, |here| answers::prepare_rename(&here)))
            }
            "textDocument/rename" => self.rename(taken(params)?),
            "textDocument/documentSymbol" => {
                let params: lsp::DocumentSymbolParams = taken(params)?;
                let uri = params.text_document.uri.as_str();
                let file = self.worlds.of(uri).into_iter().find_map(|w| w.file(uri));
                Ok(file.map_or(Value::Null, |file| shape::symbols(file, self.encoding)))
            }
            "textDocument/formatting" => {
                let params: lsp::DocumentFormattingParams = taken(params)?;
                let uri = params.text_document.uri.as_str();
                let file = self.worlds.of(uri).into_iter().find_map(|w| w.file(uri));
                Ok(file.map_or(Value::Null, |file| shape::formatting(file, self.encoding)))
            }
            "textDocument/codeAction" => {
                let params: CodeActions = taken(params)?;
                Ok(self.fixes(params.text_document.uri.as_str(), params.range))
            }
            _ => Err((
                wire::METHOD_NOT_FOUND,
                format!("`{method}` is not answered here"),
            )),
        }
    }

    /// A place in the first of the worlds that count for its document.
    fn here(&self, place: &lsp::TextDocumentPositionParams) -> Option<Here<'_>> {
        let uri = place.text_document.uri.as_str();
        let worlds = self.worlds.of(uri).into_iter();
        worlds
            .filter_map(|world| Here::new(world, uri, place.position, self.encoding))
            .next()
    }

    /// Everything that is said about a plan.
    fn told(&self, world: &World) -> Vec<Diagnostic> {
        world.opened.diagnostics.clone()
    }

    /// What is known beyond a plan's text.
    fn knowledge(&self, _world: &World) -> Knowledge {
        Knowledge::default()
    }

    /// Renames in all worlds that have the name: a file may be part of several plans.
    fn rename(&self, params: lsp::RenameParams) -> Result<Value, Fault> {
        let place = params.text_document_position;
        let uri = place.text_document.uri.as_str();
        let mut all = answers::Edits::new();
        for world in self.worlds.of(uri) {
            let Some(here) = Here::new(world, uri, place.position, self.encoding) else {
                continue;
            };
            for (uri, (version, edits)) in answers::rename(&here, &params.new_name)? {
                let (_, list) = all.entry(uri).or_insert((version, Vec::new()));
                for edit in edits {
                    if !list.contains(&edit) {
                        list.push(edit);
                    }
                }
            }
        }
        match all.is_empty() {
            true => Ok(Value::Null),
            false => Ok(answers::workspace_edit(all, self.versioned)),
        }
    }

    fn fixes(&self, uri: &str, range: lsp::Range) -> Value {
        let worlds = self.worlds.of(uri).into_iter();
        let Some((world, file)) = worlds.filter_map(|w| Some((w, w.file(uri)?))).next() else {
            return Value::Null;
        };
        fixes(&Asked {
            world,
            file,
            range,
            told: &self.told(world),
            documents: &self.documents,
            settings: &self.options.settings,
            encoding: self.encoding,
            versioned: self.versioned,
        })
    }

    fn notification(&mut self, method: &str, params: Option<&RawValue>) {
        if self.phase != Phase::Running {
            return;
        }
        let done = match method {
            "initialized" => {
                self.watch();
                Ok(())
            }
            "textDocument/didOpen" => self.did_open(params),
            "textDocument/didChange" => self.did_change(params),
            "textDocument/didClose" => self.did_close(params),
            "textDocument/didSave" | "workspace/didChangeWatchedFiles" => {
                // Files on the disk are others now, and any plan may include them.
                self.worlds.forget();
                self.is_stale();
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err((_, why)) = done {
            self.log(&format!("{method}: {why}"));
        }
    }

    fn did_open(&mut self, params: Option<&RawValue>) -> Result<(), Fault> {
        let params: lsp::DidOpenTextDocumentParams = taken(params)?;
        let document = params.text_document;
        let uri = document.uri.as_str();
        self.worlds.forget();
        self.is_stale();
        let opened = self.documents.open(uri, document.version, document.text);
        opened.map_err(|why| (wire::REQUEST_FAILED, why))
    }

    fn did_change(&mut self, params: Option<&RawValue>) -> Result<(), Fault> {
        let params: lsp::DidChangeTextDocumentParams = taken(params)?;
        let (document, changes) = (params.text_document, params.content_changes);
        let uri = document.uri.as_str();
        if let Some(open) = self.documents.get(uri) {
            let identity = open.identity.clone();
            self.worlds.changed(&identity);
            self.is_stale();
        }
        let encoding = self.encoding;
        let changed = self
            .documents
            .change(uri, document.version, changes, encoding);
        changed.map_err(|why| (wire::REQUEST_FAILED, why))
    }

    fn did_close(&mut self, params: Option<&RawValue>) -> Result<(), Fault> {
        let params: lsp::DidCloseTextDocumentParams = taken(params)?;
        if self
            .documents
            .close(params.text_document.uri.as_str())
            .is_some()
        {
            self.worlds.forget();
            self.is_stale();
        }
        Ok(())
    }

    fn is_stale(&mut self) {
        self.stale.get_or_insert_with(Instant::now);
    }

    /// Reads what has changed and shows what there is to say, if anything has.
    fn look(&mut self) {
        if self.stale.take().is_none() {
            return;
        }
        self.worlds.refresh(&self.documents, &self.options.settings);
        let mut shown = publish::all(&self.worlds, self.encoding, &|_| Vec::new());
        // What was shown and is no more: taken away.
        for (uri, (_, old)) in &self.published {
            if !shown.contains_key(uri) && !old.is_empty() {
                shown.insert(uri.clone(), (None, Vec::new()));
            }
        }
        for (uri, (version, list)) in &shown {
            let before = self.published.get(uri);
            let known = before.is_some_and(|old| old == &(*version, list.clone()));
            let silent = before.is_none() && version.is_none() && list.is_empty();
            if known || silent {
                continue;
            }
            let mut params = json!({"uri": uri, "diagnostics": list});
            if let Some(version) = version {
                params["version"] = (*version).into();
            }
            self.out.notify("textDocument/publishDiagnostics", params);
        }
        shown.retain(|_, (version, list)| version.is_some() || !list.is_empty());
        self.published = shown;
    }

    /// Asks the editor to tell when plans change on the disk.
    fn watch(&mut self) {
        if !self.watches {
            return;
        }
        self.out.ask(
            "client/registerCapability",
            json!({"registrations": [{
                "id": "plans",
                "method": "workspace/didChangeWatchedFiles",
                "registerOptions": {"watchers": [{"globPattern": "**/*.updo"}]},
            }]}),
        );
    }

    /// A line for those who look for the cause of something.
    fn log(&mut self, text: &str) {
        let text: String = text.chars().take(500).collect();
        self.out
            .notify("window/logMessage", json!({"type": 2, "message": text}));
    }
}

/// What of a request for fixes matters; the diagnostics that it repeats are looked up anew.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct CodeActions {
    text_document: lsp::TextDocumentIdentifier,
    range: lsp::Range,
}

/// The parameters of a message, as they must be.
pub(super) fn taken<T: serde::de::DeserializeOwned>(params: Option<&RawValue>) -> Result<T, Fault> {
    serde_json::from_str(params.map_or("null", RawValue::get)).map_err(|why| {
        (
            wire::INVALID_PARAMS,
            format!("these are no parameters of it: {why}"),
        )
    })
}
