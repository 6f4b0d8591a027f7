//! Upgrades without a node: modules made of names, calls and exports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use updo::diag::{Code, SourceMap};
use updo::engine::{Settings, Upgrade, decide};
use updo::facts::beam::digest::Digests;
use updo::facts::beam::{BeamFacts, CodeFacts};
use updo::facts::change::{Beam, ChangeSet, Changed, RunningVersion};
use updo::facts::node::node_facts::{NodeFacts, RunningApp};
use updo::facts::node::processes::ModuleProcesses;
use updo::name::{App, FunctionArity, Md5, Mfa, Module, NodeName};
use updo::plan::Plan;

/// A module of an upgrade.
#[derive(Clone, Default)]
pub struct Given {
    pub calls: Vec<(&'static str, &'static str, u32)>,
    pub behaviours: Vec<&'static str>,
    pub exports: Vec<(&'static str, u32)>,
    /// Exported by the running version too; `None`: all of them.
    pub had: Option<Vec<(&'static str, u32)>>,
    /// The behaviour in whose server its processes are.
    pub runs_in: Option<&'static str>,
}

/// The modules of an application `shop`.
pub struct World(pub Vec<(&'static str, Given)>);

fn exports(list: &[(&'static str, u32)]) -> BTreeSet<FunctionArity> {
    list.iter()
        .map(|(name, arity)| FunctionArity::new(*name, *arity))
        .collect()
}

fn facts(name: &str, given: &Given) -> BeamFacts {
    BeamFacts {
        module: Module::new(name),
        md5: Md5::from([1; 16]),
        digests: Digests::default(),
        funs: 0,
        line_md5: Md5::default(),
        attributes: Vec::new(),
        compile_info_etf: Box::default(),
        exports: exports(&given.exports),
        imports: given
            .calls
            .iter()
            .map(|(module, function, arity)| Mfa {
                module: Module::new(module),
                function: Arc::from(*function),
                arity: *arity,
            })
            .collect(),
        behaviours: given.behaviours.iter().map(Module::new).collect(),
        nif: false,
        code: CodeFacts::default(),
        size: 0,
    }
}

impl World {
    pub fn changes(&self) -> ChangeSet {
        let modules = self.0.iter().map(|(name, given)| {
            let beam = || Beam::new([], format!("/shop/{name}.beam"), facts(name, given));
            let had = given.had.as_ref().unwrap_or(&given.exports);
            let changed = Changed {
                unloaded: None,
                loaded: Some(RunningVersion {
                    md5: Md5::default(),
                    file: format!("/shop/{name}.beam"),
                    exports: exports(had),
                    vsn: None,
                }),
                new: Some(beam()),
                old: Some(beam()),
                app: Some(App::new("shop")),
                processes: 0,
                module_processes: ModuleProcesses {
                    wrapped_in: given.runs_in.map(Module::new),
                    ..ModuleProcesses::default()
                },
            };
            (Module::new(name), changed)
        });
        ChangeSet {
            modules: modules.collect(),
            ..ChangeSet::default()
        }
    }

    fn node(&self) -> NodeFacts {
        let mut modules: Vec<Module> = self.0.iter().map(|(name, _)| Module::new(name)).collect();
        modules.push(Module::new("shop_same"));
        let shop = RunningApp {
            needs: Vec::new(),
            is_started: true,
            vsn: "1.0".to_owned(),
            modules,
        };
        NodeFacts {
            otp: 25,
            loaded: BTreeMap::new(),
            apps: BTreeMap::from([(App::new("shop"), shop)]),
            otp_lib: "/otp".to_owned(),
            path: Vec::new(),
            ..NodeFacts::default()
        }
    }

    /// What a plan makes of these modules.
    pub fn decide(&self, plan: &Plan) -> Upgrade {
        let node = NodeName::new("shop@host");
        decide(
            plan,
            &node,
            "",
            self.node(),
            self.changes(),
            &Settings::default(),
        )
    }

    /// What is said about a plan's text, codes and titles, in a set: order is no part of the result.
    pub fn reported(&self, text: &str) -> BTreeSet<(Code, String)> {
        let (plan, _) = read(text);
        let upgrade = self.decide(&plan);
        upgrade
            .diagnostics
            .into_iter()
            .map(|d| (d.code, d.title))
            .collect()
    }

    /// The codes only.
    pub fn codes(&self, text: &str) -> BTreeSet<Code> {
        self.reported(text)
            .into_iter()
            .map(|(code, _)| code)
            .collect()
    }
}

/// Reads a plan without errors.
pub fn read(text: &str) -> (Plan, SourceMap) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("plan.updo");
    std::fs::write(&path, text).expect("written");
    let loaded = updo::plan::load(&path, &BTreeMap::new());
    let plan = loaded
        .plan
        .unwrap_or_else(|| panic!("{text}\n{:#?}", loaded.diagnostics));
    (plan, loaded.sources)
}

/// A module that calls others.
pub fn calls(name: &'static str, others: &[&'static str]) -> (&'static str, Given) {
    let given = Given {
        calls: others.iter().map(|other| (*other, "f", 0)).collect(),
        exports: vec![("f", 0)],
        ..Given::default()
    };
    (name, given)
}
