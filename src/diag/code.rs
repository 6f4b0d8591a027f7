//! The closed list of diagnostic codes. Codes are stable: they are never reused for another meaning.

use std::fmt;

/// How serious a diagnostic is; a later one is more serious.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing, right as it is. The command line shows it with `-v` only.
    Advice,
    /// May be a mistake. Nothing is stopped by it.
    Warning,
    /// Keeps a plan from being used, an upgrade from being run, or says that a run has failed.
    Error,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A diagnostic code, from a closed list. `E` is an error, `W` a warning, `A` advice; the first digit says what of:
        /// 1 syntax, 2 values and plans, 3 facts and classes, 4 scripts, 5 connections, 6 runs, 7 expressions, 8 the command line and
        /// files of updo's own, 9 bugs. A code keeps its meaning for ever; there may be more of them in a later version.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[doc = $doc])+ $name,)+ }

        impl Code {
            /// Every code of this version, in the order of the list.
            pub const ALL: &[Code] = &[$(Code::$name,)+];

            /// The code as it is printed.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => stringify!($name),)+ }
            }

            /// The page about the code (docs/codes), as Markdown: what it means, an example, what to do.
            pub fn page(self) -> &'static str {
                match self {
                    $(Code::$name => include_str!(concat!(
                        env!("CARGO_MANIFEST_DIR"), "/docs/codes/", stringify!($name), ".md"
                    )),)+
                }
            }
        }
    };
}

codes! {
    /// The text does not fit the grammar here. The label says what was expected; a word close to an expected one is suggested.
    E101,
    /// A statement starts with a word that is no statement. Quote it if it is a module name: `'exclude' depends on a.`
    E102,
    /// A statement does not end in a dot. Every statement of a plan does, as every form of an Erlang file.
    E103,
    /// A string, quoted atom, binary or bracket is opened and never closed.
    E104,
    /// Brackets are nested more than 256 levels deep.
    E105,
    /// A literal is malformed: a digit outside its base, a bad escape, a bad character.
    E106,
    /// Erlang that is not allowed in plans: `receive`, `!`, `fun … end`, records, macros, `try`, chained comparisons.
    E107,
    /// Elixir syntax where Erlang's is meant: `:atom`, `%{}`, `Mod.fun(x)`, `# comment`, `&f/1`.
    E108,
    /// A plan file cannot be read, or files include each other in a cycle.
    E109,
    /// A statement or option that is kept for a later version of updo.
    E110,
    /// A map gives one key twice. The last value counts.
    W111,
    /// The plan needs another version of updo (`updo ">= …"`).
    E201,
    /// No module of this name: neither loaded on the node nor among the beams.
    E202,
    /// No application of this name on the node.
    E203,
    /// The statement has no such option.
    E204,
    /// The value of an option has the wrong type.
    E205,
    /// A variable has no value here.
    E206,
    /// A parameter has no value: pass `--set Name=value` or set `UPDO_SET_NAME`.
    E207,
    /// `--set` names no parameter of the plan, or its value does not have the parameter's type.
    E208,
    /// Something that is allowed once in a plan appears twice.
    E209,
    /// A call to the node where none is allowed: in a subject, a guard or an option. Checks and hooks can call it.
    E210,
    /// The plan has no target, or a flag names one that the plan does not have.
    E211,
    /// A cookie or key is written in the plan. Use `file("…")` or `env("…")`.
    W212,
    /// No beam matches a `code push` or `old from` pattern.
    E213,
    /// A beam file cannot be used: truncated, not a beam, another module inside, refused by the node.
    E214,
    /// An application file (`.app`) cannot be used: not readable, no `{application, Name, [...]}`, or a key with a value of the wrong kind.
    E215,
    /// The plan connects over TLS and checks no certificate (`verify => verify_none`).
    W216,
    /// The seed of a target is not connected to a node that matches.
    E217,
    /// The plan both adds and removes one dependency.
    E301,
    /// Two statements of equal precedence give one module different values.
    E302,
    /// Orders that must be obeyed contradict each other.
    E303,
    /// `cycle … break a -> b` names an edge that is not in the cycle.
    E304,
    /// The modules of a `cycle` statement form no cycle (any more).
    W305,
    /// A `cycle` statement does not name exactly the modules of the cycle.
    E306,
    /// Modules call each other in a cycle that no `cycle` statement names. In a single window this is harmless.
    W307,
    /// The plan adds a dependency that updo infers anyway.
    A308,
    /// The plan removes a dependency that nothing infers.
    W309,
    /// A rule matches no module that takes part in this upgrade.
    W310,
    /// An override gives no reason (`because "…"`).
    A311,
    /// A module is to be converted and its new version exports no `code_change`.
    E312,
    /// A module is left out that a module taking part needs in its new version.
    E313,
    /// A conversion has no clause for `{down, _}`.
    W314,
    /// Calls through a variable: updo cannot know where they go.
    W315,
    /// Processes run a changed module and no supervisor's child specification mentions them.
    W316,
    /// Something may fail after the switch, no copy of the running version is available to undo it, and nothing says that
    /// the run is to go on; or a recorded run has no way back.
    E317,
    /// Something may fail after the switch, and no copy of the running version is available to undo it.
    W317,
    /// A module lost functions that an unchanged or left out module still calls.
    W318,
    /// The beam file of a loaded module no longer exists. The module stays loaded.
    W319,
    /// A changed module cannot be upgraded: sticky, preloaded, cover compiled, or not loaded from the compared file.
    W320,
    /// Several changed modules use one record, and its fields differ between the versions. Processes, messages in flight and tables may still hold the old form.
    W321,
    /// `status --save` could not keep every running beam: files were replaced already, or none belongs to the applications.
    W322,
    /// Modules on the disk of a node that never loads code by itself stay unloaded: nothing lists or calls them.
    W323,
    /// A new version calls functions that its running version does not call, and that the node does not have.
    W324,
    /// New modules were compiled for another configuration (Elixir's `compile_env`) than the node has.
    W325,
    /// The release that the new beams belong to has another configuration than what runs.
    W326,
    /// A beam was compiled for a newer OTP than the node runs: it would refuse to load it.
    E327,
    /// The release that the new beams belong to was made with a newer Elixir or run-time system than the node runs.
    W328,
    /// The cookie file of a mix release (`releases/COOKIE`) is open to others than its owner.
    W329,
    /// A changed module loads a NIF library. Reloading one can stop the node, so it has to be allowed: name the module's class in the plan.
    E330,
    /// A newer version of a running application is installed in a `NAME-VSN` folder next to it: `code on_disk #{newest => …}`.
    W331,
    /// The specification (`.app`) beside the new beams differs from that of the running application, or cannot be read. With `env => true` its `env` is.
    W332,
    /// The code path has several files of a changed module: the first one counts.
    W333,
    /// Running processes contradict the class of a changed module.
    W334,
    /// Child specifications name a changed module for processes that run another one.
    W335,
    /// A supervisor or event manager did not say in time which children or handlers it has: busy, or suspended.
    W336,
    /// An Elixir protocol runs consolidated and will not find a new implementation.
    W337,
    /// Modules that are not loaded, on a node that loads code when it is called: they come from the disk by themselves.
    A338,
    /// A changed module becomes the callback module of another behaviour, and processes run it. A process keeps its behaviour: restart it.
    E338,
    /// Only line numbers changed: the module is not loaded again, and stack traces go on showing the old lines.
    A339,
    /// Processes of a module that changes its behaviour are restarted by their supervisors, as the plan says. Their states are lost.
    W339,
    /// A changed module has an `-on_load` function, which runs at the switch.
    A340,
    /// The plan has processes restarted that no supervisor can restart by an identifier.
    E340,
    /// Child specifications name a changed module without processes of its own (an Elixir agent's, a starter's).
    A341,
    /// The plan has processes restarted of a module that keeps its behaviour: nothing is restarted.
    W341,
    /// A changed module is a callback of a behaviour that runs servers, and nothing says which of them run it.
    W342,
    /// The plan names some of the children that a supervisor's new version adds or no longer has, and not the others.
    W343,
    /// The plan wants beams on the node's disk, and they are not there although they run; or a crash has left files of
    /// an earlier writing.
    W344,
    /// A gen_statem changes its callback mode; an undo calls the old `code_change/4` once more to restore it.
    W345,
    /// A module that the plan removes is still run or called by others.
    W346,
    /// A module is removed from the node, and its file is not.
    W347,
    /// The result of a call on the node, or its arguments, exceed the limits of updo.
    E348,
    /// A supervisor's new `init/1` raises with the argument that the supervisor was started with.
    E353,
    /// Modules that must change together, or in the other order, are in different windows of the plan.
    E354,
    /// All nodes are to go back when one fails, and the plan says that failures are not undone.
    E355,
    /// A `hold` that does not say for how long, or could never hold for so long.
    E356,
    /// A `gate` whose command cannot be run.
    E357,
    /// A rollout switches all nodes at one instant, and has options for one after the other.
    E358,
    /// An instruction is malformed or unknown.
    E401,
    /// A script suspends something and never resumes it, or the other way round.
    E402,
    /// A step that a statement refers to does not exist in this upgrade.
    E403,
    /// A step that an included file refers to does not exist in this upgrade.
    W403,
    /// An instruction is before the point of no return and may not be.
    E404,
    /// Purging will kill processes that still run old code.
    W406,
    /// A release resource file (`.rel`, `.app`, `.appup`) cannot be found or read: it must hold one Erlang term that ends in a full stop.
    E411,
    /// The applications of a release do not fit together: wrong or missing keys, unknown or circular applications, two owners of a module or a registered name, no sasl.
    E412,
    /// An appup has no entry for the other version.
    E413,
    /// Instructions do not fit together or do not fit the applications: a module without instruction, with two, or in no application.
    E414,
    /// A version is given as a regular expression that is none, or that only PCRE could follow.
    E415,
    /// `engine release_handler` cannot run this upgrade here: no SASL on the node, the new code does not lie on its disk, or
    /// the plan wants what the release handler has no word for.
    E418,
    /// `engine release_handler` undoes nothing and resumes no process when something fails.
    W419,
    /// Children of a supervisor are stopped, because its new version does not have them any more.
    W420,
    /// Children of a supervisor go on with other arguments than its new version has for them.
    W421,
    /// An inferred appup cannot start or stop children of a supervisor that has no registered name.
    W422,
    /// Children keep running that the supervisor's new version does not specify; this was not known before the run.
    W423,
    /// The children that an application's module lists for its own supervisor differ, and its code does not show all of them.
    W424,
    /// A live window is not possible: something needs suspended processes.
    E425,
    /// A warning about a release (OTP gives some of these): another run-time system, an appup for another version,
    /// applications that are stopped before others that depend on them.
    W416,
    /// An inferred appup needs review: modules that need each other's new version, or that an `.app` file does not list.
    W417,
    /// No node of this name is registered with epmd, or epmd cannot be reached.
    E501,
    /// The node refused the cookie.
    E502,
    /// The TLS handshake failed: a certificate's name, authority or dates, or only one side uses TLS.
    E503,
    /// Short and long node names do not mix.
    E504,
    /// Another run holds the lock of the node.
    E505,
    /// The node does not follow the distribution protocol as expected, or refused the connection.
    E506,
    /// The cookie cannot be read: no file, readable by others, or empty. It comes from `--cookie-file`, `UPDO_COOKIE_FILE`,
    /// `UPDO_COOKIE`, the plan, `RELEASE_COOKIE` or `~/.erlang.cookie`, the first of these that is given.
    E507,
    /// The connection to the node was lost, or a call did not come back in time.
    E508,
    /// A certificate or key for TLS cannot be used: no file, a key readable by others, no PEM, or a key that belongs to
    /// another certificate.
    E509,
    /// A message in the name of the run cannot be decoded. The run continues on the node without the client.
    E510,
    /// The machine through which a node is to be reached cannot be reached itself, or does not forward.
    E511,
    /// The seed of a target, a name of the DNS or a file, gives no nodes.
    E512,
    /// A precondition (`require`) does not hold. Nothing was changed.
    E601,
    /// The node has changed since the preview.
    E602,
    /// Processes did not suspend in time. Everything was resumed.
    E603,
    /// A conversion (`code_change`) failed. The old code and states were restored.
    E604,
    /// The node refuses to load a module.
    E605,
    /// A `verify` did not hold in time.
    E606,
    /// The plan's deadline passed before all suspended processes were resumed. The run was undone.
    E607,
    /// The connection was lost during the run. The run continues on the node.
    E608,
    /// The undo or rollback failed: manual repair is needed.
    E609,
    /// A supervisor could not start or stop a child that the plan or the new version requires.
    E610,
    /// The run was interrupted before any module was switched. All suspended processes were resumed.
    E611,
    /// A process of the run died on the node. Another process of the run took over and restored a consistent state.
    E612,
    /// The new beams were not written to the node's disk, as `persist` wants.
    E614,
    /// OTP's release handler refused the script, or failed in the middle of it.
    E615,
    /// A rollout was ended early: some nodes are new, the others as before, each consistent.
    E620,
    /// The rollout was not verified: the connection was lost, or no client waited for it. All nodes are new.
    E621,
    /// All processes of the run on the node were killed at once. No process stays suspended, unless the watchdog was killed too.
    E622,
    /// A run has left suspended processes, saved states or the agent's module on the node. `updo mend` cleans up.
    E623,
    /// The processes of a run were killed after its result was known: old code was not purged.
    W623,
    /// Processes were started during the switch and not converted. Check them, or restart them.
    W613,
    /// The code is what it should be; for processes spawned at the switch the version that made their states is unknown.
    E617,
    /// A supervisor's `init/1` acts, and an upgrade runs it once more.
    W624,
    /// A rehearsal tried the conversion on copies of live states, and some of them would not be converted.
    E634,
    /// Processes would be suspended for longer than the plan's `budget`, by what a rehearsal has measured.
    E638,
    /// The window was called off before the switch: it took longer than the plan's `budget`.
    E639,
    /// After a restart the node would not have what `persist` writes: no boot file of it loads the new modules.
    E640,
    /// The revision of `old from git` builds other versions than those that run.
    W641,
    /// New modules on the disk of a node in embedded mode are not in its boot file.
    W642,
    /// What must hold after a stage of a rollout did not hold for as long as it had to.
    E645,
    /// The command of a gate did not let the next stage begin.
    E646,
    /// A node was lost while something had to hold on it.
    E647,
    /// All nodes of a rollout were to go back, and one stays as it is.
    E648,
    /// Which version nodes are to be brought to is not known: no run has gone through, or its record is not whole.
    E649,
    /// A beam of the version that nodes are to be brought to is not kept any more, or not as it was.
    E650,
    /// A node cannot switch at one instant with others.
    E657,
    /// All nodes switch at one instant, and one of them does not: the others have gone back with it.
    E658,
    /// A node that waits for the others of its group has heard nothing, and has gone back by itself.
    E659,
    /// The next event of processes fails: the callbacks of the new version cannot take the state that they have.
    E635,
    /// Callbacks of the new version may fail with a state, or with what is inside of it or in a table: a record, a struct or a map grew.
    W635,
    /// A check of the plan does not hold for states and what a rehearsal has converted them to.
    E636,
    /// A check of the plan on states was evaluated for none.
    W636,
    /// A conversion calls a process that is suspended in the same window: the call is not answered in time.
    W637,
    /// A conversion acts outside of its state, and has no clause for `{down, _}` that would undo that.
    W625,
    /// Converting the new states downwards, as a rollback does, does not give back the states that there were.
    W651,
    /// The upgrade does not start, stop or restart all children of a supervisor that its new `init/1` specifies otherwise.
    W652,
    /// Part of an upgrade does not go live: it is switched before, in a window of its own.
    W653,
    /// A node runs code that no recorded run explains.
    W654,
    /// A plan is not what it was when the version was made that nodes are brought to.
    W655,
    /// The environment of `.app` files is no part of the version that nodes are brought to.
    W656,
    /// The new version sends requests to other nodes that the old version there does not take.
    W660,
    /// The old version sends requests to other nodes that the new version there does not take any more.
    W661,
    /// Functions or funs are executed on other nodes, and nodes of the other version do not have them.
    W662,
    /// An undo has restored code and states, but not what a conversion changed outside of its state.
    E624,
    /// Processes that were suspended crashed after the resume; that counts as a failed `verify`.
    E618,
    /// Processes that take part are suspended already: they are converted and stay suspended.
    W626,
    /// Functions of a module that takes part are traced, or their calls are counted: loading the module ends that.
    W627,
    /// Something else has loaded other code during the run: what runs is neither the old version nor the new one.
    E619,
    /// Processes started during an undo or a rollback were ended: their states are of the version that was left.
    W618,
    /// An earlier run ended with exit code 21 on this node, and no run has succeeded since.
    W619,
    /// Funs of old code that has to be purged are kept as data: the purge would break them.
    E626,
    /// Processes execute the version before the running one, which has to go first.
    W629,
    /// Processes execute code that is replaced: as long as they do, the upgrade cannot be undone.
    W630,
    /// Funs of the version before the running one are kept as data; it has to go first.
    W631,
    /// Processes keep funs of the running version and go on calling it after the switch.
    W633,
    /// Old code was purged that processes executed, or of which funs are kept: `purge => brutal`.
    W632,
    /// A rollback is not possible: a folder of the code path, a beam or a supervisor is missing. Nothing was changed.
    E627,
    /// The new beams are the earlier version of what runs: a recorded run has replaced them, and `updo rollback` leads back.
    E628,
    /// The new beams are the earlier version of what runs, and nothing is converted for them.
    W622,
    /// The plan starts children of an application that the list in its `start/2` does not show.
    E629,
    /// The supervisor of an application whose list of children differs is not on the node: none was started or stopped.
    W628,
    /// The old code is back, and what hooks of the run did is not undone: the plan has no hook `on rollback`, or it cannot be read any more.
    W621,
    /// The run cannot be recorded: `rollback`, `attach`, `log` and `report` will not find it.
    W615,
    /// Processes died between suspending and resuming: their states were not converted but lost.
    W616,
    /// A value is longer as text than what is printed: it is cut.
    W620,
    /// A match failed: the value on the right does not have the form on the left. Both are shown side by side.
    E701,
    /// The node has no such function: look for a typing error in its name or its number of arguments.
    E702,
    /// A function raised an exception.
    E703,
    /// An operator or function got an argument that it cannot take.
    E704,
    /// An evaluation took too many steps or too long.
    E705,
    /// A check ends with a value that is neither `true` nor a match, or an expression of a check or a hook is `false`.
    E706,
    /// The result of a comparison is not used.
    W707,
    /// A value that cannot leave the node (a counter, a table without a name, a resource) was to be sent back to it.
    E707,
    /// Wrong usage of the command line.
    E801,
    /// A file of updo's own cannot be read or written.
    E802,
    /// The state folder is writable by other users, and its content determines which code a rollback loads.
    E803,
    /// The revision of `old from git` cannot be had: no repository, no such revision, no worktree.
    E805,
    /// The build of `old from git` has failed or taken too long.
    E806,
    /// A bug in updo. Report it with the text of the diagnostic and what you did.
    E900,
}

impl Code {
    /// Error, warning or advice, by the first letter.
    pub fn severity(self) -> Severity {
        match self.as_str().as_bytes()[0] {
            b'E' => Severity::Error,
            b'W' => Severity::Warning,
            _ => Severity::Advice,
        }
    }

    /// Whether it says that processes have ended which would have gone on without the run.
    #[doc(hidden)]
    pub fn ends_processes(self) -> bool {
        matches!(self, Code::W616 | Code::W618 | Code::W632)
    }

    /// The code with this name, in upper or lower case; `None` when there is none.
    pub fn parse(text: &str) -> Option<Code> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
