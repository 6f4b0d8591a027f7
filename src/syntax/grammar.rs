//! The parser that pest makes of `grammar/updo.pest`, and what a user would call each of its rules.
//!
//! It takes one statement or line and gives pairs, or the place where parsing stopped and, in words, what
//! would have fitted there. The match over the rules has no wildcard: a new grammar rule does not compile
//! until its name in error messages is decided.

use std::sync::PoisonError;

use pest::Parser;
use pest::error::{Error, InputLocation};
use pest::iterators::Pair;

/// The generated parser.
#[derive(pest_derive::Parser)]
#[grammar = "../grammar/updo.pest"]
struct Grammar;

/// Where parsing stopped and what would have fitted there.
#[derive(Debug, Default)]
pub(super) struct Failure {
    /// Offset in the parsed text.
    pub at: usize,
    /// Words and signs that would have fitted, as they are written.
    pub tokens: Vec<String>,
    /// What the deepest failing rules are called.
    pub rules: Vec<&'static str>,
}

/// Whether pest keeps what it expected is a switch of the whole process, and keeping it more than doubles the time.
/// So texts are parsed without, and those that fail a second time with it; the holder of the lock for writing
/// may turn the switch.
static DETAIL: std::sync::RwLock<()> = std::sync::RwLock::new(());

/// Parses a text with one of the entry rules; a failure says nothing but that there is one.
pub(super) fn accepted(rule: Rule, text: &str) -> Result<Pair<'_, Rule>, Failure> {
    let plain = {
        let _shared = DETAIL.read().unwrap_or_else(PoisonError::into_inner);
        Grammar::parse(rule, text)
    };
    let pair = plain.ok().and_then(|mut pairs| pairs.next());
    pair.ok_or_else(Failure::default)
}

/// Parses a text with one of the entry rules.
pub(super) fn parse(rule: Rule, text: &str) -> Result<Pair<'_, Rule>, Failure> {
    if let Ok(pair) = accepted(rule, text) {
        return Ok(pair);
    }
    let _alone = DETAIL.write().unwrap_or_else(PoisonError::into_inner);
    pest::set_error_detail(true);
    let detailed = Grammar::parse(rule, text);
    pest::set_error_detail(false);
    match detailed {
        Ok(mut pairs) => pairs.next().ok_or_else(Failure::default),
        Err(error) => Err(failure(&error)),
    }
}

fn failure(error: &Error<Rule>) -> Failure {
    let Some(attempts) = error.parse_attempts() else {
        let (InputLocation::Pos(at) | InputLocation::Span((at, _))) = error.location;
        return Failure {
            at,
            ..Failure::default()
        };
    };
    let mut tokens: Vec<String> = attempts
        .expected_tokens()
        .into_iter()
        .map(|token| token.to_string())
        .filter(|token| !token.trim().is_empty() && token != "%")
        .collect();
    tokens.dedup();
    let mut rules: Vec<&str> = attempts
        .call_stacks()
        .iter()
        .filter_map(|stack| stack.deepest.get_rule().or(stack.parent.as_ref()))
        .map(|rule| name(*rule))
        .collect();
    rules.dedup();
    Failure {
        at: attempts.max_position,
        tokens,
        rules,
    }
}

/// What a user would call a rule.
pub(super) fn name(rule: Rule) -> &'static str {
    use Rule as R;
    match rule {
        R::EOI => "the end",
        R::WHITESPACE | R::blank => "a blank",
        R::COMMENT => "a comment",
        R::form | R::statement => "a statement",
        R::input => "an expression or a statement",
        R::dot => "`.`",
        R::plan_stmt => "a `plan` statement",
        R::updo_stmt => "an `updo` statement",
        R::include_stmt => "an `include` statement",
        R::param_stmt => "a `param` statement",
        R::param_type => "a type",
        R::target_stmt => "a `target` statement",
        R::code_stmt => "a `code` statement",
        R::module_stmt => "a `module` statement",
        R::exclude_stmt => "an `exclude` statement",
        R::only_stmt => "an `only` statement",
        R::cycle_stmt => "a `cycle` statement",
        R::breaks | R::edge => "an edge: `a -> b`",
        R::window_stmt => "a `window` statement",
        R::engine_stmt => "an `engine` statement",
        R::old_stmt => "an `old from` statement",
        R::insert_stmt => "an `insert` statement",
        R::place => "a place: `at start`, `at end`, `before …`, `after …`",
        R::step | R::step_kind => "a step: `load m`, `suspend m`, `code_change m`, `resume m`",
        R::hook_stmt => "a hook",
        R::check_stmt => "a check",
        R::hold_stmt => "a `hold`",
        R::gate_stmt => "a `gate`",
        R::command => "a command in a string",
        R::deadline_stmt => "a `deadline` statement",
        R::soak_stmt => "a `soak` statement",
        R::budget_stmt => "a `budget` statement",
        R::rollback_stmt => "a `rollback` statement",
        R::rollout_stmt => "a `rollout` statement",
        R::rehearse_stmt | R::state_check_stmt => "a `rehearse` statement",
        R::state_fun | R::state_clause => "`fun (Old, New) -> … end`",
        R::fun_stmt | R::fun_clause => "a function",
        R::bind_stmt => "a constant",
        R::relation_stmt
        | R::verb
        | R::depends_on
        | R::not_depends_on
        | R::loads_before
        | R::loads_after => VERBS,
        R::globs => "a list of strings",
        R::subject | R::subject_item | R::subject_call => "modules",
        R::opts | R::opt => "options: `#{key => value}`",
        R::when => "`when`",
        R::because => "`because`",
        R::exprs
        | R::body
        | R::expr
        | R::one_expr
        | R::op_expr
        | R::postfix
        | R::primary
        | R::parens
        | R::catch_ => "an expression",
        R::match_op => "`=`",
        R::operand | R::prefix | R::neg | R::pos | R::not_ | R::bnot_ => "an expression",
        R::infix
        | R::infix_start
        | R::orelse
        | R::andalso
        | R::cmp
        | R::list_op
        | R::add_op
        | R::mul_op => "an operator",
        R::remote_call => "a call: `m:f(…)`",
        R::call_args => "arguments: `(…)`",
        R::update => "a map update",
        R::colon => "`:`",
        R::slash => "`/`",
        R::bar => "`|`",
        R::fun_ref => "`fun m:f/1`",
        R::begin_ | R::case_ | R::if_ => "an expression",
        R::clause | R::if_clause => "a clause",
        R::guard | R::conj => "a condition",
        R::list => "a list",
        R::tail => "the tail of a list",
        R::tuple => "a tuple",
        R::map => "a map",
        R::pair => "a pair: `key => value`",
        R::assoc => "`=>`",
        R::exact => "`:=`",
        R::binary => "a binary",
        R::segment | R::bin_size | R::bin_spec | R::spec_part => "a segment of a binary",
        R::comprehension | R::qualifier | R::list_gen | R::bin_gen | R::map_gen => {
            "a generator or a filter"
        }
        R::number | R::digits | R::float | R::based | R::integer => "a number",
        R::duration => "a duration: `30s`",
        R::char | R::escape => "a character",
        R::strings | R::string | R::triple => "a string",
        R::sigil | R::raw_text | R::esc_text | R::delimiter => "a sigil",
        R::quoted_atom | R::atom | R::bare_atom => "an atom",
        R::variable => "a variable",
        R::alias | R::alias_part => "a module",
        R::id | R::reserved => "a word",
        R::kw_plan => "`plan`",
        R::kw_updo => "`updo`",
        R::kw_include => "`include`",
        R::kw_param => "`param`",
        R::kw_target => "`target`",
        R::kw_code => "`code`",
        R::kw_on_disk => "`on_disk`",
        R::kw_push => "`push`",
        R::kw_module => "`module`",
        R::kw_exclude => "`exclude`",
        R::kw_only => "`only`",
        R::kw_cycle => "`cycle`",
        R::kw_together => "`together`",
        R::kw_break => "`break`",
        R::kw_window => "`window`",
        R::kw_then => "`then`",
        R::kw_engine => "`engine`",
        R::kw_old => "`old`",
        R::kw_from => "`from`",
        R::kw_git => "`git`",
        R::kw_insert => "`insert`",
        R::kw_at => "`at`",
        R::kw_start => "`start`",
        R::kw_before => "`before`",
        R::kw_after => "`after`",
        R::kw_on => "`on`",
        R::kw_failure => "`failure`",
        R::kw_upgrade => "`upgrade`",
        R::kw_suspend => "`suspend`",
        R::kw_load => "`load`",
        R::kw_code_change => "`code_change`",
        R::kw_resume => "`resume`",
        R::kw_require => "`require`",
        R::kw_verify => "`verify`",
        R::kw_hold => "`hold`",
        R::kw_gate => "`gate`",
        R::kw_cmd => "`cmd`",
        R::kw_deadline => "`deadline`",
        R::kw_soak => "`soak`",
        R::kw_budget => "`budget`",
        R::kw_rollback => "`rollback`",
        R::kw_rollout => "`rollout`",
        R::kw_rehearse => "`rehearse`",
        R::kw_depends => "`depends`",
        R::kw_depend => "`depend`",
        R::kw_does => "`does`",
        R::kw_loads => "`loads`",
        R::kw_because => "`because`",
        R::kw_when => "`when`",
        R::kw_not => "`not`",
        R::kw_bnot => "`bnot`",
        R::kw_catch => "`catch`",
        R::kw_orelse => "`orelse`",
        R::kw_andalso => "`andalso`",
        R::kw_fun => "`fun`",
        R::kw_bor => "`bor`",
        R::kw_bxor => "`bxor`",
        R::kw_bsl => "`bsl`",
        R::kw_bsr => "`bsr`",
        R::kw_or => "`or`",
        R::kw_xor => "`xor`",
        R::kw_div => "`div`",
        R::kw_rem => "`rem`",
        R::kw_band => "`band`",
        R::kw_and => "`and`",
        R::kw_begin => "`begin`",
        R::kw_case => "`case`",
        R::kw_of => "`of`",
        R::kw_if => "`if`",
        R::kw_end => "`end`",
    }
}

/// The verbs between two subjects.
pub(super) const VERBS: &str =
    "a verb: `depends on`, `does not depend on`, `loads before`, `loads after`";
