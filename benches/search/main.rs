//! What a search costs, beside asking about everyone: our own engine once for each entity, and plain Cedar once for each
//! of a few, from which the whole is reckoned.
//!
//! `cargo bench --bench search`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program of its own, for people")]

mod cedar;
mod changes;
mod library;
#[path = "../entities/stopwatch.rs"]
#[expect(dead_code, reason = "the other bench needs more of it")]
mod stopwatch;

use portcullis::decision::policy::{Effect, PolicySet};
use portcullis::decision::query::{Entity, Query};
use portcullis::decision::{Page, Search, Sought};
use portcullis::identity::foreign::ForeignIdentities;

use self::library::Library;
use self::stopwatch::{memory, repeated, timed};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How much CPU a page of a thousand may take where the policies that count name few entities, in milliseconds.
const LIMIT: f64 = 50.0;

/// More than any of these searches costs.
const ENOUGH: usize = usize::MAX;

/// How often each page is asked for.
const RUNS: usize = 21;

fn main() {
    // `cargo test --benches` runs this too, to see that it works; `cargo bench` passes `--bench`.
    let in_earnest = std::env::args().any(|argument| argument == "--bench");
    let library =
        if in_earnest { Library { folders: 1000, policies: 10_000 } } else { Library { folders: 20, policies: 100 } };
    let directory = library.write();
    let (load, set) = timed(|| PolicySet::load(directory.path()).unwrap());
    println!("{} policies, {} entities, loaded in {:.1} s", set.len(), set.own_entities().len(), load / 1e3);
    let before = memory("VmRSS");
    let (first, _page) = timed(|| set.search(&library.actions(), ENOUGH, &ForeignIdentities::default()).unwrap());
    let (order, _page) = timed(|| set.search(&library.subjects(), ENOUGH, &ForeignIdentities::default()).unwrap());
    println!("first search for actions {first:.2} ms, first one that needs the order of entities {order:.0} ms");
    println!("memory for the order {:.1} MB", (memory("VmRSS") - before) / 1e6);

    println!(
        "\n{:44} {:>6} {:>12} {:>12} {:>14} {:>16}",
        "", "found", "CPU, ms", "slowest, ms", "about each, ms", "plain Cedar, s"
    );
    let cedar = cedar::Cedar::of(directory.path());
    for (what, search) in library.searches() {
        let mut page = Page::default();
        let mut busy = Vec::new();
        let (_median, slowest) = repeated(RUNS, |_| {
            let before = cpu();
            page = set.search(&search, ENOUGH, &ForeignIdentities::default()).unwrap();
            busy.push(cpu() - before);
        });
        busy.sort_by(f64::total_cmp);
        let median = *busy.get(RUNS / 2).unwrap();
        let (each, all) = timed(|| about_each(&set, &search));
        let shown: Vec<_> = all.iter().filter(|name| Some(*name) > search.after.as_ref()).take(search.limit).collect();
        assert!(page.names.iter().eq(shown), "a search finds what asking about everyone finds");
        let plain = cedar.reckon(&set, &search);
        println!("{what:44} {:6} {median:12.3} {slowest:12.3} {each:14.0} {plain:16.0}", page.names.len());
        if what.contains("selective") {
            println!("  {:.3} of its limit", median / LIMIT);
        }
    }
    changes::measure(&set, &library);
}

/// The CPU time of this thread, in milliseconds: other work on the machine is not in it.
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let time = std::time::Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap());
    time.as_secs_f64() * 1e3
}

/// Asks about everyone with the engine that decides.
fn about_each(set: &PolicySet, search: &Search<'_>) -> Vec<String> {
    let permitted = |query: &Query<'_>| set.evaluate(query).is_ok_and(|told| told.effect == Effect::Permit);
    let mut names: Vec<_> =
        questions(set, search).filter(|(_, query)| permitted(query)).map(|(name, _)| name).collect();
    names.sort_unstable();
    names
}

/// The questions about everyone who is stored. A search for actions is not measured.
fn questions<'a>(set: &'a PolicySet, search: &'a Search<'_>) -> impl Iterator<Item = (String, Query<'static>)> + 'a {
    let ids = set.own_entities().iter().map(|node| (node.uid().kind(), node.uid().id()));
    ids.filter_map(|(kind, id)| {
        let (subject, action, resource) = match &search.sought {
            Sought::Subjects { kind: sought, action, resource, .. } if *sought == kind => {
                (Entity::named(kind.to_owned(), id.to_owned()), action, resource.clone().into_owned())
            }
            Sought::Resources { subject, action, kind: sought, .. } if *sought == kind => {
                (subject.clone().into_owned(), action, Entity::named(kind.to_owned(), id.to_owned()))
            }
            _ => return None,
        };
        let (action, context) = (action.clone(), search.context.clone());
        Some((id.to_owned(), Query { subject, action, resource, context, extra: Vec::new() }.into_owned()))
    })
}
