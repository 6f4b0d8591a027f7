//! Calls inside each other: `true = ets:insert(t, {c, counters:new(1, [])})`.
//!
//! Some values are references into the memory of the node (counters, atomics, tables without a name, sockets, other
//! resources): nothing keeps such a value alive while it is here, and what comes back to the node may be dead. So an
//! expression whose calls are nested, with nothing but constructors between them, is carried out on the
//! node in one process; and where such a value would really travel back, that is refused (E707).
//!
//! The calls become one `erl_eval:exprs/3`: a function whose body binds the results one after the other, in the order
//! of Erlang. Everything else is evaluated here before and travels as bindings.

use super::bindings::Bindings;
use super::call::{CalledFunction, raised};
use super::evaluator::Evaluator;
use super::failure::{Failure, PrimitiveError};
use super::host::RemoteError;
use crate::diag::{Code, Diagnostic, Span};
use crate::syntax::ast::{Expr, ExprKind};
use crate::syntax::walk;
use crate::term::{Atom, Fun, Reference, Term};

/// The bit of a reference's second word that marks it as one to a resource (erts: `ERTS_REF1_MAGIC_MARKER_BIT_NO__`,
/// the same on OTP 23 to 29). Nothing documented tells them apart.
const MAGIC: u32 = 1 << 17;

/// Whether a reference is one into the memory of its node.
pub(super) fn is_magic(reference: &Reference) -> bool {
    reference.words.get(1).is_some_and(|word| word & MAGIC != 0)
}

/// A reference of that kind anywhere in a value.
fn magic(value: &Term) -> Option<&Reference> {
    match value {
        Term::Reference(reference) => is_magic(reference).then_some(reference),
        Term::Tuple(parts) | Term::List(parts) => parts.iter().find_map(magic),
        Term::Improper(parts, tail) => parts.iter().chain([&**tail]).find_map(magic),
        Term::Map(pairs) => pairs.iter().flat_map(|(k, v)| [k, v]).find_map(magic),
        Term::Record(record) => record.fields.iter().find_map(|(_, value)| magic(value)),
        Term::Fun(Fun::Closure(closure)) => closure.free.iter().find_map(magic),
        _ => None,
    }
}

/// E707: a value that cannot leave the node was to be sent back to it.
pub(super) fn travels(args: &[Term], mfa: &str, span: Span) -> Option<Failure> {
    let reference = args.iter().find_map(magic)?;
    let shown = Term::Reference(reference.clone());
    let title = format!("an argument of `{mfa}` holds a value that cannot leave the node");
    let diagnostic = Diagnostic::new(Code::E707, title)
        .label(span, "would be sent back to the node")
        .note(format!(
            "{shown} refers to a resource of the node (counters, atomics, a table, a socket …)"
        ))
        .note("nothing keeps it alive between two calls, and what comes back may be dead")
        .help("write the calls inside each other: then they run on the node in one go");
    Some(Failure::refused(Term::atom("resource"), span, diagnostic))
}

/// One call of several inside each other; those before it are among its arguments.
struct Call {
    module: Atom,
    function: Atom,
    arity: usize,
    span: Span,
}

/// The expression in the making: the calls, their abstract code, and the values that travel along.
#[derive(Default)]
struct Making {
    calls: Vec<Call>,
    body: Vec<Term>,
    values: Vec<(String, Term)>,
}

/// Whether an expression asks the node.
fn asks(expr: &Expr) -> bool {
    let mut found = false;
    walk::all(expr, &mut |part| {
        found |= matches!(part.kind, ExprKind::Remote { .. });
    });
    found
}

/// Whether an argument has a call inside of it, with nothing but constructors around it; `None` when there is something
/// else, which is evaluated here.
fn has_call(expr: &Expr) -> Option<bool> {
    let any = |parts: &mut dyn Iterator<Item = &Expr>| {
        let mut found = false;
        for part in parts {
            found |= has_call(part)?;
        }
        Some(found)
    };
    match &expr.kind {
        ExprKind::Literal(_) | ExprKind::Duration(_) | ExprKind::Var(_) => Some(false),
        ExprKind::Remote {
            module,
            function,
            args,
        } => {
            let name = |part: &Expr| matches!(part.kind, ExprKind::Literal(_) | ExprKind::Var(_));
            (name(module) && name(function)).then_some(())?;
            any(&mut args.iter())?;
            Some(true)
        }
        ExprKind::Tuple(parts) => any(&mut parts.iter()),
        ExprKind::List(parts, tail) => any(&mut parts.iter().chain(tail.as_deref())),
        ExprKind::Map(None, pairs) if pairs.iter().all(|pair| !pair.exact) => {
            any(&mut pairs.iter().flat_map(|pair| [&pair.key, &pair.value]))
        }
        // Computed here: nothing that binds, calls or says something, so that it does not matter when.
        ExprKind::Unary(_, part) => (!asks(part)).then(|| has_call(part))?,
        ExprKind::Binop(_, left, right) => {
            (!asks(left) && !asks(right)).then(|| any(&mut [&**left, &**right].into_iter()))?
        }
        _ => None,
    }
}

impl<'a> Evaluator<'a> {
    /// Carries out a call whose arguments hold other calls, if that can be done on the node in one go.
    pub(super) fn nested(
        &mut self,
        expr: &Expr,
        args: &[Expr],
        bindings: &mut Bindings,
    ) -> Option<Result<Term, Failure>> {
        let able = self.remote.as_deref().is_some_and(|node| node.can_nest());
        if !able || has_call(expr) != Some(true) || !args.iter().any(asks) {
            return None;
        }
        let mut making = Making::default();
        let outcome = match self.make(expr, &mut making, bindings) {
            Ok(_) => self.carry_out(making, expr.span),
            Err(failure) => Err(failure),
        };
        Some(outcome)
    }

    /// The abstract code of an expression.
    fn make(
        &mut self,
        expr: &Expr,
        making: &mut Making,
        bindings: &mut Bindings,
    ) -> Result<Term, Failure> {
        if !asks(expr) {
            let value = self.value(expr, bindings)?;
            let name = format!("A{}", making.values.len());
            let code = form("var", [Term::atom(&name)]);
            making.values.push((name, value));
            return Ok(code);
        }
        self.step(expr.span)?;
        match &expr.kind {
            ExprKind::Remote {
                module,
                function,
                args,
            } => {
                let names = [
                    self.value(module, bindings)?,
                    self.value(function, bindings)?,
                ];
                let [Term::Atom(module), Term::Atom(function)] = names else {
                    let [module, function] = &names;
                    return Err(self.fault(
                        PrimitiveError::BadArg,
                        ":",
                        &[module, function],
                        expr.span,
                    ));
                };
                let code = self.make_all(args, making, bindings)?;
                Ok(making.call(module, function, code, expr.span))
            }
            ExprKind::Tuple(parts) => {
                let parts = self.make_all(parts, making, bindings)?;
                Ok(form("tuple", [Term::List(parts)]))
            }
            ExprKind::List(parts, tail) => {
                let parts = self.make_all(parts, making, bindings)?;
                let tail = match tail {
                    Some(tail) => self.make(tail, making, bindings)?,
                    None => form("nil", []),
                };
                let cons = |tail, part| form("cons", [part, tail]);
                Ok(parts.into_iter().rev().fold(tail, cons))
            }
            ExprKind::Map(_, pairs) => {
                let mut fields = Vec::new();
                for pair in pairs {
                    let key = self.make(&pair.key, making, bindings)?;
                    let value = self.make(&pair.value, making, bindings)?;
                    fields.push(form("map_field_assoc", [key, value]));
                }
                Ok(form("map", [Term::List(fields)]))
            }
            // `has_call` lets nothing else with a call inside pass.
            _ => Err(self.fault(PrimitiveError::BadArg, ":", &[], expr.span)),
        }
    }

    fn make_all(
        &mut self,
        exprs: &[Expr],
        making: &mut Making,
        bindings: &mut Bindings,
    ) -> Result<Vec<Term>, Failure> {
        let each = exprs.iter().map(|expr| self.make(expr, making, bindings));
        each.collect()
    }

    fn carry_out(&mut self, making: Making, span: Span) -> Result<Term, Failure> {
        let Some(outer) = making.calls.last() else {
            return Err(self.fault(PrimitiveError::BadArg, ":", &[], span));
        };
        let mfa = CalledFunction::of(&outer.module, &outer.function, outer.arity);
        for (_, value) in &making.values {
            if let Some(failure) = travels(std::slice::from_ref(value), &mfa.text, span) {
                return Err(failure);
            }
        }
        let clause = form(
            "clause",
            [nil(), nil(), Term::list(making.body.iter().cloned())],
        );
        let clauses = Term::tuple([Term::atom("clauses"), Term::list([clause])]);
        let call = form("call", [form("fun", [clauses]), nil()]);
        // Sorted by name: what OTP 24 and older take.
        let mut values = making.values;
        values.sort_by(|a, b| a.0.cmp(&b.0));
        let values = values.into_iter();
        let values = values.map(|(name, value)| Term::tuple([Term::atom(&name), value]));
        let args = vec![Term::list([call]), Term::list(values), Term::atom("none")];
        let timeout = self.budget.limits.call.min(self.budget.remaining());
        let Some(remote) = self.remote.as_deref_mut() else {
            return Err(self.fault(PrimitiveError::BadArg, ":", &[], span));
        };
        let (module, function) = (Atom::new("erl_eval"), Atom::new("exprs"));
        match remote.call(&module, &function, args, timeout) {
            Ok(answer) => match answer.as_tuple() {
                Some([_, value, _]) => {
                    self.pay_for(value, span)?;
                    Ok(value.clone())
                }
                _ => Err(self.fault(PrimitiveError::BadArg, ":", &[&answer], span)),
            },
            Err(RemoteError::Raised {
                class,
                reason,
                stack,
            }) => Err(match blamed(&reason, &making.calls) {
                Some((call, class, reason, stack)) => {
                    let mfa = CalledFunction::of(&call.module, &call.function, call.arity);
                    raised(&mfa, &class, reason, stack, call.span)
                }
                None => raised(&mfa, &class, reason, stack, span),
            }),
            Err(error) => Err(self.no_answer(error, &mfa, timeout, span)),
        }
    }
}

impl Making {
    /// Binds the result of a call to a variable; what it raises says which call it was.
    fn call(&mut self, module: Atom, function: Atom, args: Vec<Term>, span: Span) -> Term {
        let number = self.calls.len();
        let var = |letter: &str| form("var", [Term::atom(format!("{letter}{number}"))]);
        let atom = |text: &str| form("atom", [Term::atom(text)]);
        let of = |module: Term, function: Term| form("remote", [module, function]);
        let arity = args.len();
        let name = of(
            form("atom", [Term::Atom(module.clone())]),
            form("atom", [Term::Atom(function.clone())]),
        );
        let call = form("call", [name, Term::List(args)]);
        let (class, reason, stack) = (var("C"), var("R"), var("S"));
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        let blame = form(
            "tuple",
            [Term::list([
                atom(BLAME),
                form("integer", [Term::Int(number)]),
                class.clone(),
                reason.clone(),
                stack.clone(),
            ])],
        );
        let throw = form(
            "call",
            [of(atom("erlang"), atom("throw")), Term::list([blame])],
        );
        let what = form("tuple", [Term::list([class, reason, stack])]);
        let caught = form("clause", [Term::list([what]), nil(), Term::list([throw])]);
        let code = form(
            "try",
            [Term::list([call]), nil(), Term::list([caught]), nil()],
        );
        self.body.push(form("match", [var("V"), code]));
        self.calls.push(Call {
            module,
            function,
            arity,
            span,
        });
        var("V")
    }
}

/// The first element of what a call inside others throws.
const BLAME: &str = "updo_raised";

/// Which call raised, and what; the evaluator's own frames are left out.
fn blamed<'c>(reason: &Term, calls: &'c [Call]) -> Option<(&'c Call, Atom, Term, Term)> {
    let [tag, number, class, reason, stack] = reason.as_tuple()? else {
        return None;
    };
    let number = usize::try_from(number.as_i64()?).ok()?;
    let call = calls.get(number).filter(|_| tag.is_atom(BLAME))?;
    let own = |frame: &&Term| {
        let module = frame.as_tuple().and_then(<[Term]>::first);
        !module.is_some_and(|module| module.is_atom("erl_eval"))
    };
    let frames = stack.as_list().unwrap_or_default().iter();
    let frames = Term::list(frames.take_while(own).cloned());
    Some((call, class.as_atom()?.clone(), reason.clone(), frames))
}

/// A form of the abstract format, all on line 1.
fn form<const N: usize>(name: &str, parts: [Term; N]) -> Term {
    Term::tuple([Term::atom(name), Term::Int(1)].into_iter().chain(parts))
}

fn nil() -> Term {
    Term::List(Vec::new())
}
