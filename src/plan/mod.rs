//! A plan: statements read, resolved and checked.
