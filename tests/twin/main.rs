//! Twins on real nodes: beams that are given another name are loaded, and compute what the originals compute.
//!
//! The twins are made here; an `escript` loads them beside the originals and compares. `scripts/otp.sh test`
//! takes another OTP; `UPDO_COUNT` and `UPDO_SEED` make more and other cases of what is drawn by chance.

mod compute;
mod conversion;
mod excerpts;
mod hostile;
mod loading;
mod own_name;
mod room;
mod shims;
