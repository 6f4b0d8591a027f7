// The plan language for editors. The grammar that decides what a plan means is ../updo.pest; this one is a little
// more generous, so that a plan keeps its colours while it is being typed.
//
// Statement words are contextual: where a word of the language cannot stand, `word` makes it an atom.

const PREC = { catch: 1, match: 2, orelse: 3, andalso: 4, compare: 5, list: 6, add: 7, mul: 8, prefix: 9, call: 10 };

const list = ($, item) => seq(item, repeat(seq(',', item)), optional(','));
const tail = $ => [optional($.when), optional($.because)];
const row = item => seq(item, repeat(seq(',', item)));

module.exports = grammar({
  name: 'updo',
  extras: $ => [/\s/, $.comment],
  word: $ => $._word,
  conflicts: $ => [[$.function_clause, $.call], [$.subject, $._primary], [$.relation, $.atom]],

  rules: {
    source_file: $ => repeat(seq($._statement, '.')),
    comment: _ => token(seq('%', /[^\n]*/)),

    _statement: $ => choice($.plan, $.updo, $.include, $.param, $.target, $.code, $.module, $.exclude, $.only, $.cycle,
      $.window, $.engine, $.old, $.insert, $.hook, $.check, $.deadline, $.soak, $.budget, $.rollback, $.rollout, $.rehearse, $.function,
      $.bind, $.relation),

    plan: $ => seq('plan', $._strings, optional($.options)),
    updo: $ => seq('updo', $._strings),
    include: $ => seq('include', $._strings, ...tail($)),
    param: $ => seq('param', $.variable, optional(seq('::', choice($.atom, seq('[', $.atom, ']')))),
      optional(seq('=', $._expr)), optional($.because)),
    target: $ => seq('target', $.atom, $.options),
    code: $ => seq('code', choice('on_disk', seq('push', $._globs)), optional($.options), ...tail($)),
    module: $ => seq('module', $.subject, $.options, ...tail($)),
    exclude: $ => seq('exclude', $.subject, ...tail($)),
    only: $ => seq('only', $.subject, ...tail($)),
    cycle: $ => seq('cycle', $.list, ':', choice('together', seq('break', row($.edge))), ...tail($)),
    edge: $ => seq($.atom, '->', $.atom),
    window: $ => seq('window', $.atom),
    engine: $ => seq('engine', choice('updo', $.atom)),
    old: $ => seq('old', 'from', $._globs, ...tail($)),
    insert: $ => seq('insert', choice($.tuple, $.variable, $.atom), $.place, ...tail($)),
    place: $ => choice(seq('at', choice('start', 'end')), seq(choice('before', 'after'), $.step)),
    step: $ => choice(prec(1, seq(choice('suspend', 'load', 'code_change', 'resume'), $.subject)), $.subject),
    hook: $ => seq(choice(seq(choice('before', 'after'), choice('upgrade', 'rollout', $.step)), seq('on', choice('failure', 'rollback'))),
      optional($.options), ...tail($), '->', $._body),
    check: $ => seq(choice('require', 'verify'), $._strings, optional($.options), ...tail($), '->', $._body),
    deadline: $ => seq('deadline', $._expr),
    soak: $ => seq('soak', $._expr),
    budget: $ => seq('budget', $._expr),
    rollback: $ => seq('rollback', $.atom, optional($.options), optional($.because)),
    rollout: $ => seq('rollout', optional($.atom), $.options, optional($.because)),
    rehearse: $ => seq('rehearse', choice($.options, $.atom), optional($.because)),
    function: $ => seq($.function_clause, repeat(seq(';', $.function_clause))),
    function_clause: $ => seq(field('name', $.atom), $.arguments, optional($.when), '->', $._body),
    bind: $ => seq($.variable, '=', $._expr),
    relation: $ => seq($.subject, $.verb, $.subject, ...tail($)),
    verb: _ => choice(seq('depends', 'on'), seq('does', 'not', 'depend', 'on'), seq('loads', choice('before', 'after'))),

    _globs: $ => choice(seq('[', list($, $._strings), ']'), row($._strings)),
    when: $ => seq('when', row($._expr)),
    because: $ => seq('because', $._strings),
    options: $ => seq('#{', optional(list($, $.option)), '}'),
    option: $ => seq(field('key', $.atom), '=>', $._expr),

    subject: $ => prec.right(seq($._subject_item, repeat(seq(choice('++', '--'), $._subject_item)))),
    _subject_item: $ => choice($.subject_call, $.list, $.variable, $.atom, seq('(', $.subject, ')')),
    subject_call: $ => seq($.atom, optional(seq(':', $.atom)), $.arguments),

    _body: $ => row($._expr),
    _expr: $ => choice($.catch, $.match, $.binary_op, $.unary_op, $._postfix),
    catch: $ => prec.right(PREC.catch, seq('catch', $._expr)),
    match: $ => prec.right(PREC.match, seq($._expr, '=', $._expr)),
    unary_op: $ => prec(PREC.prefix, seq(choice('-', '+', 'not', 'bnot'), $._expr)),
    binary_op: $ => choice(
      prec.right(PREC.orelse, seq($._expr, 'orelse', $._expr)),
      prec.right(PREC.andalso, seq($._expr, 'andalso', $._expr)),
      prec.left(PREC.compare, seq($._expr, choice('==', '/=', '=<', '<', '>=', '>', '=:=', '=/='), $._expr)),
      prec.right(PREC.list, seq($._expr, choice('++', '--'), $._expr)),
      prec.left(PREC.add, seq($._expr, choice('+', '-', 'bor', 'bxor', 'bsl', 'bsr', 'or', 'xor'), $._expr)),
      prec.left(PREC.mul, seq($._expr, choice('*', '/', 'div', 'rem', 'band', 'and'), $._expr))),
    _postfix: $ => choice($._primary, $.call, $.remote_call, $.update),
    call: $ => prec(PREC.call, seq(field('function', $.atom), $.arguments)),
    remote_call: $ => prec(PREC.call, seq(field('module', choice($.atom, $.variable, $.parens)), ':',
      field('function', choice($.atom, $.variable, $.parens)), $.arguments)),
    update: $ => prec(PREC.call, seq($._postfix, '#{', optional(list($, $.pair)), '}')),
    arguments: $ => seq('(', optional(row($._expr)), ')'),
    parens: $ => seq('(', $._expr, ')'),

    _primary: $ => choice($.fun_ref, $.case, $.if, $.begin, $.list, $.tuple, $.map, $.binary, $.sigil, $.duration,
      $.float, $.integer, $.char, $._strings, $.variable, $.atom, $.parens),
    fun_ref: $ => seq('fun', $.atom, ':', $.atom, '/', $.integer),
    begin: $ => seq('begin', $._body, 'end'),
    case: $ => seq('case', $._expr, 'of', $.clause, repeat(seq(';', $.clause)), 'end'),
    clause: $ => seq($._expr, optional(seq('when', $._guard)), '->', $._body),
    if: $ => seq('if', $.if_clause, repeat(seq(';', $.if_clause)), 'end'),
    if_clause: $ => seq($._guard, '->', $._body),
    _guard: $ => seq(row($._expr), repeat(seq(';', row($._expr)))),
    list: $ => seq('[', optional(seq($._expr, choice($._qualifiers,
      seq(repeat(seq(',', $._expr)), optional(choice(seq('|', $._expr), ',')))))), ']'),
    tuple: $ => seq('{', optional(list($, $._expr)), '}'),
    map: $ => seq('#{', optional(seq($.pair, choice($._qualifiers, seq(repeat(seq(',', $.pair)), optional(',')))))
      , '}'),
    pair: $ => seq($._expr, choice('=>', ':='), $._expr),
    binary: $ => seq('<<', optional(seq($.segment, choice($._qualifiers, repeat(seq(',', $.segment))))), '>>'),
    segment: $ => seq(optional('-'), $._primary, optional(seq(':', choice($.integer, $.variable, $.parens))),
      optional(seq('/', $.spec, repeat(seq('-', $.spec))))),
    spec: $ => seq($.atom, optional(seq(':', $.integer))),
    _qualifiers: $ => seq('||', row($.qualifier)),
    qualifier: $ => choice($._expr, seq($._expr, choice('<-', '<='), $._expr),
      seq($._expr, ':=', $._expr, '<-', $._expr)),

    duration: _ => token(prec(2, /[0-9][0-9_]*(ms|s|m|h)/)),
    float: _ => token(prec(2, /[0-9][0-9_]*\.[0-9][0-9_]*([eE][+-]?[0-9]+)?/)),
    integer: _ => token(prec(1, choice(/[0-9][0-9_]*/, /[0-9]{1,2}#[0-9a-zA-Z_]+/))),
    char: _ => token(seq('$', choice(/\\x\{[0-9a-fA-F]+\}/, /\\\^./, /\\./, /[^\\\s]/))),
    _strings: $ => prec.right(repeat1($.string)),
    string: _ => token(choice(
      prec(1, seq('"""', /[ \t\r]*\n([^"]|"[^"]|""[^"])*"""/)),
      seq('"', repeat(choice(/[^"\\]/, /\\(.|\n)/)), '"'))),
    sigil: _ => token(choice(/~[bBsS]?"([^"\\]|\\.)*"/, /~[bBsS]?\([^)]*\)/, /~[bBsS]?\[[^\]]*\]/, /~[bBsS]?\{[^}]*\}/,
      /~[bBsS]?<[^>]*>/)),
    variable: _ => token(/[\p{Lu}_][\p{L}0-9_@]*/u),
    _word: _ => token(/\p{Ll}[\p{L}0-9_@]*/u),
    quoted_atom: _ => token(/'([^'\\]|\\.)*'/),
    alias: _ => token(prec(1, /[A-Z][A-Za-z0-9_]*(\.[A-Z][A-Za-z0-9_]*)+/)),
    atom: $ => choice($._word, $.quoted_atom, $.alias),
  },
});
