//! The syntax tree of a plan. Every node carries its [`Span`]; literals are terms already.

use crate::diag::Span;
use crate::term::{Atom, BigInt, Term};

/// A value and its position.
#[derive(Clone, Debug, PartialEq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where.
    pub span: Span,
}

/// `… when Guard because "…"`: the two optional tails of most statements.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Tail {
    /// `when`: conditions joined by comma, all of which must be true. Empty when absent.
    pub when: Vec<Expr>,
    /// `because`.
    pub because: Option<Spanned<String>>,
}

/// One statement with its dot.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// What it says.
    pub kind: StatementKind,
    /// From its first word to its last, without the dot.
    pub span: Span,
}

/// `#{key => Expr, …}` after a statement's subject.
pub type Options = Vec<OptionPair>;

/// One `key => value`.
#[derive(Clone, Debug, PartialEq)]
pub struct OptionPair {
    /// The key, an atom.
    pub key: Spanned<Atom>,
    /// The value.
    pub value: Expr,
}

/// Every kind of statement (LANGUAGE reference, "Statements").
#[derive(Clone, Debug, PartialEq)]
pub enum StatementKind {
    /// `plan "Title" #{…}.`
    Plan {
        /// Title.
        title: Spanned<String>,
        /// Free metadata.
        options: Options,
    },
    /// `updo ">= 0.3".`
    Updo {
        /// A semver requirement.
        version: Spanned<String>,
    },
    /// `include "path" …`
    Include {
        /// Path, relative to the including file.
        path: Spanned<String>,
        /// `when`, `because`.
        tail: Tail,
    },
    /// `param Name :: type = Default …`
    Param {
        /// Name.
        name: Spanned<String>,
        /// Type expression (an atom, or a list of one atom).
        kind: Option<Expr>,
        /// Default.
        default: Option<Expr>,
        /// `because` (no `when`).
        tail: Tail,
    },
    /// `Name = Expr.`
    Bind {
        /// Name.
        name: Spanned<String>,
        /// Value.
        value: Expr,
    },
    /// `name(Args) when … -> Body; …`
    Function {
        /// Name.
        name: Spanned<Atom>,
        /// The clauses, all of one arity.
        clauses: Vec<FunClause>,
    },
    /// `target Name #{…}.`
    Target {
        /// Name.
        name: Spanned<Atom>,
        /// Options.
        options: Options,
    },
    /// `code on_disk …` / `code push ["…"] …`
    Code {
        /// `None`: on disk. `Some`: the patterns to push.
        push: Option<Vec<Spanned<String>>>,
        /// Options.
        options: Options,
        /// `when`, `because`.
        tail: Tail,
    },
    /// `S depends on S`, `S does not depend on S`, `S loads before S`, `S loads after S`.
    Relation {
        /// Left subject.
        left: Expr,
        /// The verb.
        verb: Spanned<Verb>,
        /// Right subject.
        right: Expr,
        /// `when`, `because`.
        tail: Tail,
    },
    /// `cycle [M, …]: together …` / `cycle [M, …]: break A -> B, …`
    Cycle {
        /// The members, a list expression.
        members: Expr,
        /// Edges to break; `None` means `together`.
        breaks: Option<Vec<BreakEdge>>,
        /// `when`, `because`.
        tail: Tail,
    },
    /// `module S #{…} …`
    Module {
        /// Subject.
        subject: Expr,
        /// Options.
        options: Options,
        /// `when`, `because`.
        tail: Tail,
    },
    /// `exclude S …`
    Exclude {
        /// Subject.
        subject: Expr,
        /// `when`, `because`.
        tail: Tail,
    },
    /// `only S …`
    Only {
        /// Subject.
        subject: Expr,
        /// `when`, `because`.
        tail: Tail,
    },
    /// `window single | live | auto | minimal | otp.`
    Window(Spanned<Atom>),
    /// `window S then S then rest …`
    OwnWindows {
        /// What is in each of them, in order; `rest` alone is whatever none of the others names.
        windows: Vec<Expr>,
        /// `when`, `because`.
        tail: Tail,
    },
    /// `engine updo | release_handler.`
    Engine(Spanned<Atom>),
    /// `old from "glob", …`
    OldFrom {
        /// Patterns.
        patterns: Vec<Spanned<String>>,
        /// `when`, `because`.
        tail: Tail,
    },
    /// `old from git "REVISION" #{…}`
    OldFromGit {
        /// A commit, or what leads to one.
        revision: Spanned<String>,
        /// Options.
        options: Options,
        /// `when`, `because`.
        tail: Tail,
    },
    /// `insert Instr place …`
    Insert {
        /// The instruction term.
        instruction: Expr,
        /// Where it goes.
        place: InsertAnchor,
        /// `when`, `because`.
        tail: Tail,
    },
    /// `before upgrade -> Body`, `after load S -> Body`, `on failure -> Body`.
    Hook {
        /// When it runs.
        moment: HookPoint,
        /// Options.
        options: Options,
        /// `when`, `because`.
        tail: Tail,
        /// Expressions, joined by comma.
        body: Vec<Expr>,
    },
    /// `require "text" … -> Body` / `verify "text" … -> Body`.
    Check {
        /// `true` for `verify`.
        verify: bool,
        /// What it checks, in words.
        name: Spanned<String>,
        /// Options.
        options: Options,
        /// `when`, `because`.
        tail: Tail,
        /// Conditions, joined by comma.
        body: Vec<Expr>,
    },
    /// `hold "text" #{for => D} … -> Body`
    Hold {
        /// What has to hold, in words.
        name: Spanned<String>,
        /// Options.
        options: Options,
        /// `when`, `because`.
        tail: Tail,
        /// Conditions, joined by comma.
        body: Vec<Expr>,
    },
    /// `gate "text" #{within => D} … -> cmd "…"`
    Gate {
        /// What it asks, in words.
        name: Spanned<String>,
        /// Options.
        options: Options,
        /// `because`.
        tail: Tail,
        /// What `sh -c` gets.
        command: Spanned<String>,
    },
    /// `deadline D.`
    Deadline(Expr),
    /// `budget D.`, `budget infinity.`
    Budget(Expr),
    /// `soak D.`
    Soak(Expr),
    /// `rollback automatic | manual | never #{…} …`
    Rollback {
        /// The policy.
        policy: Spanned<Atom>,
        /// Options.
        options: Options,
        /// `because`.
        tail: Tail,
    },
    /// `rehearse never`, `rehearse #{…} …`
    Rehearse {
        /// `never`; `None` with options.
        word: Option<Spanned<Atom>>,
        /// Options.
        options: Options,
        /// `because`.
        tail: Tail,
    },
    /// `rehearse [S] "title" … -> fun (Old, New) -> … end`
    StateCheck {
        /// The modules; `None`: all that are converted.
        subject: Option<Expr>,
        /// What holds, in words.
        name: Spanned<String>,
        /// `when`, `because`.
        tail: Tail,
        /// The clauses of the fun; each pattern is the tuple of its arguments.
        clauses: Vec<Clause>,
    },
    /// `rollout [Target] #{…} …`
    Rollout {
        /// Target.
        target: Option<Spanned<Atom>>,
        /// Options.
        options: Options,
        /// `because`.
        tail: Tail,
    },
}

/// What relates two subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// The right side is loaded first.
    DependsOn,
    /// The inferred edge is false.
    DoesNotDependOn,
    /// Order without grouping.
    LoadsBefore,
    /// Order without grouping.
    LoadsAfter,
}

/// `A -> B` of `cycle … break`.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakEdge {
    /// The caller.
    pub from: Spanned<Atom>,
    /// The callee.
    pub to: Spanned<Atom>,
}

/// A step of a script, as plans name it.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRef {
    /// `suspend`, `load`, `code_change`, `resume`; `None` for a bare subject (its whole group).
    pub kind: Option<Spanned<Atom>>,
    /// Modules.
    pub subject: Expr,
}

/// Where an inserted instruction goes.
#[derive(Clone, Debug, PartialEq)]
pub enum InsertAnchor {
    /// `at start`.
    Start,
    /// `at end`.
    End,
    /// `before StepRef`.
    Before(StepRef),
    /// `after StepRef`.
    After(StepRef),
}

/// When a hook runs.
#[derive(Clone, Debug, PartialEq)]
pub enum HookPoint {
    /// `before upgrade`.
    BeforeUpgrade,
    /// `after upgrade`.
    AfterUpgrade,
    /// `before rollout`.
    BeforeRollout,
    /// `after rollout`.
    AfterRollout,
    /// `before StepRef`.
    Before(StepRef),
    /// `after StepRef`.
    After(StepRef),
    /// `on failure`.
    OnFailure,
    /// `on rollback`.
    OnRollback,
}

/// One clause of a plan function.
#[derive(Clone, Debug, PartialEq)]
pub struct FunClause {
    /// The position of its name.
    pub name: Span,
    /// Patterns.
    pub args: Vec<Expr>,
    /// Guard conditions, joined by comma.
    pub when: Vec<Expr>,
    /// Body.
    pub body: Vec<Expr>,
}

/// An expression or a pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Its position.
    pub span: Span,
}

/// Every kind of expression.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A constant: number, atom, string, alias, `fun m:f/1`, and any tuple, list or map of constants.
    Literal(Term),
    /// `30s`: milliseconds. Its value is the integer; kept apart so that E205 can distinguish it.
    Duration(u64),
    /// A variable (`_` too).
    Var(String),
    /// `{…}`.
    Tuple(Vec<Expr>),
    /// `[… | Tail]`.
    List(Vec<Expr>, Option<Box<Expr>>),
    /// `[E || …]`.
    ListComp(Box<Expr>, Vec<Qualifier>),
    /// `<<E || …>>`.
    BinComp(Box<Expr>, Vec<Qualifier>),
    /// `#{K => V || …}`.
    MapComp(Box<MapPair>, Vec<Qualifier>),
    /// `#{…}` or `Base#{…}`.
    Map(Option<Box<Expr>>, Vec<MapPair>),
    /// `<<…>>`.
    Binary(Vec<Segment>),
    /// `f(…)`: a plan function, a pure BIF, or a built-in of updo.
    Call(Spanned<Atom>, Vec<Expr>),
    /// `m:f(…)`: runs on the node.
    Remote {
        /// Module expression.
        module: Box<Expr>,
        /// Function expression.
        function: Box<Expr>,
        /// Arguments.
        args: Vec<Expr>,
    },
    /// `P = E`.
    Match(Box<Expr>, Box<Expr>),
    /// A unary operator: `-`, `+`, `not`, `bnot`.
    Unary(&'static str, Box<Expr>),
    /// A binary operator by its Erlang spelling.
    Binop(&'static str, Box<Expr>, Box<Expr>),
    /// `catch E`.
    Catch(Box<Expr>),
    /// `begin … end`.
    Block(Vec<Expr>),
    /// `case E of … end`.
    Case(Box<Expr>, Vec<Clause>),
    /// `if … end`.
    If(Vec<Clause>),
}

/// A clause of `case` (pattern present) or `if` (pattern absent).
#[derive(Clone, Debug, PartialEq)]
pub struct Clause {
    /// The pattern of `case`.
    pub pattern: Option<Expr>,
    /// Guard: alternatives (`;`) of conditions (`,`). Empty when absent.
    pub guard: Vec<Vec<Expr>>,
    /// Body.
    pub body: Vec<Expr>,
}

/// One `K => V` or `K := V`.
#[derive(Clone, Debug, PartialEq)]
pub struct MapPair {
    /// Key.
    pub key: Expr,
    /// `:=` instead of `=>`.
    pub exact: bool,
    /// Value.
    pub value: Expr,
}

/// A part of a comprehension behind `||`.
#[derive(Clone, Debug, PartialEq)]
pub enum Qualifier {
    /// `P <- List`.
    List(Expr, Expr),
    /// `P <= Binary`.
    Binary(Expr, Expr),
    /// `K := V <- Map`.
    Map(Expr, Expr, Expr),
    /// A condition.
    Filter(Expr),
}

/// One segment of `<<…>>`.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// The value.
    pub value: Expr,
    /// Size.
    pub size: Option<Expr>,
    /// Type; default `integer` (or `utf8`-less string for a string literal).
    pub kind: Option<SegmentKind>,
    /// Sign; default unsigned.
    pub signed: bool,
    /// Byte order.
    pub endian: Endian,
    /// Unit, when written.
    pub unit: Option<u32>,
    /// Where.
    pub span: Span,
}

/// The type of a binary segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentKind {
    /// `integer`.
    Integer,
    /// `float`.
    Float,
    /// `binary`, `bytes`.
    Binary,
    /// `bitstring`, `bits`.
    Bitstring,
    /// `utf8`.
    Utf8,
    /// `utf16`.
    Utf16,
    /// `utf32`.
    Utf32,
}

/// Byte order of a binary segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Endian {
    /// `big`.
    #[default]
    Big,
    /// `little`.
    Little,
    /// `native`.
    Native,
}

impl StatementKind {
    /// The guard and reason of a statement that may apply to some nodes and not to others.
    pub fn tail_mut(&mut self) -> Option<&mut Tail> {
        match self {
            Self::Code { tail, .. }
            | Self::Relation { tail, .. }
            | Self::Cycle { tail, .. }
            | Self::Module { tail, .. }
            | Self::Exclude { tail, .. }
            | Self::Only { tail, .. }
            | Self::OwnWindows { tail, .. }
            | Self::OldFrom { tail, .. }
            | Self::OldFromGit { tail, .. }
            | Self::Insert { tail, .. }
            | Self::Hook { tail, .. }
            | Self::StateCheck { tail, .. }
            | Self::Check { tail, .. } => Some(tail),
            _ => None,
        }
    }
}

/// Whether a window of `window S then …` is whatever no other one names; a module of that name is `[rest]`.
pub fn is_rest(window: &Expr) -> bool {
    matches!(&window.kind, ExprKind::Literal(Term::Atom(word)) if word.as_str() == "rest")
}

impl Expr {
    /// A literal.
    pub fn literal(term: Term, span: Span) -> Self {
        Self {
            kind: ExprKind::Literal(term),
            span,
        }
    }

    /// The constant, if this is one (a duration counts as its milliseconds). A map that gives a key twice is
    /// not folded by the parser, so that it can be reported; its last value counts.
    pub fn as_literal(&self) -> Option<Term> {
        let all = |exprs: &[Expr]| {
            exprs
                .iter()
                .map(Expr::as_literal)
                .collect::<Option<Vec<_>>>()
        };
        match &self.kind {
            ExprKind::Literal(term) => Some(term.clone()),
            ExprKind::Duration(ms) => Some(Term::integer(BigInt::from(*ms))),
            ExprKind::Tuple(elements) => all(elements).map(Term::Tuple),
            ExprKind::List(elements, tail) => {
                let tail = match tail {
                    Some(tail) => tail.as_literal()?,
                    None => Term::List(Vec::new()),
                };
                Some(Term::cons(all(elements)?, tail))
            }
            ExprKind::Map(None, pairs) if pairs.iter().all(|pair| !pair.exact) => {
                let pair =
                    |pair: &MapPair| Some((pair.key.as_literal()?, pair.value.as_literal()?));
                pairs
                    .iter()
                    .map(pair)
                    .collect::<Option<Vec<_>>>()
                    .map(Term::map)
            }
            _ => None,
        }
    }

    /// The constant of an expression that the parser has folded.
    pub(super) fn as_folded(&self) -> Option<Term> {
        match &self.kind {
            ExprKind::Literal(_) | ExprKind::Duration(_) => self.as_literal(),
            _ => None,
        }
    }
}
