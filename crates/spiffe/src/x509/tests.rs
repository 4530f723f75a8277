mod authority;
mod issued;
mod leaf;
mod mint;
