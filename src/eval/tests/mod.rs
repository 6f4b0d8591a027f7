//! Tests of the evaluator on syntax trees built by hand.
