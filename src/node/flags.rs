//! Distribution flags: what we offer, and what a node must have.
//!
//! The numbers are those of "Erlang Distribution Protocol, Distribution Flags" and kernel's
//! `dist.hrl`. Never offered: `PUBLISHED` (we are hidden), `FRAGMENTS` and `DIST_HDR_ATOM_CACHE` (every
//! frame is then one whole pass-through message), `NAME_ME`.

/// The node is visible: a hidden one does not set it.
pub(crate) const PUBLISHED: u64 = 0x1;
const EXTENDED_REFERENCES: u64 = 0x4;
const DIST_MONITOR: u64 = 0x8;
const FUN_TAGS: u64 = 0x10;
const DIST_MONITOR_NAME: u64 = 0x20;
const NEW_FUN_TAGS: u64 = 0x80;
const EXTENDED_PIDS_PORTS: u64 = 0x100;
const EXPORT_PTR_TAG: u64 = 0x200;
const BIT_BINARIES: u64 = 0x400;
const NEW_FLOATS: u64 = 0x800;
const UNICODE_IO: u64 = 0x1000;
const SMALL_ATOM_TAGS: u64 = 0x4000;
const UTF8_ATOMS: u64 = 0x1_0000;
const MAP_TAG: u64 = 0x2_0000;
const BIG_CREATION: u64 = 0x4_0000;
const SEND_SENDER: u64 = 0x8_0000;
const BIG_SEQTRACE_LABELS: u64 = 0x10_0000;
const EXIT_PAYLOAD: u64 = 0x40_0000;
const HANDSHAKE_23: u64 = 0x100_0000;
const UNLINK_ID: u64 = 0x200_0000;
const MANDATORY_25_DIGEST: u64 = 0x400_0000;
const SPAWN: u64 = 1 << 32;
const V4_NC: u64 = 1 << 34;
const ALIAS: u64 = 1 << 35;

/// What we offer.
pub(crate) const OFFERED: u64 = EXTENDED_REFERENCES
    | DIST_MONITOR
    | FUN_TAGS
    | DIST_MONITOR_NAME
    | NEW_FUN_TAGS
    | EXTENDED_PIDS_PORTS
    | EXPORT_PTR_TAG
    | BIT_BINARIES
    | NEW_FLOATS
    | UNICODE_IO
    | SMALL_ATOM_TAGS
    | UTF8_ATOMS
    | MAP_TAG
    | BIG_CREATION
    | SEND_SENDER
    | BIG_SEQTRACE_LABELS
    | EXIT_PAYLOAD
    | HANDSHAKE_23
    | UNLINK_ID
    | MANDATORY_25_DIGEST
    | SPAWN
    | V4_NC
    | ALIAS;

/// What a node must offer: OTP 23 and newer do.
const NEEDED: [(u64, &str); 4] = [
    (HANDSHAKE_23, "HANDSHAKE_23"),
    (SPAWN, "SPAWN"),
    (EXIT_PAYLOAD, "EXIT_PAYLOAD"),
    (BIG_CREATION, "BIG_CREATION"),
];

/// The names of needed flags that a node does not have.
pub(crate) fn missing(theirs: u64) -> Vec<&'static str> {
    // OTP 25 made most of the old flags part of this one; a later node may leave the old bits out.
    let theirs = if theirs & MANDATORY_25_DIGEST == 0 {
        theirs
    } else {
        theirs | HANDSHAKE_23 | BIG_CREATION
    };
    NEEDED
        .iter()
        .filter(|(flag, _)| theirs & flag == 0)
        .map(|(_, name)| *name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_and_whole_frames() {
        for never in [0x1, 0x2000, 0x80_0000, 1 << 33] {
            assert_eq!(OFFERED & never, 0);
        }
        assert_eq!(missing(OFFERED), Vec::<&str>::new());
        assert_eq!(missing(OFFERED & !SPAWN), ["SPAWN"]);
        assert!(missing(MANDATORY_25_DIGEST | SPAWN | EXIT_PAYLOAD).is_empty());
    }
}
