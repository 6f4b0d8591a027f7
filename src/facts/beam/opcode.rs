//! The instructions of generic BEAM code: how many operands each has.
//!
//! Gives an arity for an opcode, and names for those that the flow analysis tells apart. The table is
//! append-only in OTP (`genop.tab`): opcodes of OTP 23, 25 and 27 are prefixes of OTP 29's. An opcode
//! that is not here belongs to a later compiler: the walk stops and says so, it never guesses.

/// Operands of opcode 1, 2, 3, ….
const ARITY: [u8; 191] = [
    1, 3, 0, 2, 3, 2, 2, 3, 2, 4, 5, 2, 3, 2, 3, 2, 1, 1, 0, 0, 0, 0, 2, 1, 1, 2, 4, 4, 4, 4, 4, 4,
    4, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 1, 2, 1, 2,
    3, 3, 3, 3, 3, 2, 1, 1, 0, 1, 1, 3, 2, 2, 2, 5, 5, 5, 4, 2, 1, 1, 2, 2, 5, 5, 5, 2, 1, 0, 1, 2,
    2, 4, 4, 4, 4, 3, 1, 2, 1, 1, 1, 2, 6, 3, 5, 1, 2, 2, 3, 5, 7, 7, 7, 5, 3, 2, 2, 5, 6, 2, 2, 2,
    2, 1, 3, 4, 0, 8, 6, 2, 6, 5, 4, 5, 4, 5, 4, 3, 3, 3, 3, 3, 0, 1, 1, 7, 1, 5, 5, 2, 3, 3, 4, 0,
    0, 2, 2, 2, 3, 4, 3, 2, 2, 4, 3, 1, 2, 1, 1, 1, 6, 3, 0, 1, 5, 3, 2, 4, 6, 2, 4, 3, 6, 3, 5,
];

/// The number of operands; `None` for an opcode that no compiler up to OTP 29 writes.
#[inline]
pub(crate) fn arity(opcode: u8) -> Option<usize> {
    ARITY
        .get(usize::from(opcode).checked_sub(1)?)
        .map(|arity| usize::from(*arity))
}

macro_rules! opcodes {
    ($($name:ident = $number:literal,)+) => {
        $(pub(crate) const $name: u8 = $number;)+
    };
}

opcodes! {
    LABEL = 1,
    FUNC_INFO = 2,
    INT_CODE_END = 3,
    CALL = 4,
    CALL_LAST = 5,
    CALL_ONLY = 6,
    CALL_EXT = 7,
    CALL_EXT_LAST = 8,
    BIF0 = 9,
    BIF1 = 10,
    BIF2 = 11,
    ALLOCATE = 12,
    ALLOCATE_HEAP_ZERO = 15,
    TEST_HEAP = 16,
    DEALLOCATE = 18,
    RETURN = 19,
    SEND = 20,
    REMOVE_MESSAGE = 21,
    LOOP_REC = 23,
    WAIT = 25,
    WAIT_TIMEOUT = 26,
    IS_LT = 39,
    IS_GE = 40,
    IS_EQ = 41,
    IS_NE = 42,
    IS_EQ_EXACT = 43,
    IS_NE_EXACT = 44,
    IS_INTEGER = 45,
    IS_ATOM = 48,
    IS_NIL = 52,
    IS_BINARY = 53,
    IS_LIST = 55,
    IS_NONEMPTY_LIST = 56,
    IS_TUPLE = 57,
    TEST_ARITY = 58,
    SELECT_VAL = 59,
    SELECT_TUPLE_ARITY = 60,
    JUMP = 61,
    CATCH = 62,
    CATCH_END = 63,
    MOVE = 64,
    GET_LIST = 65,
    GET_TUPLE_ELEMENT = 66,
    PUT_LIST = 69,
    BADMATCH = 72,
    CASE_END = 74,
    CALL_FUN = 75,
    IS_FUNCTION = 77,
    CALL_EXT_ONLY = 78,
    MAKE_FUN2 = 103,
    TRY = 104,
    TRY_END = 105,
    TRY_CASE = 106,
    TRY_CASE_END = 107,
    RAISE = 108,
    APPLY = 112,
    APPLY_LAST = 113,
    IS_BOOLEAN = 114,
    IS_FUNCTION2 = 115,
    GC_BIF1 = 124,
    GC_BIF2 = 125,
    IS_BITSTR = 129,
    BS_INIT_WRITABLE = 133,
    TRIM = 136,
    ON_LOAD = 149,
    GC_BIF3 = 152,
    LINE = 153,
    PUT_MAP_ASSOC = 154,
    PUT_MAP_EXACT = 155,
    IS_MAP = 156,
    HAS_MAP_FIELDS = 157,
    GET_MAP_ELEMENTS = 158,
    IS_TAGGED_TUPLE = 159,
    BUILD_STACKTRACE = 160,
    RAW_RAISE = 161,
    GET_HD = 162,
    GET_TL = 163,
    PUT_TUPLE2 = 164,
    SWAP = 169,
    MAKE_FUN3 = 171,
    INIT_YREGS = 172,
    CALL_FUN2 = 178,
    NIF_START = 179,
    BADRECORD = 180,
    EXECUTABLE_LINE = 183,
    DEBUG_LINE = 184,
    BIF3 = 185,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arities_of_known_instructions() {
        for (opcode, expected) in [
            (LABEL, 1),
            (CALL_EXT_LAST, 3),
            (MOVE, 2),
            (CALL_EXT_ONLY, 2),
            (APPLY_LAST, 2),
            (GC_BIF3, 7),
            (PUT_TUPLE2, 2),
            (CALL_FUN2, 3),
            (182, 3),
            (BIF3, 6),
            (191, 5),
        ] {
            assert_eq!(arity(opcode), Some(expected), "opcode {opcode}");
        }
        assert_eq!(arity(0), None);
        assert_eq!(arity(192), None);
    }
}
