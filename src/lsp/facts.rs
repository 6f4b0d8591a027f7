//! What a node had to say about a plan, as plain data: what is reported, and what is known of each module.
//!
//! Takes a plan as the editor has it and a target; connects, looks as `updo preview` does, and gives [`NodeFindings`]. It reads
//! only, and it is called where it may take its time. What it gives belongs to the text that was looked at; `diagnostics` finds
//! the places again in a text that was edited since, and leaves out what was edited itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::workspace::PlanDocument;
use crate::diag::{Diagnostic, Label, Result, SourceMap, Span};
use crate::engine::{Engine, Settings, Upgrade};
use crate::facts::change::Changed;
use crate::name::{Module, NodeName};
use crate::node::Session;
use crate::plan::load::identity;
use crate::repl::session::why_here;
use crate::rules::Origin;
use crate::syntax::parse_plan;
use crate::syntax::token::{Sort, tokens};

/// So many nodes of a target are looked at.
const NODES: usize = 8;

/// Statements that call modules, and do not say how they are upgraded.
const CALLS: [&str; 8] = [
    "plan", "code", "require", "verify", "hold", "before", "after", "on",
];

/// So many callers are named.
const CALLERS: usize = 12;

/// What is to be looked at.
#[derive(Debug)]
pub(super) struct FactsQuery {
    /// The plan.
    pub plan: PathBuf,
    /// The files that the editor has, by what they really are.
    pub unsaved: BTreeMap<PathBuf, String>,
    /// Parameters, and how nodes are reached.
    pub settings: Settings,
    /// A target of the plan, or nodes.
    pub target: String,
    /// Connections of an earlier look.
    pub sessions: BTreeMap<NodeName, Session>,
}

/// A module that takes part.
#[derive(Clone, Debug)]
pub(super) struct ModuleSummary {
    /// `supervisor`, `server`, `plain`.
    pub class: String,
    /// How that was inferred; nothing when the plan says it.
    pub inferred: Option<String>,
    /// Its place in the order, from 1.
    pub place: usize,
    /// Processes that run it.
    pub processes: usize,
    /// The callers that have to wait for it.
    pub callers: Vec<String>,
    /// Why it is here.
    pub why: String,
}

/// What a look has shown.
#[derive(Debug, Default)]
pub(super) struct NodeFindings {
    /// The texts looked at: what the file really is, where it began, the text.
    files: Vec<(PathBuf, usize, String)>,
    diagnostics: Vec<Diagnostic>,
    /// Modules that take part on the first node.
    pub modules: BTreeMap<Module, ModuleSummary>,
    /// Exports of their new versions.
    pub new: BTreeMap<Module, BTreeSet<(String, u32)>>,
    /// The connections.
    pub sessions: BTreeMap<NodeName, Session>,
    /// The first node.
    pub node: Option<NodeName>,
    /// When.
    pub at: Option<Instant>,
}

/// Looks; nothing when the plan has errors, which are reported without a node.
pub(super) fn query(question: FactsQuery) -> Option<NodeFindings> {
    let unsaved = |identity: &Path| question.unsaved.get(identity).cloned();
    // An editor that opens a plan has not asked for its commands to be run.
    let settings = Settings {
        no_builds: true,
        ..question.settings
    };
    let opened = Engine::open_over(&question.plan, &unsaved, settings);
    let engine = opened.engine?;
    let mut findings = NodeFindings {
        sessions: question.sessions,
        at: Some(Instant::now()),
        ..NodeFindings::default()
    };
    for source in opened.sources.sources() {
        let identity = identity(Path::new(&source.name));
        // A secret may be covered there, by as many bytes.
        let text = unsaved(&identity).unwrap_or_else(|| source.text.clone());
        findings.files.push((identity, source.base, text));
    }
    findings
        .sessions
        .retain(|_, session| session.is_lost().is_none());
    let statements = Statements::of(&opened.sources);
    let nodes = match engine.nodes(Some(&question.target)) {
        Ok(nodes) => nodes,
        Err(diagnostic) => {
            findings.diagnostics.push(*diagnostic);
            return Some(findings);
        }
    };
    let several = nodes.len() > 1;
    for node in nodes.into_iter().take(NODES) {
        match on_node(&engine, &node, &mut findings) {
            Ok(upgrade) => {
                if findings.node.is_none() {
                    findings.node = Some(node.clone());
                    findings.know(&upgrade);
                }
                let mut diagnostics = upgrade.diagnostics;
                for diagnostic in &mut diagnostics {
                    statements.place(diagnostic, &upgrade.changes.modules);
                }
                findings.add_all(diagnostics, several.then_some(&node));
            }
            Err(mut diagnostic) => {
                statements.place(&mut diagnostic, &BTreeMap::new());
                findings.add_all(vec![*diagnostic], several.then_some(&node));
            }
        }
    }
    Some(findings)
}

fn on_node(engine: &Engine, node: &NodeName, findings: &mut NodeFindings) -> Result<Upgrade> {
    let connection = match findings.sessions.get(node) {
        Some(session) => engine.with_session(session.clone()),
        None => {
            let connection = engine.connect(node)?;
            let session = connection.session.clone();
            findings.sessions.insert(node.clone(), session);
            connection
        }
    };
    connection.prepare()
}

/// Where a plan names modules and its nodes: the places of what a node says without a place in the plan.
#[derive(Debug, Default)]
struct Statements {
    /// The names in the plan's statements, with their places.
    names: BTreeMap<String, Span>,
    /// The statement that names the nodes, or the first one.
    nodes: Option<Span>,
}

impl Statements {
    fn of(sources: &SourceMap) -> Self {
        let mut found = Self::default();
        for source in sources.sources() {
            let statements = parse_plan(&source.text, source.base).statements;
            let mut first = None;
            for statement in &statements {
                let (from, to) = (
                    statement.span.start.saturating_sub(source.base),
                    statement.span.end.saturating_sub(source.base),
                );
                let text = source.text.get(from..to).unwrap_or_default();
                let word = text.split(|c: char| !c.is_alphanumeric()).next();
                let is_rule = !CALLS.contains(&word.unwrap_or_default());
                for token in tokens(text) {
                    let word = &text[token.range.clone()];
                    let name = Module::typed(word).to_string();
                    let base = statement.span.start;
                    let span = Span::new(base + token.range.start, base + token.range.end);
                    if is_rule && matches!(token.sort, Sort::Word | Sort::Alias | Sort::QuotedAtom)
                    {
                        found.names.entry(name).or_insert(span);
                    }
                }
                // Its first word is enough: a target may be long.
                let word = text.find(|c: char| c.is_whitespace()).unwrap_or(text.len());
                let head = Span::new(statement.span.start, statement.span.start + word);
                first = first.or(Some(head));
                if text.starts_with("target ") && found.nodes.is_none() {
                    found.nodes = Some(head);
                }
            }
            // The plan itself, before what it includes.
            found.nodes = found.nodes.or(first);
        }
        found
    }

    /// Gives a diagnostic without a place that of the module it is about, as far as the plan names it, or that of the
    /// nodes: at the beginning of the file it would be at a statement that it has nothing to do with.
    fn place(&self, diagnostic: &mut Diagnostic, modules: &BTreeMap<Module, Changed>) {
        if !diagnostic.labels.is_empty() {
            return;
        }
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '@' | '.');
        let words = diagnostic.title.split(|c| !is_name(c));
        let words = words.map(|word| word.trim_end_matches('.'));
        let about = words
            .filter(|word| modules.contains_key(&Module::typed(word)))
            .find_map(|word| self.names.get(&Module::typed(word).to_string()));
        if let Some(span) = about.copied().or(self.nodes) {
            diagnostic.labels.push(Label {
                span,
                text: String::new(),
            });
        }
    }
}

impl NodeFindings {
    /// Adds new diagnostics; with their node, when there are several.
    fn add_all(&mut self, diagnostics: Vec<Diagnostic>, node: Option<&NodeName>) {
        for mut one in diagnostics {
            if let Some(node) = node {
                one.notes.push(format!("on {node}"));
            }
            let known = self.diagnostics.iter().any(|known| {
                known.code == one.code && known.title == one.title && known.labels == one.labels
            });
            if !known {
                self.diagnostics.push(one);
            }
        }
    }

    fn know(&mut self, upgrade: &Upgrade) {
        let mut callers: BTreeMap<&Module, Vec<String>> = BTreeMap::new();
        for (from, to, _) in upgrade.rules.graph.edges() {
            let list = callers.entry(to).or_default();
            if list.len() < CALLERS {
                list.push(from.to_string());
            }
        }
        for (at, module) in upgrade.rules.graph.order_flat().iter().enumerate() {
            let Some(rules) = upgrade.rules.modules.get(module) else {
                continue;
            };
            let changed = upgrade.changes.modules.get(module);
            let known = ModuleSummary {
                class: rules.class.value.to_string(),
                inferred: match &rules.class.origin {
                    Origin::Default => Some("nothing says otherwise".to_owned()),
                    Origin::Inferred(how) => Some(how.clone()),
                    Origin::Plan { .. } => None,
                },
                place: at + 1,
                processes: changed.map_or(0, |changed| changed.processes),
                callers: callers.remove(module).unwrap_or_default(),
                why: why_here(upgrade, module),
            };
            self.modules.insert(module.clone(), known);
        }
        for (module, changed) in &upgrade.changes.modules {
            let Some(new) = &changed.new else { continue };
            let exports = new.facts.exports.iter();
            let exports = exports.map(|f| (f.name.to_string(), f.arity));
            self.new.insert(module.clone(), exports.collect());
        }
    }

    /// A diagnostic of its own: it took too long.
    pub fn add(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// What was reported, with places in the texts as they are now.
    pub fn diagnostics(&self, plan_document: &PlanDocument) -> Vec<Diagnostic> {
        let all = self.diagnostics.iter();
        all.filter_map(|diagnostic| {
            let mut diagnostic = diagnostic.clone();
            let first = diagnostic.labels.first().map(|label| label.span);
            let labels = std::mem::take(&mut diagnostic.labels);
            diagnostic.labels = labels
                .into_iter()
                .filter_map(|label| {
                    let span = self.found_again(plan_document, label.span)?;
                    Some(Label { span, ..label })
                })
                .collect();
            // Without its place it would be at the beginning of the file.
            let place = first.map(|span| self.found_again(plan_document, span));
            (place != Some(None)).then_some(diagnostic)
        })
        .collect()
    }

    /// Where a piece of the text that was looked at is now, if it was not edited.
    fn found_again(&self, plan_document: &PlanDocument, span: Span) -> Option<Span> {
        let (identity, base, old) = self
            .files
            .iter()
            .find(|(_, base, text)| (*base..=base + text.len()).contains(&span.start))?;
        let file = plan_document
            .files
            .iter()
            .find(|file| file.identity == *identity)?;
        let (from, to) = (span.start - base, span.end.checked_sub(*base)?);
        let new = &file.text;
        let same = |a: &mut dyn Iterator<Item = u8>, b: &mut dyn Iterator<Item = u8>| {
            a.zip(b).take_while(|(a, b)| a == b).count()
        };
        let before = same(&mut old.bytes(), &mut new.bytes());
        if to <= before {
            return Some(Span::new(file.base + from, file.base + to));
        }
        let behind = same(&mut old.bytes().rev(), &mut new.bytes().rev());
        let left = old.len().checked_sub(from)?;
        let length = to.checked_sub(from)?;
        if left <= behind {
            let start = file.base + new.len() - left;
            return Some(Span::new(start, start + length));
        }
        None
    }
}
