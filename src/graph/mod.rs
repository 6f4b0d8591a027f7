//! The dependency graph of the changed modules: edges with their evidence, cycles, order.
