mod arbitrary;
mod document;
mod fixtures;
mod jwk;
mod lenient;
