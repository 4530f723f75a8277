use portcullis_spiffe::x509::ProfileError;

use super::*;
use crate::identity::svid::tests::mint;

fn domain(name: &str) -> TrustDomain {
    name.parse().unwrap()
}

#[test]
fn bundles_are_found_by_domain_and_sorted() {
    let (b, a) = (mint::Authority::new("b.example").bundle(1), mint::Authority::new("a.example").bundle(1));
    let newer = mint::Authority::new("b.example").bundle(2);
    let bundles = Bundles::new([b, a, newer.clone()]);
    let names: Vec<_> = bundles.iter().map(|bundle| bundle.trust_domain.as_str()).collect();
    assert_eq!(names, ["a.example", "b.example"]);
    assert_eq!(bundles.get(&domain("b.example")).map(AsRef::as_ref), Some(&newer));
    assert_eq!(bundles.get(&domain("c.example")), None);
}

#[test]
fn what_can_not_be_an_authority_is_left_out_and_the_rest_kept() {
    let good = mint::Authority::new("prod.example");
    let unfit = [
        CertificateDer::from(vec![1, 2, 3]),
        CertificateDer::from(Vec::new()),
        CertificateDer::from([&good.der()[..], &[0]].concat()),
        good.leaf_der(|_| {}),
        mint::Authority::new("partner.example").der(),
    ];
    let mixed = mint::bundle("prod.example", [&unfit[..2], &[good.der()], &unfit[2..]].concat(), 3);
    let bundles = Bundles::new([mixed]);
    let trusted = bundles.trusted(&domain("prod.example")).unwrap();
    assert_eq!(trusted.bundle.x509_authorities, [good.der().into()]);
    assert_eq!(trusted.bundle.sequence, 3);
    assert_eq!(trusted.anchors.len(), 1);
}

#[test]
fn an_empty_bundle_is_kept_for_it_says_that_nobody_is_trusted() {
    let bundles = Bundles::new([mint::bundle("prod.example", Vec::new(), 1)]);
    assert_eq!(bundles.get(&domain("prod.example")).map(|bundle| bundle.x509_authorities.len()), Some(0));
}

#[test]
fn a_configured_bundle_says_which_certificate_is_unfit() {
    let (ours, foreign) = (mint::Authority::new("prod.example").der(), mint::Authority::new("partner.example").der());
    let bundle = Bundle::from_der(domain("prod.example"), [ours.to_vec()], 4).unwrap();
    assert_eq!((bundle.x509_authorities, bundle.sequence), (vec![ours.clone().into()], 4));

    let error = Bundle::from_der(domain("prod.example"), [ours.to_vec(), foreign.to_vec()], 4).unwrap_err();
    assert_eq!(error.position, 2);
    assert_eq!(error.reason, AuthorityError::Profile(ProfileError::ForeignAuthority(domain("partner.example"))));
}
