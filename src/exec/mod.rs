//! Execution: hands the script to the node and watches.
