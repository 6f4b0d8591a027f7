//! What the plan's statements amount to on one node: names instead of subjects, guards decided.
//!
//! Plain data. `plan` evaluates the statements; what they do is [`super::merge`].

use super::{Change, Children, Class, ModuleType, Purge, Timeout};
use crate::diag::Span;
use crate::name::Module;
use crate::plan::AppliedCheck;
use crate::term::Term;

/// A statement's place and reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementOrigin {
    /// The statement.
    pub span: Span,
    /// Its reason.
    pub because: Option<String>,
    /// 0 for the plan file, 1 for a file it includes, and so on: a smaller number wins.
    pub layer: usize,
}

/// An order between every module of one side and every module of the other.
#[derive(Clone, Debug, PartialEq)]
pub struct EdgeRule {
    /// The modules that wait.
    pub from: Vec<Module>,
    /// Those they wait for.
    pub to: Vec<Module>,
    /// `loads before` and `loads after`: an order and nothing else, so it may not close a ring.
    pub is_order: bool,
    /// The statement.
    pub source: StatementOrigin,
}

/// `cycle […]: …`
#[derive(Clone, Debug, PartialEq)]
pub struct CycleRule {
    /// The members named.
    pub members: Vec<Module>,
    /// Edges to break; empty for `together`.
    pub breaks: Vec<(Module, Module, Span)>,
    /// The statement.
    pub source: StatementOrigin,
}

/// One option of a `module` statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// `class`.
    Class(Class),
    /// `type`.
    Kind(ModuleType),
    /// `change`.
    Change(Change),
    /// `timeout`.
    Timeout(Timeout),
    /// `purge`: before and after the switch.
    Purge(Purge, Purge),
    /// `children`.
    Children(Children),
    /// `restart`: whether processes are restarted.
    Restart(bool),
    /// `remove`: whether the module goes.
    Remove(bool),
    /// `rehearse`: whether a rehearsal tries its conversion.
    Rehearse(bool),
}

impl Attribute {
    /// The option's word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Class(_) => "class",
            Self::Kind(_) => "type",
            Self::Change(_) => "change",
            Self::Timeout(_) => "timeout",
            Self::Purge(..) => "purge",
            Self::Children(_) => "children",
            Self::Restart(_) => "restart",
            Self::Remove(_) => "remove",
            Self::Rehearse(_) => "rehearse",
        }
    }
}

/// `module S #{…}`
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeRule {
    /// The modules of the subject.
    pub modules: Vec<Module>,
    /// Whether the subject names them one by one (a name beats a set).
    pub by_name: bool,
    /// The values with their places.
    pub values: Vec<(Attribute, Span)>,
    /// The statement.
    pub source: StatementOrigin,
}

/// `only S` or `exclude S`
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// The modules.
    pub modules: Vec<Module>,
    /// The statement.
    pub source: StatementOrigin,
}

/// Which step of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepWord {
    /// `load`: also the removal of a module.
    Load,
    /// `suspend`
    Suspend,
    /// `code_change`
    CodeChange,
    /// `resume`
    Resume,
    /// Nothing but the modules: from suspending to resuming them.
    Whole,
}

/// A place in a script.
#[derive(Clone, Debug, PartialEq)]
pub enum InsertPosition {
    /// Before everything, where all can still be given up.
    Start,
    /// After everything.
    End,
    /// At the first or behind the last of the steps that concern one of the modules.
    Step {
        /// `after`, not `before`.
        after: bool,
        /// Which.
        word: StepWord,
        /// Whose.
        modules: Vec<Module>,
    },
}

impl std::fmt::Display for InsertPosition {
    /// As plans write it: `before load shop_cart`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (after, word, modules) = match self {
            Self::Start => return f.write_str("at start"),
            Self::End => return f.write_str("at end"),
            Self::Step {
                after,
                word,
                modules,
            } => (after, word, modules),
        };
        f.write_str(if *after { "after " } else { "before " })?;
        f.write_str(match word {
            StepWord::Load => "load ",
            StepWord::Suspend => "suspend ",
            StepWord::CodeChange => "code_change ",
            StepWord::Resume => "resume ",
            StepWord::Whole => "",
        })?;
        match modules.as_slice() {
            [one] => write!(f, "{one}"),
            [first, .., last] if modules.len() > 4 => {
                write!(f, "[{first}, …, {last}] ({} modules)", modules.len())
            }
            several => {
                let names: Vec<String> = several.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", names.join(", "))
            }
        }
    }
}

/// What a plan puts into a script.
#[derive(Clone, Debug, PartialEq)]
pub enum Inserted {
    /// An instruction as OTP writes it, unread.
    Instruction(Term, Span),
    /// A hook: its number among the plan's hooks at steps.
    Hook(usize),
}

/// `insert Instruction …`, or a hook at a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Insertion {
    /// What.
    pub what: Inserted,
    /// Where.
    pub place: InsertPosition,
    /// The statement.
    pub source: StatementOrigin,
}

/// One window of `window S then …`
#[derive(Clone, Debug, PartialEq)]
pub struct WindowRule {
    /// Its modules; `None` is whatever no other window names.
    pub modules: Option<Vec<Module>>,
    /// Whether the subject names them one by one (a name beats a set).
    pub by_name: bool,
    /// The subject.
    pub span: Span,
}

/// `window S then S then rest`
#[derive(Clone, Debug, PartialEq)]
pub struct WindowsRule {
    /// In their order.
    pub windows: Vec<WindowRule>,
    /// The statement.
    pub source: StatementOrigin,
}

/// All statements that concern rules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manual {
    /// `depends on`, `loads after`, and `loads before` turned round.
    pub add: Vec<EdgeRule>,
    /// `does not depend on`.
    pub remove: Vec<EdgeRule>,
    /// `cycle`.
    pub cycles: Vec<CycleRule>,
    /// `module`.
    pub attributes: Vec<AttributeRule>,
    /// `only`.
    pub only: Vec<Selection>,
    /// `exclude`.
    pub exclude: Vec<Selection>,
    /// Whether rules of included files that do nothing are reported too.
    pub warn_unused_everywhere: bool,
    /// Checks on states that apply, and the statements.
    pub state_checks: Vec<(AppliedCheck, StatementOrigin)>,
    /// `window S then …`
    pub windows: Option<WindowsRule>,
    /// `insert` and hooks at steps, in the order of the text.
    pub insertions: Vec<Insertion>,
}
