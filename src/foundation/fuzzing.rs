//! Fuzz bodies on stable: a corpus of files, and what a deterministic sequence makes of each of them. A body takes bytes and
//! panics on what must never be, so a fuzzer can drive it as it is.

use std::path::Path;

/// Runs `body` over the files of `tests/corpus/<name>` and over `changes` inputs that are made of each. `body` says whether an input was
/// understood; returns how many files and how many changed ones were.
pub(crate) fn run(name: &str, changes: usize, mut body: impl FnMut(&[u8]) -> bool) -> (usize, usize) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 10, "the corpus is there");
    let seeds: Vec<_> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut understood, mut changed_and_understood) = (0, 0);
    for seed in &seeds {
        understood += usize::from(body(seed));
        for _ in 0..changes {
            let other = &seeds[dice.roll(seeds.len())];
            changed_and_understood += usize::from(body(&dice.changed(seed, other)));
        }
    }
    (understood, changed_and_understood)
}

/// The same sequence each time (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(sides.max(1)).unwrap()).unwrap()
    }

    fn changed(&mut self, seed: &[u8], other: &[u8]) -> Vec<u8> {
        let mut changed = seed.to_vec();
        for _ in 0..=self.roll(3) {
            let (at, byte) = (self.roll(changed.len()), u8::try_from(self.roll(256)).unwrap());
            match self.roll(5) {
                0 if !changed.is_empty() => changed[at] = byte,
                1 => changed.insert(at.min(changed.len()), byte),
                2 => changed.truncate(at),
                3 => changed.extend_from_slice(&other[..self.roll(other.len() + 1).min(other.len())]),
                _ => changed.extend_from_slice(&seed[..at.min(seed.len())]),
            }
        }
        changed
    }
}
