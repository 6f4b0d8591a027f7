//! The conversation with an editor: which messages are allowed when, and what answers them.
//!
//! Takes messages in their order and answers each request once. Changes are followed as they come; what they mean is
//! looked at when nothing more is waiting, so that no version is checked that is old already.

#![expect(
    clippy::disallowed_methods,
    reason = "a client without a folder gets the current one"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use lsp_types as lsp;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::diagnostics;
use super::documents::Documents;
use super::facts::{FactsQuery, NodeFindings};
use super::lens;
use super::node_queries::NodeQueries;
use super::text::Encoding;
use super::uri;
use super::wire::{self, Incoming, Outgoing};
use super::workspace::{PlanDocument, Workspace};
use crate::diag::fold::folded_by_place;
use crate::engine::Settings;
use crate::name::NodeName;
use crate::repl::completion_data::Knowledge;

/// Messages that were read and not yet looked at.
const AHEAD: usize = 16;

/// A stream of messages that never pauses is interrupted for a look after this time.
const LATEST: Duration = Duration::from_secs(1);

/// The longest parameters of `initialize`.
const MAX_INITIALIZE: usize = 4 << 20;

/// What comes from outside of the conversation.
#[derive(Debug, Default)]
pub struct ServerOptions {
    /// Parameters and how nodes are reached.
    pub settings: Settings,
    /// A target of the plans, or nodes: then they are looked at, too. It is only read there.
    pub target: Option<String>,
    /// How long a look at a node may take; 30 seconds by default.
    pub timeout: Option<Duration>,
}

/// The server's input.
pub(super) enum ServerEvent {
    /// From the editor.
    Read(Incoming),
    /// A look at a node is over: the plan, its number, what was seen.
    Looked(String, u64, Option<Box<NodeFindings>>),
}

/// Speaks with an editor until it leaves; whether it left as it should, with `shutdown` before `exit`.
pub fn serve(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    options: ServerOptions,
) -> bool {
    let (send, receive) = sync_channel(AHEAD);
    let queries = NodeQueries::new(send.clone(), options.timeout);
    std::thread::spawn(move || {
        let mut input = BufReader::new(input);
        loop {
            let message = wire::read(&mut input);
            let over = matches!(message, Incoming::Closed | Incoming::Broken(_));
            if send.send(ServerEvent::Read(message)).is_err() || over {
                return;
            }
        }
    });
    let mut server = Server {
        phase: ServerPhase::New,
        encoding: Encoding::default(),
        documents: Documents::default(),
        workspace: Workspace::default(),
        published: BTreeMap::new(),
        stale: None,
        watches: false,
        versioned: false,
        refreshes: Vec::new(),
        knowledge: RefCell::default(),
        queries,
        options,
        out: Outgoing::new(output),
    };
    let left = server.listen(&receive);
    server.out.finish();
    left
}

/// How far the conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ServerPhase {
    /// Waiting for `initialize`.
    New,
    /// At work.
    Running,
    /// Waiting for `exit`.
    ShutDown,
}

/// Why a request has no result.
pub(super) type RequestError = (i32, String);

pub(super) struct Server {
    phase: ServerPhase,
    pub(super) encoding: Encoding,
    pub(super) documents: Documents,
    pub(super) workspace: Workspace,
    /// What the editor shows.
    published: BTreeMap<String, diagnostics::PublishedDiagnostics>,
    /// Since when there is something that was not looked at.
    stale: Option<Instant>,
    /// Whether the editor tells of files that change.
    watches: bool,
    /// Whether it takes edits with versions.
    pub(super) versioned: bool,
    /// The requests that the editor repeats on our demand.
    refreshes: Vec<&'static str>,
    /// What the node has answered lately, for completion.
    pub(super) knowledge: RefCell<(Option<NodeName>, Knowledge)>,
    pub(super) queries: NodeQueries,
    pub(super) options: ServerOptions,
    pub(super) out: Outgoing,
}

impl Server {
    /// Until the editor leaves; whether it left as it should.
    fn listen(&mut self, receive: &Receiver<ServerEvent>) -> bool {
        loop {
            let event = match receive.try_recv() {
                Ok(event) => event,
                Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => {
                    self.publish();
                    match self.wait(receive) {
                        Ok(event) => event,
                        Err(RecvTimeoutError::Disconnected) => return false,
                        Err(RecvTimeoutError::Timeout) => {
                            if self.queries.give_up() {
                                self.news();
                            }
                            continue;
                        }
                    }
                }
            };
            let left = match event {
                ServerEvent::Read(message) => self.hear(message),
                ServerEvent::Looked(uri, number, findings) => {
                    if self.queries.take(&uri, number, findings) {
                        self.news();
                    }
                    None
                }
            };
            if let Some(left) = left {
                return left;
            }
            if self.out.gone {
                return false;
            }
            if self.stale.is_some_and(|since| since.elapsed() > LATEST) {
                self.publish();
            }
        }
    }

    fn wait(&self, receive: &Receiver<ServerEvent>) -> Result<ServerEvent, RecvTimeoutError> {
        match self.queries.timeout() {
            Some(timeout) => receive.recv_timeout(timeout),
            None => receive.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Takes a message; says how the editor has left, if it has.
    fn hear(&mut self, message: Incoming) -> Option<bool> {
        match message {
            Incoming::Request(id, method, params) => {
                let result = self.request(&method, params.as_deref());
                self.out.answer(id, result);
            }
            Incoming::Notification(method, params) => {
                if method == "exit" {
                    return Some(self.phase == ServerPhase::ShutDown);
                }
                self.notification(&method, params.as_deref());
            }
            Incoming::Response => {}
            Incoming::Malformed(code, why) => self.out.answer(Value::Null, Err((code, why))),
            Incoming::Broken(why) => {
                self.out.answer(Value::Null, Err((wire::PARSE_ERROR, why)));
                return Some(false);
            }
            Incoming::Closed => return Some(false),
        }
        None
    }

    /// A look is over: what it has shown is shown.
    fn news(&mut self) {
        self.is_stale();
        for method in self.refreshes.clone() {
            self.out.ask(method, Value::Null);
        }
    }

    /// Answers a request.
    fn request(&mut self, method: &str, params: Option<&RawValue>) -> Result<Value, RequestError> {
        match (self.phase, method) {
            (ServerPhase::New, "initialize") => {
                let result = self.initialize(params)?;
                self.phase = ServerPhase::Running;
                Ok(result)
            }
            (ServerPhase::New, _) => Err((
                wire::NOT_INITIALIZED,
                "the first request is `initialize`".to_owned(),
            )),
            (ServerPhase::Running, "initialize") => Err((
                wire::INVALID_REQUEST,
                "`initialize` was already received".to_owned(),
            )),
            (ServerPhase::Running, "shutdown") => {
                self.phase = ServerPhase::ShutDown;
                Ok(Value::Null)
            }
            (ServerPhase::ShutDown, _) => Err((
                wire::INVALID_REQUEST,
                "nothing is answered after `shutdown`".to_owned(),
            )),
            (ServerPhase::Running, method) => self.answer(method, params),
        }
    }

    fn initialize(&mut self, params: Option<&RawValue>) -> Result<Value, RequestError> {
        let raw = params.map_or("{}", RawValue::get);
        // Only what matters is looked at: editors say a lot, and not all of it is in order.
        let initialize_params = match raw.len() <= MAX_INITIALIZE {
            true => serde_json::from_str::<Value>(raw).ok(),
            false => None,
        };
        let Some(initialize_params) = initialize_params.filter(Value::is_object) else {
            return Err((
                wire::INVALID_PARAMS,
                "`initialize` wants an object".to_owned(),
            ));
        };
        let capability = |path: &str| initialize_params.pointer(&format!("/capabilities/{path}"));
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
        self.refreshes = [
            (
                "workspace/codeLens/refreshSupport",
                "workspace/codeLens/refresh",
            ),
            (
                "workspace/inlayHint/refreshSupport",
                "workspace/inlayHint/refresh",
            ),
        ]
        .into_iter()
        .filter(|(can, _)| capability(can).is_some_and(|value| value == true))
        .map(|(_, method)| method)
        .collect();
        let folder = initialize_params
            .pointer("/workspaceFolders/0/uri")
            .or_else(|| initialize_params.get("rootUri"))
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
                "codeLensProvider": {"resolveProvider": false},
                "inlayHintProvider": true,
                "executeCommandProvider": {"commands": [lens::WHY]},
            },
            "serverInfo": {"name": "updo", "version": env!("CARGO_PKG_VERSION")},
        }))
    }

    fn notification(&mut self, method: &str, params: Option<&RawValue>) {
        if self.phase != ServerPhase::Running {
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
                self.workspace.forget();
                self.is_stale();
                if method == "textDocument/didSave" && self.options.target.is_some() {
                    let open = self.documents.all();
                    open.for_each(|open| self.queries.want(&open.uri));
                }
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err((_, why)) = done {
            self.log(&format!("{method}: {why}"));
        }
    }

    fn did_open(&mut self, params: Option<&RawValue>) -> Result<(), RequestError> {
        let params: lsp::DidOpenTextDocumentParams = taken(params)?;
        let document = params.text_document;
        let uri = document.uri.as_str();
        self.is_stale();
        if self.options.target.is_some() {
            self.queries.want(uri);
        }
        let opened = self.documents.open(uri, document.version, document.text);
        match self.documents.get(uri).map(|open| open.identity.clone()) {
            Some(identity) => self.workspace.appeared(&identity),
            None => self.workspace.forget(),
        }
        opened.map_err(|why| (wire::REQUEST_FAILED, why))
    }

    fn did_change(&mut self, params: Option<&RawValue>) -> Result<(), RequestError> {
        let params: lsp::DidChangeTextDocumentParams = taken(params)?;
        let (document, changes) = (params.text_document, params.content_changes);
        let uri = document.uri.as_str();
        if let Some(open) = self.documents.get(uri) {
            let identity = open.identity.clone();
            self.workspace.changed(&identity);
            self.is_stale();
        }
        let encoding = self.encoding;
        let changed = self
            .documents
            .change(uri, document.version, changes, encoding);
        changed.map_err(|why| (wire::REQUEST_FAILED, why))
    }

    fn did_close(&mut self, params: Option<&RawValue>) -> Result<(), RequestError> {
        let params: lsp::DidCloseTextDocumentParams = taken(params)?;
        if self
            .documents
            .close(params.text_document.uri.as_str())
            .is_some()
        {
            self.workspace.forget();
            self.is_stale();
        }
        Ok(())
    }

    fn is_stale(&mut self) {
        self.stale.get_or_insert_with(Instant::now);
    }

    /// Reads what has changed and shows what there is to say, if anything has.
    fn publish(&mut self) {
        if self.stale.take().is_none() {
            return;
        }
        self.workspace
            .refresh(&self.documents, &self.options.settings);
        self.begin_queries();
        let queries = &self.queries;
        let node = |plan_document: &PlanDocument| {
            let findings = queries.of(&plan_document.uri);
            let all = findings.map_or(Vec::new(), |findings| findings.diagnostics(plan_document));
            folded_by_place(&all, "`updo preview PLAN --full`")
        };
        let mut shown = diagnostics::all(&self.workspace, self.encoding, &node);
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

    /// Begins the looks at nodes that are due.
    fn begin_queries(&mut self) {
        let Some(target) = &self.options.target else {
            return;
        };
        let documents = &self.documents;
        self.queries.keep(|uri| documents.get(uri).is_some());
        while let Some(uri) = self.queries.due() {
            let root = self.workspace.roots().find(|(root, ..)| *root == uri);
            let (Some(_), Some(document)) = (root, documents.get(&uri)) else {
                // Part of another plan, which is looked at.
                self.queries.drop_wish(&uri);
                continue;
            };
            let unsaved = documents
                .all()
                .map(|open| (open.identity.clone(), open.text.clone()));
            let question = FactsQuery {
                plan: document.path.clone(),
                unsaved: unsaved.collect(),
                settings: self.options.settings.clone(),
                target: target.clone(),
                sessions: BTreeMap::new(),
            };
            self.queries.begin(&uri, question);
        }
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

    /// A line for those that look for the cause of something.
    fn log(&mut self, text: &str) {
        let text: String = text.chars().take(500).collect();
        self.out
            .notify("window/logMessage", json!({"type": 2, "message": text}));
    }
}

/// The parameters of a message, as they must be.
pub(super) fn taken<T: serde::de::DeserializeOwned>(
    params: Option<&RawValue>,
) -> Result<T, RequestError> {
    serde_json::from_str(params.map_or("null", RawValue::get)).map_err(|why| {
        (
            wire::INVALID_PARAMS,
            format!("these are no parameters of it: {why}"),
        )
    })
}
