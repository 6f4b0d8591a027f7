//! Encoding and decoding are each other's opposite, for every step; and what the agent gets is what PROTOCOL.md says.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::exec::step::{
    ChildAction, ChildStep, KnownChildren, ListEntry, ListedChildren, RenewedChildren,
};
use crate::exec::trial::BackBy;
use crate::exec::trial::{Limits, Seek, StateKind, Trial, TrialCheck};
use crate::rules::Purge;
use crate::script::instruction::Nodes;
use crate::term::etf;

fn atom() -> impl Strategy<Value = Atom> {
    "[a-z][a-z_]{0,6}|Elixir\\.[A-Z][a-z]{0,4}|[ -~é]{1,6}".prop_map(Atom::new)
}

fn module() -> impl Strategy<Value = Module> {
    atom().prop_map(|atom| Module::new(atom.as_str()))
}

fn app() -> impl Strategy<Value = App> {
    atom().prop_map(|atom| App::new(atom.as_str()))
}

fn modules() -> impl Strategy<Value = Vec<Module>> {
    vec(module(), 0..4)
}

/// Values of plans and identifiers of children: any term.
fn term() -> impl Strategy<Value = Term> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Term::Int),
        any::<i128>().prop_map(|n| Term::integer(n.into())),
        atom().prop_map(Term::Atom),
        vec(any::<u8>(), 0..6).prop_map(Term::binary),
        "\\PC{0,6}".prop_map(|text| Term::string(&text)),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Term::Tuple),
            vec(inner.clone(), 0..4).prop_map(Term::List),
            (vec(inner.clone(), 1..3), atom())
                .prop_map(|(list, tail)| Term::cons(list, Term::Atom(tail))),
            vec((inner.clone(), inner), 0..3).prop_map(Term::map),
        ]
    })
}

fn terms() -> impl Strategy<Value = Vec<Term>> {
    vec(term(), 0..3)
}

/// Whole milliseconds: the agent counts no others.
fn time() -> impl Strategy<Value = Duration> {
    (0..=i64::MAX.unsigned_abs()).prop_map(Duration::from_millis)
}

fn timeout() -> impl Strategy<Value = Timeout> {
    prop_oneof![
        Just(Timeout::Default),
        Just(Timeout::Infinity),
        time().prop_map(Timeout::After),
        any::<u64>()
            .prop_map(|more| Timeout::Beyond((u128::from(u64::MAX) + 1 + u128::from(more)).into())),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(Change::Soft),
        term().prop_map(Change::Advanced),
        (module(), atom()).prop_map(|(module, function)| Change::Convert { module, function }),
    ]
}

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Up), Just(Direction::Down)]
}

fn state_form() -> impl Strategy<Value = StateForm> {
    prop_oneof![
        Just(StateForm::Server),
        Just(StateForm::StateMachine),
        Just(StateForm::Handler),
        Just(StateForm::Special)
    ]
}

fn call(args: impl Strategy<Value = Term>) -> impl Strategy<Value = Call> {
    (atom(), atom(), args).prop_map(|(module, function, args)| Call {
        module,
        function,
        args,
    })
}

/// Instructions of a relup.
fn instruction() -> impl Strategy<Value = Instruction> {
    let purge = || prop_oneof![Just(Purge::Soft), Just(Purge::Brutal)];
    let args = || terms().prop_map(Term::List);
    let limit = (1..=u64::MAX).prop_map(|ms| Timeout::After(Duration::from_millis(ms)));
    let limit = option::of(prop_oneof![
        limit,
        Just(Timeout::Infinity),
        Just(Timeout::Default)
    ]);
    let conversion = (module(), term().prop_map(Change::Advanced));
    prop_oneof![
        (app(), terms(), modules()).prop_map(|(lib, vsn, modules)| {
            let vsn = Term::List(vsn);
            Instruction::LoadObjectCode { lib, vsn, modules }
        }),
        Just(Instruction::PointOfNoReturn),
        (module(), purge(), purge()).prop_map(|(module, pre, post)| Instruction::Load {
            module,
            pre,
            post
        }),
        (module(), purge(), purge()).prop_map(|(module, pre, post)| Instruction::Remove {
            module,
            pre,
            post
        }),
        modules().prop_map(Instruction::Purge),
        vec((module(), limit), 0..4).prop_map(Instruction::Suspend),
        modules().prop_map(Instruction::Resume),
        (option::of(direction()), vec(conversion, 0..3))
            .prop_map(|(direction, modules)| { Instruction::CodeChange { direction, modules } }),
        modules().prop_map(Instruction::Stop),
        modules().prop_map(Instruction::Start),
        (term(), vec(atom(), 0..3)).prop_map(|(id, nodes)| {
            let nodes = Nodes::List(nodes);
            Instruction::SyncNodes { id, nodes }
        }),
        call(args()).prop_map(Instruction::Apply),
        Just(Instruction::RestartEmulator),
    ]
}

fn key() -> impl Strategy<Value = (App, EnvChange)> {
    let values = option::of((option::of(term()), term()));
    (app(), atom(), values).prop_map(|(app, key, values)| {
        // What is taken away is taken away whatever it was.
        let (was, new) = values.map_or((None, None), |(was, new)| (was, Some(new)));
        (app, EnvChange { key, was, new })
    })
}

fn path() -> impl Strategy<Value = PathMove> {
    (app(), "\\PC{0,8}", "\\PC{0,8}").prop_map(|(name, was, folder)| PathMove {
        name: name.as_str().to_owned(),
        was,
        folder,
    })
}

fn config() -> impl Strategy<Value = ConfigChange> {
    let pairs = || vec((atom(), term()), 0..3);
    (module(), pairs(), pairs(), vec(atom(), 0..3)).prop_map(
        |(callback, changed, added, removed)| ConfigChange {
            callback,
            changed,
            added,
            removed,
        },
    )
}

fn child_action() -> impl Strategy<Value = ChildAction> {
    let known = || {
        (terms(), terms(), terms()).prop_map(|(start, stop, restart)| KnownChildren {
            start,
            stop,
            restart,
        })
    };
    let listed =
        || {
            let entry =
                || {
                    (any::<bool>(), term(), option::of(term()))
                        .prop_map(|(like, id, item)| ListEntry { like, id, item })
                };
            let entries = || vec(entry(), 0..3);
            (terms(), entries(), entries(), entries(), any::<bool>()).prop_map(
                |(names, start, stop, order, strict)| ListedChildren {
                    names,
                    start,
                    stop,
                    order,
                    strict,
                },
            )
        };
    let ids = || option::of(terms());
    let renewed =
        (any::<bool>(), ids(), ids(), any::<bool>()).prop_map(|(start, stop, restart, tell)| {
            RenewedChildren {
                start,
                stop,
                restart,
                tell,
            }
        });
    prop_oneof![
        term().prop_map(ChildAction::Start),
        term().prop_map(ChildAction::Stop),
        term().prop_map(ChildAction::Halt),
        term().prop_map(ChildAction::Forget),
        term().prop_map(ChildAction::Added),
        renewed.prop_map(ChildAction::Renewed),
        known().prop_map(ChildAction::Revoked),
        known().prop_map(ChildAction::Reinstated),
        listed().prop_map(ChildAction::Listed),
        listed().prop_map(ChildAction::Unlisted),
        listed().prop_map(ChildAction::Relisted),
    ]
}

fn rehearsed() -> impl Strategy<Value = Action> {
    let kind = prop_oneof![
        Just(StateKind::Server),
        Just(StateKind::StateMachine),
        Just(StateKind::Handler),
        Just(StateKind::Supervisor),
        Just(StateKind::Special)
    ];
    let name = || "[a-z]{1,4}".prop_map(Atom::new);
    let seek = (
        vec((name(), any::<u32>()), 0..3),
        vec((name(), vec(name(), 0..3)), 0..3),
    )
        .prop_map(|(records, structs)| Seek { records, structs });
    let bindings = || vec(("[A-Z][a-z]{0,3}", term()), 0..3);
    let check = (0..9usize, "\\PC{0,6}", bindings(), any::<bool>()).prop_map(
        |(number, text, bindings, named)| TrialCheck {
            number,
            text,
            bindings,
            named,
        },
    );
    let checks = vec(check, 0..3);
    let by = proptest::option::of((module(), name()));
    let back = prop_oneof![Just(None), Just(Some(BackBy::New)), Just(Some(BackBy::Old))];
    let trial = (
        module(),
        kind,
        term(),
        any::<bool>(),
        by,
        back,
        any::<bool>(),
        seek,
        checks,
    )
        .prop_map(
            |(module, kind, extra, keep, by, back, old_init, seek, checks)| Trial {
                module,
                kind,
                extra,
                keep,
                by,
                back,
                old_init,
                seek,
                checks,
            },
        );
    let number = || 0..1_000_000usize;
    let counts = (number(), number(), number(), 1..=u32::MAX);
    (trial, counts, time(), time(), time()).prop_map(
        |(trial, (at_most, words, most, rate), within, conversion, wait)| {
            let limits = Limits {
                at_most,
                rate,
                within,
                conversion,
                words,
                wait,
                most,
            };
            Action::Rehearse(trial, limits)
        },
    )
}

fn action() -> impl Strategy<Value = Action> {
    let ranks = vec(vec((module(), timeout()), 0..3), 0..3);
    let library = (app(), "\\PC{0,6}", "\\PC{0,6}").prop_map(|(app, vsn, folder)| Library {
        app,
        vsn,
        folder,
    });
    let child = (module(), child_action())
        .prop_map(|(supervisor, action)| ChildStep { supervisor, action });
    let hook =
        (time(), 0..1000usize, "\\PC{0,12}").prop_map(|(timeout, number, name)| Action::Hook {
            timeout,
            number,
            name,
        });
    let name = prop_oneof![
        Just(BarrierName::Prepared),
        (0..9usize).prop_map(BarrierName::Suspended),
        Just(BarrierName::Switched),
        term().prop_map(BarrierName::Sync),
    ];
    let kind = prop_oneof![
        Just(BarrierKind::Gather),
        Just(BarrierKind::Decide),
        Just(BarrierKind::Onward),
    ];
    let barrier = (name, time(), kind)
        .prop_map(|(name, hold, kind)| Action::Barrier(Barrier { name, hold, kind }));
    prop_oneof![
        barrier,
        ranks.prop_map(Action::Suspend),
        modules().prop_map(Action::Load),
        modules().prop_map(Action::Delete),
        (direction(), vec((module(), change()), 0..4))
            .prop_map(|(direction, modules)| Action::CodeChange { direction, modules }),
        vec((module(), state_form(), term()), 0..4).prop_map(Action::Precompute),
        modules().prop_map(Action::Resume),
        modules().prop_map(Action::Ahead),
        call(term()).prop_map(Action::Apply),
        vec(child, 0..4).prop_map(Action::Children),
        vec(key(), 0..4).prop_map(Action::Env),
        vec(path(), 0..3).prop_map(Action::Paths),
        vec(config(), 0..3).prop_map(Action::ConfigChange),
        time().prop_map(Action::Soak),
        hook,
        (vec(instruction(), 0..5), vec(library, 0..3))
            .prop_map(|(script, libraries)| Action::ReleaseHandler { script, libraries }),
        modules().prop_map(Action::TwinsLoad),
        modules().prop_map(Action::TwinsDrop),
        rehearsed(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_encoded_is_decoded_as_it_was(action in action()) {
        let term = encode(&action);
        prop_assert_eq!(decode(&term), Some(action.clone()), "{}", term);
        // As records are kept.
        let kept = etf::decode(&etf::encode(&term)).expect("our own format");
        prop_assert_eq!(decode(&kept), Some(action), "{}", kept);
    }

    #[test]
    fn lists_of_steps_are_read_as_they_were(actions in vec(action(), 0..5)) {
        let steps = actions.into_iter().enumerate();
        let steps: Vec<Step> = steps.map(|(at, action)| Step::new(at + 1, action)).collect();
        prop_assert_eq!(read_steps(&steps_term(&steps)), Some(steps));
    }
}

/// The forms of PROTOCOL.md, word for word.
#[test]
fn steps_are_the_terms_of_the_protocol() {
    let m = || Module::new("m");
    let ms = Duration::from_millis;
    let child = |action| ChildStep {
        supervisor: m(),
        action,
    };
    let known = KnownChildren {
        start: vec![Term::atom("a")],
        stop: Vec::new(),
        restart: Vec::new(),
    };
    let convert = Change::Convert {
        module: Module::new("n"),
        function: Atom::new("f"),
    };
    let env = |was: Option<i64>, new: Option<i64>| {
        let (was, new) = (was.map(Term::Int), new.map(Term::Int));
        let key = Atom::new("k");
        (App::new("a"), EnvChange { key, was, new })
    };
    let cases = [
        (
            Action::Suspend(vec![
                vec![(m(), Timeout::Default)],
                vec![(m(), Timeout::After(ms(7))), (m(), Timeout::Infinity)],
            ]),
            "{suspend,[[{m,default}],[{m,7},{m,infinity}]]}",
        ),
        (Action::Load(vec![m()]), "{load,[m]}"),
        (Action::Delete(vec![m()]), "{delete,[m]}"),
        (
            Action::Precompute(vec![
                (m(), StateForm::Server, Term::Int(1)),
                (m(), StateForm::StateMachine, Term::list([])),
                (m(), StateForm::Handler, Term::list([])),
                (m(), StateForm::Special, Term::list([])),
            ]),
            "{precompute,[{m,server,1},{m,statem,[]},{m,event,[]},{m,special,[]}]}",
        ),
        (
            Action::CodeChange {
                direction: Direction::Down,
                modules: vec![
                    (m(), Change::Soft),
                    (m(), Change::Advanced(Term::Int(1))),
                    (m(), convert),
                ],
            },
            "{code_change,down,[{m,soft},{m,{advanced,1}},{m,{convert,{n,f}}}]}",
        ),
        (Action::Resume(vec![m()]), "{resume,[m]}"),
        (Action::Ahead(vec![m()]), "{ahead,[m]}"),
        (
            Action::Apply(Call::application("stop", [Term::atom("a")])),
            "{apply,{application,stop,[a]}}",
        ),
        (
            Action::Children(vec![
                child(ChildAction::Halt(Term::Int(1))),
                child(ChildAction::Revoked(known)),
                child(ChildAction::Renewed(RenewedChildren {
                    start: true,
                    stop: None,
                    restart: Some(Vec::new()),
                    tell: false,
                })),
            ]),
            "{children,[{halt,m,1},{revoked,m,#{restart => [],start => [a],stop => []}},\
             {renewed,m,#{restart => [],start => all,stop => none,tell => false}}]}",
        ),
        (
            Action::Env(vec![
                env(None, Some(1)),
                env(Some(1), None),
                env(Some(1), Some(2)),
            ]),
            "{env,[{a,k,1},{a,k},{a,k,1,2}]}",
        ),
        (Action::Soak(ms(5)), "{soak,5}"),
        (
            Action::Hook {
                timeout: ms(60),
                number: 3,
                name: "at end".to_owned(),
            },
            "{hook,60,{3,<<\"at end\">>}}",
        ),
        (
            Action::Barrier(Barrier {
                name: BarrierName::Suspended(1),
                hold: ms(2000),
                kind: BarrierKind::Gather,
            }),
            "{barrier,{suspended,1},2000,gather}",
        ),
    ];
    for (action, expected) in cases {
        assert_eq!(encode(&action).to_string(), expected);
    }
}
