//! The external term format: bytes to terms and back.
