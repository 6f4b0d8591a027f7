//! The requests: which there are, and which function answers each.
//!
//! Takes the parameters of a request, finds the plan document and the place that it is about, and hands them on.
//! A document that is not open is no error: there is nothing to say about it.

use lsp_types as lsp;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::complete::completion;
use super::cursor::Cursor;
use super::facts::NodeFindings;
use super::fixes::{Asked, fixes};
use super::formatting;
use super::hover::hover;
use super::lens;
use super::navigation;
use super::server::{RequestError, Server, taken};
use super::symbols;
use super::wire;
use super::workspace::{PlanDocument, PlanText};
use crate::diag::Diagnostic;
use crate::repl::completion_data::Knowledge;

/// What of a request for fixes matters; the diagnostics that it repeats are looked up anew.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct CodeActions {
    text_document: lsp::TextDocumentIdentifier,
    range: lsp::Range,
}

impl Server {
    /// Answers a request of an editor that has introduced itself.
    pub(super) fn answer(
        &mut self,
        method: &str,
        params: Option<&RawValue>,
    ) -> Result<Value, RequestError> {
        // What is asked is asked of the text as it is now.
        self.workspace
            .refresh(&self.documents, &self.options.settings);
        match method {
            "textDocument/hover" => {
                let params: lsp::HoverParams = taken(params)?;
                let place = params.text_document_position_params;
                let found = self.here(&place);
                let hover = found.map(|here| {
                    let module = lens::module_at(&here);
                    let findings = self.findings(here.plan_document);
                    let about = module.and_then(|module| lens::about(&module, findings?));
                    hover(&here, &self.diagnostics(here.plan_document), about)
                });
                Ok(hover.unwrap_or(Value::Null))
            }
            "textDocument/completion" => {
                let params: lsp::TextDocumentPositionParams = taken(params)?;
                let found = self.here(&params);
                Ok(found.map_or(Value::Null, |here| self.completion(&here)))
            }
            "textDocument/definition" => {
                let params: lsp::GotoDefinitionParams = taken(params)?;
                let found = self.here(&params.text_document_position_params);
                Ok(found.map_or(Value::Null, |here| navigation::definition(&here).into()))
            }
            "textDocument/references" => {
                let params: lsp::ReferenceParams = taken(params)?;
                let found = self.here(&params.text_document_position);
                let all = params.context.include_declaration;
                Ok(found.map_or(Value::Null, |here| {
                    navigation::references(&here, all).into()
                }))
            }
            "textDocument/documentHighlight" => {
                let params: lsp::DocumentHighlightParams = taken(params)?;
                let found = self.here(&params.text_document_position_params);
                Ok(found.map_or(Value::Null, |here| navigation::highlights(&here).into()))
            }
            "textDocument/prepareRename" => {
                let params: lsp::TextDocumentPositionParams = taken(params)?;
                let found = self.here(&params);
                Ok(found.map_or(Value::Null, |here| navigation::prepare_rename(&here)))
            }
            "textDocument/rename" => self.rename(taken(params)?),
            "textDocument/documentSymbol" => {
                let params: lsp::DocumentSymbolParams = taken(params)?;
                let uri = params.text_document.uri.as_str();
                let file = self.workspace.of(uri).into_iter().find_map(|w| w.file(uri));
                Ok(file.map_or(Value::Null, |file| symbols::symbols(file, self.encoding)))
            }
            "textDocument/formatting" => {
                let params: lsp::DocumentFormattingParams = taken(params)?;
                let uri = params.text_document.uri.as_str();
                let file = self.workspace.of(uri).into_iter().find_map(|w| w.file(uri));
                Ok(file.map_or(Value::Null, |file| {
                    formatting::formatting(file, self.encoding)
                }))
            }
            "textDocument/codeAction" => {
                let params: CodeActions = taken(params)?;
                Ok(self.fixes(params.text_document.uri.as_str(), params.range))
            }
            "textDocument/codeLens" => {
                let params: lsp::CodeLensParams = taken(params)?;
                let uri = params.text_document.uri.as_str();
                let found = self.known(uri).map(|(plan, file, findings)| {
                    lens::lenses(file, plan, findings, self.encoding)
                });
                Ok(found.unwrap_or(Value::Null))
            }
            "textDocument/inlayHint" => {
                let params: lsp::InlayHintParams = taken(params)?;
                let uri = params.text_document.uri.as_str();
                let lines = params.range.start.line..=params.range.end.line;
                let found = self
                    .known(uri)
                    .map(|(_, file, findings)| lens::hints(file, lines, findings, self.encoding));
                Ok(found.unwrap_or(Value::Null))
            }
            "workspace/executeCommand" => self.execute(taken(params)?),
            _ => Err((
                wire::METHOD_NOT_FOUND,
                format!("`{method}` is not answered here"),
            )),
        }
    }

    /// A place in the first of the plan documents that count for its document.
    fn here(&self, place: &lsp::TextDocumentPositionParams) -> Option<Cursor<'_>> {
        let uri = place.text_document.uri.as_str();
        let mut workspace = self.workspace.of(uri).into_iter();
        workspace.find_map(|plan_document| {
            Cursor::new(plan_document, uri, place.position, self.encoding)
        })
    }

    /// Everything that is reported about a plan.
    fn diagnostics(&self, plan_document: &PlanDocument) -> Vec<Diagnostic> {
        let mut all = plan_document.opened.diagnostics.clone();
        all.extend(
            self.findings(plan_document)
                .map_or(Vec::new(), |findings| findings.diagnostics(plan_document)),
        );
        all
    }

    /// What the node says about a plan.
    fn findings(&self, plan_document: &PlanDocument) -> Option<&NodeFindings> {
        self.queries.of(&plan_document.uri)
    }

    /// The plan of a document, the document, and what the node says about them.
    fn known(&self, uri: &str) -> Option<(&str, &PlanText, &NodeFindings)> {
        let mut workspace = self.workspace.of(uri).into_iter();
        workspace.find_map(|plan_document| {
            Some((
                plan_document.uri.as_str(),
                plan_document.file(uri)?,
                self.findings(plan_document)?,
            ))
        })
    }

    /// Items for a place, with what is known of the node.
    fn completion(&self, here: &Cursor<'_>) -> Value {
        let mut kept = self.knowledge.borrow_mut();
        let (of, knowledge) = &mut *kept;
        let findings = self.findings(here.plan_document);
        let node = findings.and_then(|findings| findings.node.clone());
        if *of != node {
            // Another node: what the last one has answered does not count.
            *knowledge = Knowledge::default();
            *of = node;
        }
        if let Some(findings) = findings {
            let session = findings
                .node
                .as_ref()
                .and_then(|node| findings.sessions.get(node));
            knowledge.node = session.cloned();
            knowledge.changed = findings.modules.keys().map(ToString::to_string).collect();
            knowledge.new.clone_from(&findings.new);
        }
        completion(here, knowledge)
    }

    /// `updo.why`: says why a module is where it is.
    fn execute(&mut self, params: lsp::ExecuteCommandParams) -> Result<Value, RequestError> {
        let [plan, module] = params.arguments.as_slice() else {
            return Err((wire::INVALID_PARAMS, "a plan and a module".to_owned()));
        };
        let (plan, module) = (plan.as_str(), module.as_str());
        let findings = plan.and_then(|plan| self.queries.of(plan));
        let why = findings
            .zip(module)
            .and_then(|(findings, module)| findings.modules.get(module))
            .map(|known| known.why.clone());
        if params.command != lens::WHY {
            let message = format!("`{}` is no command of updo", params.command);
            return Err((wire::INVALID_PARAMS, message));
        }
        let why = why.unwrap_or_else(|| "nothing is known of it".to_owned());
        let shown = json!({"type": 3, "message": why});
        self.out.notify("window/showMessage", shown);
        Ok(why.into())
    }

    /// Renames in all plan documents that have the name: a file may be part of several plans.
    fn rename(&self, params: lsp::RenameParams) -> Result<Value, RequestError> {
        let place = params.text_document_position;
        let uri = place.text_document.uri.as_str();
        let mut all = navigation::Edits::new();
        for plan_document in self.workspace.of(uri) {
            let Some(here) = Cursor::new(plan_document, uri, place.position, self.encoding) else {
                continue;
            };
            for (uri, (version, edits)) in navigation::rename(&here, &params.new_name)? {
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
            false => Ok(navigation::workspace_edit(all, self.versioned)),
        }
    }

    fn fixes(&self, uri: &str, range: lsp::Range) -> Value {
        let mut workspace = self.workspace.of(uri).into_iter();
        let Some((plan_document, file)) = workspace.find_map(|w| Some((w, w.file(uri)?))) else {
            return Value::Null;
        };
        fixes(&Asked {
            plan_document,
            file,
            range,
            diagnostics: &self.diagnostics(plan_document),
            documents: &self.documents,
            settings: &self.options.settings,
            encoding: self.encoding,
            versioned: self.versioned,
        })
    }
}
