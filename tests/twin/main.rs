//! Twins on real nodes: beams that are given another name are loaded, and compute what the originals compute.
//!
//! The twins are made here; an `escript` loads them beside the originals and compares. `UPDO_OTP_ROOT` names the
//! root of another system whose OTP is taken instead of this one's (`scripts/otp.sh root RELEASE`); `UPDO_COUNT` and
//! `UPDO_SEED` make more and other cases of what is drawn by chance.

mod compute;
mod conversion;
mod excerpts;
mod hostile;
mod loading;
mod own_name;
mod room;
mod shims;
