//! Twins on real nodes: beams that are given another name are loaded, and compute what the originals compute.
//!
//! The twins are made here; an `escript` loads them beside the originals and compares. `UPDO_ORACLE_ROOT` names the
//! root of another system whose OTP is taken instead of this one's (`scripts/otp.sh root RELEASE`); `UPDO_COUNT` and
//! `UPDO_SEED` make more and other cases of what is drawn by chance.

#[path = "twin/compute.rs"]
mod compute;
#[path = "twin/conversion.rs"]
mod conversion;
#[path = "twin/hostile.rs"]
mod hostile;
#[path = "twin/loading.rs"]
mod loading;
#[path = "twin/own_name.rs"]
mod own_name;
#[path = "twin/room.rs"]
mod room;
