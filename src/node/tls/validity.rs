//! From when until when a certificate holds.
//!
//! Takes a certificate in DER, gives seconds since 1970, or nothing when it is not what it should be. Reading it is the
//! work of the crate x509-cert.

use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode;

/// The first and the last second.
pub(super) fn of(certificate: &[u8]) -> Option<(u64, u64)> {
    // `Raw`: a serial number of any length. The certificate is trusted byte for byte, only its dates are asked for.
    let certificate = CertificateInner::<Raw>::from_der(certificate).ok()?;
    let validity = certificate.tbs_certificate().validity();
    let [from, until] =
        [validity.not_before, validity.not_after].map(|time| time.to_unix_duration().as_secs());
    Some((from, until))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
    use std::sync::LazyLock;

    const BEGIN: &[u8] = b"260101000000Z";
    const END: &[u8] = b"270101000000Z";
    const SECONDS: (u64, u64) = (1_767_225_600, 1_798_761_600);

    /// A certificate as nodes have them, from the first day of 2026 to the first of 2027.
    static CERTIFICATE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("good names");
        params.distinguished_name.push(DnType::CommonName, "a node");
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2027, 1, 1);
        signed(&params)
    });

    fn signed(params: &CertificateParams) -> Vec<u8> {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        certificate.der().to_vec()
    }

    /// The certificate with one of its times replaced by another text of the same length.
    fn with(time: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = CERTIFICATE.clone();
        let at = bytes.windows(time.len()).position(|part| part == time);
        let at = at.expect("the time is there");
        bytes[at..at + time.len()].copy_from_slice(other);
        bytes
    }

    fn end(text: &str) -> Option<u64> {
        of(&with(END, text.as_bytes())).map(|(_, until)| until)
    }

    #[test]
    fn days_of_the_calendar() {
        assert_eq!(of(&CERTIFICATE), Some(SECONDS));
        let days = |text: &str| end(&format!("{text}000000Z")).map(|seconds| seconds / 86_400);
        assert_eq!(days("700101"), Some(0));
        assert_eq!(days("000229"), Some(11_016));
        assert_eq!(days("000301"), Some(11_017));
        assert_eq!(days("261122"), Some(20_779));
        for none in ["261322", "260022", "261132", "260229"] {
            assert_eq!(days(none), None, "{none}");
        }
        assert_eq!(of(&with(BEGIN, b"2601010000+0Z")), None);
    }

    #[test]
    fn both_forms_of_time() {
        assert_eq!(end("491231235959Z"), Some(2_524_607_999));
        assert_eq!(end("49123123595+Z"), None);
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(2050, 1, 1);
        params.not_after = date_time_ymd(9999, 12, 31);
        let long = signed(&params);
        assert!(long.windows(15).any(|part| part == b"20500101000000Z"));
        assert_eq!(of(&long), Some((2_524_608_000, 253_402_214_400)));
    }

    /// Openssl makes serial numbers of 20 bytes, older tools longer and negative ones.
    #[test]
    fn serial_numbers_of_any_length() {
        for first in [0x01, 0xff] {
            let mut params = CertificateParams::default();
            params.serial_number = Some(vec![first; 40].into());
            params.not_before = date_time_ymd(2026, 1, 1);
            params.not_after = date_time_ymd(2027, 1, 1);
            assert_eq!(of(&signed(&params)), Some(SECONDS), "{first}");
        }
    }

    #[test]
    fn no_length_leads_astray() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 1],
            &[0x30, 0x85, 0, 0, 0, 0, 1],
            &[0x30, 2, 0x30, 9],
            &[0x30, 4, 0x30, 2, 0x02, 200],
        ] {
            assert_eq!(of(bytes), None, "{bytes:?}");
        }
        // Sequences in each other, as deep as bytes go.
        assert_eq!(of(&[0x30, 0x80].repeat(100_000)), None);
        let deep = (0..5_000).fold(Vec::new(), |inner: Vec<u8>, _| {
            let length = u32::try_from(inner.len())
                .expect("it is short")
                .to_be_bytes();
            [&[0x30, 0x84][..], &length, &inner].concat()
        });
        assert_eq!(of(&deep), None);
    }

    proptest::proptest! {
        /// Whatever is there: dates or nothing.
        #[test]
        fn any_bytes(bytes: Vec<u8>, at: usize, flip: u8, cut: usize) {
            let _ = of(&bytes);
            // Something that comes far, with one byte changed, and cut off.
            let mut bytes = CERTIFICATE.clone();
            proptest::prop_assert_eq!(of(&bytes), Some(SECONDS));
            let at = at % bytes.len();
            bytes[at] ^= flip;
            let _ = of(&bytes);
            bytes.truncate(cut % bytes.len());
            proptest::prop_assert_eq!(of(&bytes), None);
        }
    }
}
