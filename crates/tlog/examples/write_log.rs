//! Writes a log into a directory, as any static server could serve it, in steps, and prints the keys that verify it.
//!
//! `write_log DIRECTORY SIZE...` makes the log grow to each size in turn. Every step reads what the one before it has
//! left. Besides the log's own files there are `history/<size>`, its checkpoint at each step, and
//! `proofs/<index>.tlog-proof`, a proof for some of the entries.
//!
//! The keys come from seeds that are written here: such a log proves nothing to anyone.

#![expect(clippy::print_stdout, reason = "a program of its own, for people")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use portcullis_tlog::bundle::{self, Bundle, bundles_between};
use portcullis_tlog::cosignature::Cosigner;
use portcullis_tlog::note::NoteSigner;
use portcullis_tlog::tile::{FULL_WIDTH, Tile, TileSource, tiles_between};
use portcullis_tlog::tree::{Frontier, TreeReader};
use portcullis_tlog::walk::{LogSource, pieces, verify_piece, verify_root};
use portcullis_tlog::{Checkpoint, LogProof, SignedCheckpoint, leaf_hash, proof};

const ORIGIN: &str = "log.example/portcullis";
const WITNESS: &str = "witness.example/w1";
const TIME: u64 = 1_795_000_000;

struct Directory(PathBuf);

impl Directory {
    fn write(&self, name: &dyn ToString, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let path = self.0.join(name.to_string());
        fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        fs::write(path, bytes)
    }

    fn read(&self, name: &dyn ToString) -> io::Result<Vec<u8>> {
        fs::read(self.0.join(name.to_string()))
    }
}

impl TileSource for Directory {
    type Error = io::Error;

    fn tile(&self, tile: Tile) -> io::Result<impl AsRef<[u8]>> {
        self.read(&tile)
    }
}

impl LogSource for Directory {
    fn bundle(&self, bundle: Bundle) -> io::Result<impl AsRef<[u8]>> {
        self.read(&bundle)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, directory, sizes @ ..] = arguments.as_slice() else {
        return Err("usage: write_log DIRECTORY SIZE...".into());
    };
    let log = Directory(directory.into());
    let keys = Keys::new()?;
    println!("origin {ORIGIN}\nlog {}", keys.log.verifier());
    println!("witness {}\nwitness {}", keys.ed25519.verifier(), keys.ml_dsa_44.verifier());
    let mut old = 0;
    for size in sizes {
        let size = size.parse()?;
        let frontier = grow(&log, old, size)?;
        let signed = keys.sign(Checkpoint::new(ORIGIN, frontier.head())?)?;
        log.write(&format!("history/{size}"), signed.to_string())?;
        log.write(&"checkpoint", signed.to_string())?;
        verify(&log, &signed)?;
        old = size;
    }
    prove(&log)
}

struct Keys {
    log: NoteSigner,
    ed25519: Cosigner,
    ml_dsa_44: Cosigner,
}

impl Keys {
    fn new() -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            log: NoteSigner::from_seed(ORIGIN.parse()?, &[1; 32])?,
            ed25519: Cosigner::ed25519(WITNESS.parse()?, &[2; 32])?,
            ml_dsa_44: Cosigner::ml_dsa_44(WITNESS.parse()?, &[3; 32])?,
        })
    }

    fn sign(&self, checkpoint: Checkpoint) -> Result<SignedCheckpoint, Box<dyn Error>> {
        let mut signed = SignedCheckpoint::sign(checkpoint, &self.log)?;
        for witness in [&self.ed25519, &self.ml_dsa_44] {
            signed.add(witness.cosign(signed.unverified(), TIME)?)?;
        }
        Ok(signed)
    }
}

/// Appends the entries from `old` to `new` and writes what that changes.
fn grow(log: &Directory, old: u64, new: u64) -> Result<Frontier, Box<dyn Error>> {
    let mut frontier = TreeReader::new(old, log)?.frontier()?;
    let mut tiles = BTreeMap::new();
    for tile in tiles_between(0, old).filter(|tile| !tile.is_full()) {
        tiles.insert((tile.level(), tile.index()), log.read(&tile)?);
    }
    let mut bundles: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for partial in bundles_between(0, old).filter(|bundle| !bundle.is_full()) {
        bundles.insert(partial.index(), log.read(&partial)?);
    }
    for index in old..new {
        let entry = format!("{{\"decision\":{index}}}");
        bundle::push(bundles.entry(index / u64::from(FULL_WIDTH)).or_default(), entry.as_bytes())?;
        frontier.append(leaf_hash(entry.as_bytes()), |grown| {
            tiles.entry((grown.level, grown.index())).or_default().extend_from_slice(grown.hash.as_bytes());
        });
    }
    for tile in tiles_between(old, new) {
        log.write(&tile, tiles.remove(&(tile.level(), tile.index())).unwrap_or_default())?;
    }
    for bundle in bundles_between(old, new) {
        log.write(&bundle, bundles.remove(&bundle.index()).unwrap_or_default())?;
    }
    Ok(frontier)
}

/// What an auditor does with the files.
fn verify(log: &Directory, signed: &SignedCheckpoint) -> Result<(), Box<dyn Error>> {
    let head = signed.unverified().head();
    pieces(head.size).try_for_each(|piece| verify_piece(log, head.size, piece))?;
    Ok(verify_root(log, head)?)
}

fn prove(log: &Directory) -> Result<(), Box<dyn Error>> {
    let checkpoint = SignedCheckpoint::parse(&log.read(&"checkpoint")?)?;
    let size = checkpoint.unverified().head().size;
    let mut tree = TreeReader::new(size, log)?;
    for index in [0, size / 3, size / 2, size.saturating_sub(1)].into_iter().filter(|index| *index < size) {
        let hashes = proof::inclusion(&mut tree, index)?;
        let proof = LogProof { extra: None, index, hashes, checkpoint: checkpoint.clone() };
        log.write(&format!("proofs/{index}.tlog-proof"), proof.to_string())?;
    }
    Ok(())
}
