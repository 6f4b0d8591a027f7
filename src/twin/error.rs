//! Why a module has no twin.

use std::fmt;

use crate::facts::beam::BeamError;

/// Why a module has no twin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoTwin {
    /// The bytes are no usable beam.
    Beam(BeamError),
    /// The module has NIFs: its functions have their code in a library, which knows the real name only.
    Nif,
    /// The module has an `on_load` function: loading the twin would run it.
    OnLoad,
    /// The code holds something that this version of updo does not know: a later compiler made it.
    Unknown,
    /// With its ending the name is longer than a name may be (255 characters).
    LongName,
    /// The result would not fit a beam file.
    TooBig,
}

impl From<BeamError> for NoTwin {
    fn from(error: BeamError) -> Self {
        Self::Beam(error)
    }
}

impl std::error::Error for NoTwin {}

impl fmt::Display for NoTwin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beam(error) => write!(f, "{error}"),
            Self::Nif => f.write_str("it has NIFs, and their library belongs to the real name"),
            Self::OnLoad => f.write_str("it has an `on_load` function, which loading would run"),
            Self::Unknown => f.write_str("its code holds an instruction that is not known"),
            Self::LongName => f.write_str("its name leaves no room for an ending"),
            Self::TooBig => f.write_str("it is too big to be given another name"),
        }
    }
}
