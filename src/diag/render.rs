//! Turning diagnostics into text, for people and for machines.
