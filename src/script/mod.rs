//! Scripts: the high-level (appup) and low-level (relup) instructions of an upgrade.
