mod authority;
mod leaf;
mod mint;
