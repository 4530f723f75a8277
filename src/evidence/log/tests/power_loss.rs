//! Power that fails at any moment. What was synced is there afterwards. Of what was written since, each file is as it was, as it
//! became, cut anywhere or with a hole of zeros in it, whatever became of the others; and names that were removed may be back.
//!
//! Whatever is left, the log opens, has every entry that was synced, has the batch that was under way as a whole or not at
//! all, and continues every checkpoint that anyone can have seen.

use std::collections::BTreeMap;

use portcullis_tlog::tree::TreeHead;
use proptest::prelude::*;

use super::*;

/// All files below a directory, by their paths there.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What is done to the log.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// One batch of so many entries is synced in the journal, and made tiles of.
    Write(usize),
    /// There will be room of so many bytes in the next segment.
    Room(usize),
    /// The journal goes on in another segment.
    Turn,
    /// A checkpoint of all entries.
    Publish,
    /// No power, while this is done. The number decides what becomes of each file.
    Fail(During, u64),
}

/// What was being done when the power failed.
#[derive(Clone, Copy, Debug)]
enum During {
    Nothing,
    Write(usize),
    Turn,
    /// Tiles were written, and not all are on the disk.
    Tiles,
    /// All tiles are on the disk, and the checkpoint is not.
    Checkpoint,
    /// The checkpoint is on the disk, and what it makes superfluous is being removed.
    Removal,
}

/// Numbers that look random and follow from the first.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    /// What is found of a file that was `old` on the disk and was written to be `new`, which has what `old` had or zeros in its place.
    fn torn(&mut self, old: Option<&Vec<u8>>, new: &[u8]) -> Option<Vec<u8>> {
        let (kept, room) = old.map_or((0, 0), |old| {
            let kept = old.iter().zip(new).take_while(|(old, new)| old == new).count();
            (if new.starts_with(old) || old[kept..].iter().all(|byte| *byte == 0) { kept } else { 0 }, old.len())
        });
        let cut = kept + self.below(new.len() - kept + 1);
        let resumed = cut + self.below(new.len() - cut + 1);
        match self.below(4) {
            0 => old.cloned(),
            1 => Some(new.to_vec()),
            2 => Some([&new[..cut], &vec![0; room.saturating_sub(cut)]].concat()),
            _ => Some([&new[..cut], &vec![0; resumed - cut], &new[resumed..]].concat()),
        }
    }
}

/// A log, and what of it is on the disk for good.
struct Machine {
    home: Home,
    work: Option<Work>,
    durable: Files,
    /// What was removed and may come back.
    removed: Files,
    /// How many entries are synced in the journal.
    synced: usize,
    /// Every checkpoint that anyone can have seen.
    seen: Vec<TreeHead>,
}

/// What a process works with.
struct Work {
    journal: Journal,
    reader: journal::Reader,
    tree: Tree,
}

impl Machine {
    fn start() -> Self {
        let home = Home::new();
        home.run(0..0);
        let (durable, removed) = (Files::new(), Files::new());
        let mut machine = Self { home, work: None, durable, removed, synced: 0, seen: Vec::new() };
        machine.resume();
        machine
    }

    /// Goes on with what is there.
    fn resume(&mut self) {
        let (directory, verifier) = (self.home.path(), self.home.verifier());
        let tree = Tree::open(&directory, ORIGIN, &verifier).unwrap();
        let journal = Journal::open(&directory.join(JOURNAL), tree.size()).unwrap();
        let reader = journal::Reader::of_synced(&directory.join(JOURNAL), tree.size()).unwrap();
        self.work = Some(Work { journal, reader, tree });
        (self.durable, self.removed) = (self.now(), Files::new());
    }

    fn now(&self) -> Files {
        let mut files = Files::new();
        read_all(&self.home.path(), Path::new(""), &mut files);
        files
    }

    fn work(&mut self) -> &mut Work {
        self.work.as_mut().unwrap()
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Write(count) => {
                self.append(count);
                self.synced += count;
                self.work().follow();
            }
            Step::Room(length) => journal::make_room(&self.home.path().join(JOURNAL), length).unwrap(),
            Step::Turn => self.turn(),
            Step::Publish => {
                let before = self.now();
                self.publish();
                let after = self.now();
                self.removed = before.into_iter().filter(|(path, _)| !after.contains_key(path)).collect();
                self.durable = after;
            }
            Step::Fail(during, seed) => self.fail(during, &mut Dice(seed)),
        }
        let journal = self.now().into_iter().filter(|(path, _)| path.starts_with(JOURNAL));
        self.durable.extend(journal);
    }

    fn append(&mut self, count: usize) {
        let (writer, mut entries) = (self.home.config().writer, Vec::new());
        for number in self.synced..self.synced + count {
            let mut entry = Vec::new();
            encoding::write(&mut entry, &writer, &numbered(number)).unwrap();
            journal::push(&mut entries, &entry);
        }
        self.work().journal.append(u32::try_from(count).unwrap(), &entries).unwrap();
    }

    /// Goes on in another segment, if there is anything in this one.
    fn turn(&mut self) {
        let now = self.now();
        let last = now.iter().rfind(|(path, _)| path.extension().is_some_and(|extension| extension == "journal"));
        if last.is_some_and(|(_, bytes)| bytes.iter().any(|byte| *byte != 0)) {
            self.work().journal.begin_another().unwrap();
        }
    }

    fn publish(&mut self) {
        let signer = self.home.key().signer(ORIGIN).unwrap();
        let directory = self.home.path().join(JOURNAL);
        let work = self.work();
        if work.tree.published() < work.tree.size() {
            work.tree.publish(&signer, Timestamp::default()).unwrap();
            Journal::forget(&directory, work.tree.size()).unwrap();
        }
        self.saw();
    }

    fn saw(&mut self) {
        let signed = Checkpoints::of(&self.home.path()).latest().unwrap().unwrap();
        self.seen.push(*signed.unverified().head());
    }

    fn fail(&mut self, during: During, dice: &mut Dice) {
        let before = self.now();
        let mut under_way = 0;
        match during {
            During::Nothing => {}
            During::Write(count) => {
                self.append(count);
                under_way = count;
            }
            During::Turn => self.turn(),
            During::Tiles | During::Checkpoint => {
                let seen = self.seen.clone();
                self.publish();
                self.seen = seen;
            }
            During::Removal => self.publish(),
        }
        self.work = None;
        let after = self.now();
        let left = self.left(during, (&before, &after), dice);
        remove(&self.home.path());
        for (path, contents) in left {
            let path = self.home.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
        self.restart(under_way);
    }

    /// What the disk has.
    fn left(&self, during: During, (before, after): (&Files, &Files), dice: &mut Dice) -> Files {
        let mut left = self.durable.clone();
        // Before anything is removed.
        let written: Files = before.iter().chain(after).map(|(path, bytes)| (path.clone(), bytes.clone())).collect();
        let is_synced = matches!(during, During::Checkpoint | During::Removal);
        for (path, new) in &written {
            let old = self.durable.get(path);
            if path.starts_with("tile") && is_synced {
                left.insert(path.clone(), new.clone());
            } else if old != Some(new) && (path.starts_with("tile") || path.starts_with(JOURNAL)) {
                put(&mut left, path, dice.torn(old, new));
            }
        }
        match during {
            During::Turn => {
                // A segment is begun once the seal before it is synced.
                let begun = after.keys().filter(|path| path.starts_with(JOURNAL) && !before.contains_key(*path));
                for path in begun.filter(|path| left.contains_key(*path)).cloned().collect::<Vec<_>>() {
                    let before = before.keys().filter(|path| path.starts_with(JOURNAL));
                    left.extend(before.filter_map(|path| Some((path.clone(), after.get(path)?.clone()))));
                    left.insert(path.clone(), after[&path].clone());
                }
            }
            During::Checkpoint => {
                put(&mut left, Path::new("checkpoint.new"), dice.torn(None, &after[Path::new(CHECKPOINT)]));
            }
            During::Removal => {
                left.insert(CHECKPOINT.into(), after[Path::new(CHECKPOINT)].clone());
                left.retain(|path, _| after.contains_key(path) || dice.coin());
            }
            During::Nothing | During::Write(_) | During::Tiles => {}
        }
        if !is_synced {
            for (path, bytes) in self.removed.iter().filter(|_| dice.coin()) {
                left.entry(path.clone()).or_insert_with(|| bytes.clone());
            }
        }
        left
    }

    /// Starts as a process does, and holds what it makes of it against what was promised.
    fn restart(&mut self, under_way: usize) {
        self.home.run(0..0);
        let numbers = self.home.numbers();
        let all = self.synced + under_way;
        assert!(numbers.len() == self.synced || numbers.len() == all, "{} of {}", numbers.len(), self.synced);
        assert!(numbers.iter().copied().eq(0..numbers.len()));
        self.synced = numbers.len();
        self.saw();
        let (directory, last) = (self.home.path(), *self.seen.last().unwrap());
        let tiles = Tiles(&directory);
        let mut tree = TreeReader::new(last.size, &tiles).unwrap();
        for head in &self.seen {
            let proof = proof::consistency(&mut tree, head.size).unwrap();
            proof::verify_consistency(head, &last, &proof).unwrap();
        }
        self.resume();
    }
}

impl Work {
    fn follow(&mut self) {
        while let Some(batch) = self.reader.batch().unwrap() {
            let mut entries = batch.entries();
            while self.tree.append(&mut entries).unwrap() {}
        }
    }
}

fn put(files: &mut Files, path: &Path, contents: Option<Vec<u8>>) {
    match contents {
        Some(contents) => drop(files.insert(path.to_owned(), contents)),
        None => drop(files.remove(path)),
    }
}

fn read_all(root: &Path, below: &Path, into: &mut Files) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            read_all(root, &path, into);
        } else {
            into.insert(path, fs::read(entry.path()).unwrap());
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let during = prop_oneof![
        Just(During::Nothing),
        (1_usize..200).prop_map(During::Write),
        Just(During::Turn),
        Just(During::Tiles),
        Just(During::Checkpoint),
        Just(During::Removal),
    ];
    prop_oneof![
        4 => (1_usize..200).prop_map(Step::Write),
        2 => (1_usize..200_000).prop_map(Step::Room),
        2 => Just(Step::Turn),
        2 => Just(Step::Publish),
        2 => (during, any::<u64>()).prop_map(|(during, seed)| Step::Fail(during, seed)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn without_power_at_any_moment_nothing_is_lost_that_was_promised(
        steps in prop::collection::vec(step(), 1..9),
        seed in any::<u64>(),
    ) {
        let mut machine = Machine::start();
        for step in steps {
            machine.take(step);
        }
        machine.fail(During::Nothing, &mut Dice(seed));
    }
}

/// What no order of syncs allows is refused, and it is said where: a checkpoint before its tiles.
#[test]
fn a_disk_that_loses_what_it_said_it_had_is_found_out() {
    let mut machine = Machine::start();
    machine.take(Step::Write(300));
    let before = machine.now();
    machine.take(Step::Publish);
    machine.work = None;
    for (path, _) in machine.now().iter().filter(|(path, _)| path.starts_with("tile") && !before.contains_key(*path)) {
        fs::remove_file(machine.home.path().join(path)).unwrap();
    }
    let refused = machine.home.open().map(drop).unwrap_err().to_string();
    assert!(refused.contains(".p/"), "{refused}");
}
