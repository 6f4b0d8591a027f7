//! Rules: what was inferred, what the plan says, and both merged.
