//! The X509-SVID profile.
