//! The connection to a live node: epmd, handshake, frames, calls. The only stage that opens a socket.
