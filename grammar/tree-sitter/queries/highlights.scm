; Words of statements, then Erlang's, then literals. Later patterns win.
(comment) @comment
(variable) @variable
(atom) @constant
(alias) @type
(quoted_atom) @string.special.symbol
[(string) (sigil)] @string
(char) @character
[(integer) (float) (duration)] @number
(call function: (atom) @function)
(subject_call . (atom) @function)
(remote_call module: (atom) @module)
(remote_call function: (atom) @function)
(function_clause name: (atom) @function)
(option key: (atom) @property)
["plan" "updo" "include" "param" "target" "code" "module" "exclude" "only" "cycle" "window" "engine" "old" "insert"
 "before" "after" "on" "require" "verify" "hold" "gate" "deadline" "soak" "budget" "rollback" "rollout" "rehearse"] @keyword
["depends" "depend" "does" "loads" "on_disk" "push" "from" "git" "together" "break" "then" "cmd" "failure" "upgrade" "at" "start"
 "suspend" "load" "code_change" "resume"] @keyword
["because" "when"] @keyword
["case" "of" "end" "if" "begin" "fun" "catch"] @keyword
["andalso" "orelse" "and" "or" "xor" "not" "band" "bor" "bxor" "bnot" "bsl" "bsr" "div" "rem"] @keyword.operator
["=" "==" "/=" "=<" "<" ">=" ">" "=:=" "=/=" "+" "-" "*" "/" "++" "--" "->" "<-" "<=" "=>" ":=" "||" "|" "::"] @operator
["(" ")" "[" "]" "{" "}" "#{" "<<" ">>"] @punctuation.bracket
["," ";" "." ":"] @punctuation.delimiter
