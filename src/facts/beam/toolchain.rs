//! Which OTP release a beam needs.
//!
//! Takes the bytes of a beam, gives the oldest release that loads it. The loader of a release knows instructions up to
//! a number, and formats of tables up to its own; the compiler writes into the beam the highest instruction that it
//! has used, not its release: a beam of a newer compiler without anything new is loaded by older nodes.

use super::chunk::{Chunks, unpacked};

/// The highest instruction of each release (`genop.tab`).
const OPCODES: [(u32, u32); 9] = [
    (21, 163),
    (22, 168),
    (23, 170),
    (24, 176),
    (25, 180),
    (26, 182),
    (27, 183),
    (28, 184),
    (29, 191),
];

/// What a beam needs of the node that loads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Instructions up to this number.
    Instruction(u32),
    /// An atom table with lengths of several bytes.
    LongAtoms,
    /// Literals that are not compressed.
    PlainLiterals,
}

impl Needs {
    /// The oldest release that has it; `None` for an instruction that is newer than all that are known.
    pub fn otp(self) -> Option<u32> {
        match self {
            Self::Instruction(highest) => OPCODES
                .iter()
                .find(|(_, known)| highest <= *known)
                .map(|(otp, _)| *otp),
            Self::LongAtoms | Self::PlainLiterals => Some(28),
        }
    }
}

/// What of a beam a node of this release cannot load; `None` when it can, or for what is no beam.
pub fn too_new(beam: &[u8], otp: u32) -> Option<Needs> {
    let plain = unpacked(beam).ok()?;
    let chunks = Chunks::parse(&plain).ok()?;
    let number = |chunk: &[u8], at: usize| -> Option<u32> {
        Some(u32::from_be_bytes(chunk.get(at..at + 4)?.try_into().ok()?))
    };
    // The chunk begins with the size of its head, the version of the instruction set, the highest instruction.
    let highest = chunks.get(b"Code").and_then(|code| number(code, 8));
    let long = chunks.get(b"AtU8").and_then(|atoms| number(atoms, 0));
    let unpacked = chunks.get(b"LitT").and_then(|literals| number(literals, 0));
    let needs = [
        highest.map(Needs::Instruction),
        long.filter(|count| count.cast_signed() < 0)
            .map(|_| Needs::LongAtoms),
        unpacked
            .filter(|size| *size == 0)
            .map(|_| Needs::PlainLiterals),
    ];
    let newest = OPCODES.last().map_or(0, |(otp, _)| *otp);
    needs.into_iter().flatten().find(|needs| match needs.otp() {
        Some(oldest) => oldest > otp,
        // Of releases behind the table nothing is known.
        None => otp <= newest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beam(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
        let mut body = b"BEAM".to_vec();
        for (id, data) in chunks {
            body.extend_from_slice(*id);
            body.extend_from_slice(&(data.len() as u32).to_be_bytes());
            body.extend_from_slice(data);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut file = b"FOR1".to_vec();
        file.extend_from_slice(&(body.len() as u32).to_be_bytes());
        file.extend_from_slice(&body);
        file
    }

    fn numbers(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
    }

    #[test]
    fn instructions_tell_the_oldest_release() {
        let code = |highest: u32| beam(&[(b"Code", numbers(&[16, 0, highest, 1, 1]))]);
        for (highest, otp, expected) in [
            (180, 25, None),
            (181, 25, Some(26)),
            (183, 25, Some(27)),
            (183, 27, None),
            (191, 28, Some(29)),
        ] {
            let found = too_new(&code(highest), otp);
            assert_eq!(found.and_then(Needs::otp), expected, "{highest} on {otp}");
        }
        assert_eq!(too_new(&code(200), 29), Some(Needs::Instruction(200)));
        assert_eq!(too_new(&code(200), 30), None, "a release behind the table");
    }

    #[test]
    fn tables_in_the_form_of_otp_28() {
        let atoms = beam(&[(b"AtU8", numbers(&[(-1_i32).cast_unsigned()]))]);
        assert_eq!(too_new(&atoms, 27), Some(Needs::LongAtoms));
        assert_eq!(too_new(&atoms, 28), None);
        let literals = beam(&[(b"LitT", numbers(&[0, 0]))]);
        assert_eq!(too_new(&literals, 25), Some(Needs::PlainLiterals));
        assert_eq!(too_new(b"no beam", 25), None);
    }
}
