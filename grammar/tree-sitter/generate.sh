#!/bin/sh
# Evaluates grammar.js into src/grammar.json, from which everything else is made. Needs Node.js and a fetched crate.
set -eu
cd "$(dirname "$0")"
dsl=$(cargo metadata --format-version 1 | sed 's/.*"manifest_path":"\([^"]*tree-sitter-generate-[^"]*\)\/Cargo.toml".*/\1/')/src/dsl.js
TREE_SITTER_GRAMMAR_PATH=$PWD/grammar.js node "$dsl" >src/grammar.json.new
mv src/grammar.json.new src/grammar.json
